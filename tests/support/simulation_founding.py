"""A founded federation of the simulator: key server and enrolled members, made once per size, copied for every seed.

Leaves to others: the roles that begin from it (simulation_roles), trustees and their ceremony (simulation_trustees).
"""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from keyserver.authority import Authority
from keyserver.directory import LOG, ROSTERS
from secagg.daemon.vault import KeyRing, private_directory
from secagg.log.durable import TileLog
from secagg.rehearsal.federation import AGGREGATOR
from support.federation import names_of
from support.keyservers import Office
from support.simulation_plan import shelf


@dataclass(frozen=True)
class Founded:
    """A federation as its key server left it after enrolment."""

    authority: Authority
    rings: dict[str, KeyRing]
    directory: Path
    entries: dict[str, bytes]


@functools.cache
def founded(nodes: int) -> Founded:
    """Return a federation of an aggregator and `nodes` nodes, made once per process."""
    return found(nodes)


def found(nodes: int, seat: Callable[[Office], Awaitable[dict[str, KeyRing]]] | None = None) -> Founded:
    """Enrol an aggregator and `nodes` nodes with the real key server, and whom `seat` seats there."""
    place = Path(tempfile.mkdtemp(prefix="secagg-founded-", dir=shelf()))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    private_directory(place / ROSTERS)
    from support.keyservers import authority_of

    authority = authority_of()
    log = TileLog(place / LOG, authority.origin, authority.origin, authority.online)
    office = Office(place / ROSTERS, log=log)
    rings = {}

    async def enrol(office: Office) -> None:
        rings[AGGREGATOR] = (await office.enrol("operator", role="aggregator", name=AGGREGATOR)).ring
        for name in names_of(nodes):
            rings[name] = (await office.enrol(name)).ring
        rings.update(await seat(office) if seat else {})

    office.play(enrol)
    log.close()
    return Founded(authority, rings, place, dict(office.journal._kept.entries))
