"""Real node services in their real shell, with a real aggregator, over one in-process network and one virtual clock.

What differs from production is the link, the clock and the journal; tasks are files that nodes load by path, as an
institution's own code. Nodes die by `kill` (nothing that was not saved survives) and come back by `revive`.
"""

import asyncio
import io
from pathlib import Path
from typing import Any

from aggregator.service import AggregatorService
from node.config import OwnTask
from node.service import NodeService
from secagg.crypto.derive import sha256
from secagg.crypto.secret import Secret
from secagg.daemon import logs
from secagg.daemon.loop import Daemon
from secagg.daemon.membership import Pin
from secagg.daemon.vault import RoundKeys
from secagg.protocol.acceptance import Policy
from secagg.protocol.masks.messages import ANSWERED_BY
from secagg.protocol.round.spots import LEAVES
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation
from secagg.roster.chain import fingerprint
from secagg.roster.messages import RosterPush
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from support.aggregating import Hall, Inline
from support.arriving import turns
from support.federation import counted_rng
from support.granting import Granter
from support.memory import MemoryInputs, MemoryJournal
from support.serving import Serving
from support.timers import VirtualTimers

SUM_TASK = '''
import numpy as np

class Ones:
    """A sum task: this institution's number, as often as the job wants."""

    def __init__(self, value=1.0, length=7):
        self.value, self.length = value, length

    def vector(self, data, round):
        return np.full(self.length, float(data.read_text()) * self.value)
'''


class Institution(Serving):
    """One node: its state directory, its data (a power of two), its daemon."""

    def __init__(self, name: str, index: int, federation: Federation, place: Path) -> None:
        self.name, self.federation = name, federation
        self.place = place
        place.mkdir(parents=True, mode=0o700)
        self.data = place / "data.txt"
        self.data.write_text(str(2.0**index))
        (place / "task.py").write_text(SUM_TASK)
        self.tasks = {"task": OwnTask("task", f"{place / 'task.py'}:Ones", self.data, {})}
        self.policy = Policy(exact_counts=True)
        self.spot_leaves = LEAVES
        self.pin = Pin(federation.spec.federation, fingerprint(federation.root_key))
        self.journal, self.ledger = MemoryJournal(), MemoryInputs(key=sha256(name.encode()))
        self.events: list[dict[str, Any]] = []
        self.log = io.StringIO()
        self.rng = counted_rng(name.encode())
        self.alive = False
        self.now = START_OF_TIME

    def open(self, link: Any) -> None:
        """Start the daemon over what was kept."""
        self.timers = VirtualTimers()
        keys = RoundKeys(self.place / "rounds", Secret(bytes(32)), self.rng)
        key = self.federation.members[self.name]
        self.service = NodeService(
            self.name, key, self.pin, self.policy, self.tasks, self.place, keys, self.rng, self.ledger,
            spot_leaves=self.spot_leaves,
        )  # fmt: skip
        self.daemon = Daemon(
            link, self.journal, self.service, Inline(1), logs.configure("node", self.name, file=self.log),
            later=self.timers.later, wall=lambda: self.now, rng=self.rng,
        )  # fmt: skip
        self.daemon._publish = lambda event: self.events.append(event.shown())  # type: ignore[method-assign]
        self.serving = asyncio.create_task(self.daemon.serve())
        self.alive = True


class Ward(Hall):
    """A `Hall` whose members are real nodes."""

    def __init__(
        self, federation: Federation, state: Path, service: type[AggregatorService] = AggregatorService
    ) -> None:
        super().__init__(federation, state / "aggregator", service=service)
        self.relayed = 0
        self.network._fate = self._count
        self.starts = Granter(self.keyserver, federation.members, federation.online)
        self.kills: dict[str, str] = {}
        self.due: set[str] = set()
        self.nodes = {
            name: Institution(name, index, federation, state / name) for index, name in enumerate(federation.members)
        }
        self.members = {}

    def _count(self, to: str, message: Received) -> tuple[Received, ...]:
        """Let everything through, but for what reaches a node in the moment it dies."""
        self.relayed += 1
        if to not in self.kills or (message.kind, message.sender) != ("round", AGGREGATOR):
            return (message,)
        if ANSWERED_BY[decode(RoundHeader, message.header).kind] != self.kills[to]:
            return (message,)
        self.due.add(to)
        return ()

    def revive(self, name: str) -> None:
        """Start a node (again)."""
        self.nodes[name].open(self.network.link(name))

    async def start_nodes(self) -> None:
        """Start every node and show it the roster."""
        for name in self.nodes:
            self.revive(name)
        await self.settle()
        directory = self.federation.directory
        body = RosterPush(self.federation.roster, directory.leaf(1), encode(directory.prove(1)))
        for name in (*self.nodes, AGGREGATOR):
            await self.keyserver.send(name, "roster", b"", encode(body), id=bytes(16))
        await self.settle()

    async def stop_nodes(self) -> None:
        """End every node."""
        for node in self.nodes.values():
            if node.alive:
                await node.kill()

    async def gather(self) -> None:
        """Let everything happen that follows from what happened."""
        await self.settle()

    async def settle(self) -> None:
        """Let everybody go on until nobody sends anything any more; whoever is to die, dies."""
        quiet = 0
        while quiet < 3:
            before = self.relayed
            await turns(60)
            await self.starts.grant()
            while self.due:
                name = self.due.pop()
                del self.kills[name]
                await self.nodes[name].kill()
            quiet = quiet + 1 if before == self.relayed else 0

    async def wait(self, seconds: float) -> None:
        """Let virtual time pass for everybody."""
        for _ in range(round(seconds / 0.5)):
            for node in self.nodes.values():
                if node.alive:
                    node.timers.pass_time(0.5)
            self.timers.pass_time(0.5)
            await self.settle()
