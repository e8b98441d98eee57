"""Bundles of rounds that trustees opened, played in process with logs on disk, written as the aggregator does."""

from collections.abc import Sequence
from pathlib import Path

from secagg.crypto.sign import SigningKey
from secagg.ids import RoundId
from secagg.log.bundle import BundleWriter
from secagg.log.durable import TileLog
from secagg.log.log import Log
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.entrusted import Entrusted, entrust, holder, member, propose, table
from secagg.rehearsal.federation import create_job
from secagg.rehearsal.run import run_round
from secagg.roster.chain import fingerprint
from secagg.wire.codec import encode
from support.bundles import Play
from support.entrusted import dealt, inputs
from support.federation import counted_rng, job, names_of


def write_entrusted(
    path: Path, plays: Sequence[Play], trustees: int = 3, threshold: int = 2, colluders: int = 0
) -> Entrusted:
    """Play attempts of four members under a key of full length, whether they have a result or not.

    Members and trustees have forgotten what was before: what their own ledgers refuse is not the question here.
    """
    key, shares = dealt(trustees, threshold)
    secrets = dict(zip(key.trustees, shares, strict=True))

    def open_directory(origin: str, name: str, signing: SigningKey) -> Log:
        return TileLog(path / "directory", origin, name, signing)

    names = names_of(4)
    entrusted = entrust(
        names, job(names), key, secrets, counted_rng(b"entrusted"), trustee_colluders=colluders,
        open_log=open_directory,
    )  # fmt: skip
    nodes, writer = entrusted.nodes, BundleWriter(path)
    log = TileLog(path / "rounds", "fed/rounds", "fed/rounds", nodes.aggregator)
    writer.put_root("fed", fingerprint(nodes.root_key))
    for data in (nodes.roster, create_job(nodes, log)):
        writer.put_file(data)
    for play in plays:
        play.before(nodes, log)
        manifest = propose(entrusted, play.number, play.attempt)
        played = table(
            entrusted, inputs(entrusted, manifest), play.drops, manifest=manifest, log=log,
            parties={name: member(entrusted, name, play.number) for name in names},
            holders={name: holder(entrusted, name) for name in entrusted.trustees},
        )  # fmt: skip
        played.given = play.given
        end = run_round(played)
        for data in (*played.files.values(), *played.uploads.values()):
            writer.put_file(data)
        if isinstance(end, Closed):
            writer.put_result(RoundId("fed", "job", play.number, play.attempt), encode(end.published), end.salt)
    log.publish()
    log.close()
    nodes.directory.close()  # type: ignore[attr-defined]
    return entrusted
