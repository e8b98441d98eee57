"""A `Ward` whose key server is the real one: it enrolled the members, pushes rosters, grants starts and takes evidence.

What differs from production is the link, the clock and the journal, as everywhere in these tests.
"""

import asyncio
import io
import json
import shutil
from pathlib import Path
from typing import Any

from aggregator.service import AggregatorService
from keyserver.desk import Settings
from keyserver.directory import LOG, ROSTERS, Directory
from keyserver.service import KeyserverService
from secagg.crypto.seal import SealingKey
from secagg.crypto.sign import SigningKey
from secagg.daemon import logs
from secagg.daemon.loop import Daemon
from secagg.daemon.vault import private_directory
from secagg.log.durable import TileLog
from secagg.log.log import Log
from secagg.log.statements import AnyStatement, parse_statement
from secagg.rehearsal.federation import AGGREGATOR, Federation
from secagg.transport.link import KEYSERVER
from support.aggregating import Inline
from support.federation import counted_rng, job, names_of
from support.keyservers import ADDRESSES, BROKER_KEY, START
from support.memory import MemoryJournal
from support.nodes import Ward
from support.simulation_founding import Founded, founded
from support.timers import VirtualTimers


def federation_of(given: Founded, log: Log, count: int, **fields: object) -> Federation:
    """Return what a key server founded, as rehearsals know a federation; `log` is its directory."""
    keys = {name: SigningKey.from_private_bytes(ring.sign.reveal()) for name, ring in given.rings.items()}
    names, rng, authority = names_of(count), counted_rng(b"served"), given.authority
    return Federation(
        job(names, **fields), (count - 1) // 3, {name: keys[name] for name in names}, keys[AGGREGATOR],
        SealingKey.from_private_bytes(rng(96)), authority.online, authority.founded.root_key, b"", log, rng,
    )  # fmt: skip


class Served(Ward):
    """Real nodes, a real aggregator and a real key server."""

    def __init__(
        self, count: int, state: Path, service: type[AggregatorService] = AggregatorService, **fields: object
    ) -> None:
        given = founded(count)
        home = private_directory(state / KEYSERVER)
        shutil.copytree(given.directory, home, dirs_exist_ok=True)
        self.rosters = home / ROSTERS
        self.directory = TileLog(home / LOG, given.authority.origin, given.authority.origin, given.authority.online)
        super().__init__(federation_of(given, self.directory, count, **fields), state, service)
        self.kept, self.office_timers = MemoryJournal(), VirtualTimers()
        self.kept._kept.entries.update(given.entries)
        self.told_all: list[AnyStatement] = []
        self.office_events: list[dict[str, Any]] = []
        self.office_log = io.StringIO()
        logger = logs.configure(KEYSERVER, "fed", file=self.office_log)
        office = KeyserverService(
            given.authority, Settings(ADDRESSES, BROKER_KEY), Directory(self.directory, self.rosters),
            counted_rng(b"office"), logger,
        )  # fmt: skip
        self.office = Daemon(
            self.network.link(KEYSERVER), self.kept, office, Inline(1), logger, later=self.office_timers.later,
            wall=lambda: START, rng=counted_rng(b"loop"),
        )  # fmt: skip
        self.office._publish = lambda event: self.office_events.append(event.shown())  # type: ignore[method-assign]

    async def start_nodes(self) -> None:
        """Start the key server, then every node; each asks for its roster itself."""
        self.office_serving = asyncio.create_task(self.office.serve())
        await self.settle()
        for name in self.nodes:
            self.revive(name)
        await self.wait(6)

    async def stop_nodes(self) -> None:
        """End every node, and the key server."""
        await super().stop_nodes()
        self.office.stop()
        await self.office_serving
        self.told_all = self.stated()
        self.directory.close()

    async def wait(self, seconds: float) -> None:
        """Let virtual time pass for everybody."""
        for _ in range(round(seconds / 0.5)):
            self.office_timers.pass_time(0.5)
            await super().wait(0.5)

    def stated(self) -> list[AnyStatement]:
        """Return everything the directory states, or stated when it was closed."""
        if self.told_all:
            return self.told_all
        return [parse_statement(self.directory.leaf(index))[0] for index in range(self.directory.size)]

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the key server's events of this name."""
        return [values for values in self.office_events if values["event"] == event]

    def refused(self) -> list[str]:
        """Return what the key server refused, in its words."""
        lines = [json.loads(line) for line in self.office_log.getvalue().splitlines()]
        return [line["cause"] for line in lines if line["event"] == "refuse"]
