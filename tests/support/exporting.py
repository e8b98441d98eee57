"""State directories as the key server and the aggregator keep them, filled by the real roles over links in memory."""

from collections.abc import Callable
from pathlib import Path

from aggregator.service import AggregatorService
from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.log.durable import TileLog
from secagg.log.log import Log
from secagg.rehearsal.federation import Federation, found
from support.aggregating import Hall
from support.federation import counted_rng, job, names_of


class WatchedLog(TileLog):
    """A log that calls `published` after every checkpoint."""

    published: Callable[[], None]

    def publish(self) -> bytes:
        note = super().publish()
        self.published()
        return note


def keyserver_state(place: Path) -> Federation:
    """Write what a key server keeps into `place`, secrets included, and return its federation."""
    names = names_of(4)

    def open_directory(origin: str, name: str, key: SigningKey) -> Log:
        return TileLog(place / "log", origin, name, key)

    federation = found(names, job(names, chunk_bytes=4096), counted_rng(b"export"), open_log=open_directory)
    (place / "rosters").mkdir()
    (place / "rosters" / sha256(federation.roster).hex()).write_bytes(federation.roster)
    for secret in ("keys", "journal.sqlite", "journal.sqlite-wal"):
        (place / secret).write_bytes(b"secret")
    return federation


def hall_of(
    federation: Federation, state: Path, published: Callable[[], None] = lambda: None,
    service: type[AggregatorService] = AggregatorService,
) -> Hall:  # fmt: skip
    """Return a hall whose aggregator keeps its log on disk, as its process does."""
    origin = f"{federation.spec.federation}/rounds"
    log = WatchedLog(state / "audit" / "rounds", origin, origin, federation.aggregator)
    log.published = published
    return Hall(federation, state, log=log, service=service)


async def one_sum(stage: Hall) -> None:
    """Submit a sum over seven values and play it to its end."""
    await stage.push()
    stage.submit()
    await stage.settle()
    await stage.gather()
