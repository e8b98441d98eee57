"""The roles of the simulator: the daemons' own services in their own shell, over simulated link, clock, journal, files.

A `Machine` is one role's place in the world: what is on its disk, and the life that runs now. A crash ends a life at a
point (before, between or after the writes of a turn, or between turns). It leaves what the disk leaves. A new life
begins later.
"""

import asyncio
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from aggregator.service import AggregatorService
from keyserver.desk import Settings
from keyserver.directory import LOG, ROSTERS, Directory
from keyserver.service import KeyserverService
from node.service import NodeService
from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.daemon.faults import explained, fault
from secagg.daemon.loop import Daemon, Service
from secagg.daemon.membership import Pin
from secagg.daemon.vault import RoundKeys, private_directory
from secagg.errors import SecaggError, TryLater
from secagg.log.durable import TileLog
from secagg.protocol.acceptance import Policy
from secagg.transport.link import KEYSERVER, Received
from secagg.transport.memory import MemoryLink
from support.federation import counted_rng
from support.keyservers import ADDRESSES, BROKER_KEY, START
from support.paillier_keys import SMALL
from support.simulation_clock import Chance, Crash, Timers
from support.simulation_disk import Disk, SimulatedJournal, Storage
from support.simulation_founding import Founded
from support.simulation_ledger import SimulatedInputs
from support.simulation_plan import LAST, Plan, original
from support.simulation_world import World, place_of

TRANSIENT = frozenset({"E-LATER", "E-DISK", "E-PEER"})


class Ledger:
    """What a role logs, kept for oracles; stands where structlog does."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine

    def info(self, event: str, **values: Any) -> None:
        self._machine.told("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._machine.told("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        self._machine.told("error", event, values)


class Beside(Executor):
    """Does work in virtual time: after a while, in one go, and tells a while later."""

    def __init__(self, machine: "Machine", life: int) -> None:
        self._machine, self._life = machine, life

    def take(self, future: asyncio.Future[Any], work: Callable[..., object], args: tuple[object, ...]) -> None:
        """Do `work` and put its outcome into `future`."""
        self._machine.world.loop.call_later(self._while(), self._do, future, work, args)

    def _while(self) -> float:
        chance = self._machine.work
        slow = chance.happens(0.1) and not self._machine.world.crashes.calm
        return chance.between(0.05, 1.5) if slow else chance.between(0.0005, 0.05)

    def _do(self, future: asyncio.Future[Any], work: Callable[..., object], args: tuple[object, ...]) -> None:
        if self._machine.life != self._life:
            return
        self._machine.doing = "work"
        try:
            outcome = work(*args)
        except Crash:
            return
        self._machine.world.loop.call_later(self._while(), self._tell, future, outcome)

    def _tell(self, future: asyncio.Future[Any], outcome: object) -> None:
        if self._machine.life == self._life and not future.done():
            future.set_result(outcome)


class Wire:
    """The link of one life: nothing leaves after its end, and it may end whenever something arrives."""

    def __init__(self, machine: "Machine", life: int, inner: MemoryLink) -> None:
        self._machine, self._life, self._inner = machine, life, inner

    @property
    def state(self) -> str:
        return self._inner.state

    def _check(self) -> None:
        if self._machine.life != self._life:
            raise Crash

    async def send(self, to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
        self._check()
        self._machine.doing = f"send {kind}"
        self._machine.point("link.send")
        await self._inner.send(to, kind, header, body, id=id)
        self._machine.point("link.sent")

    async def receive(self) -> Received:
        self._machine.doing = ""
        message = await self._inner.receive()
        if self._machine.busy.happens(self._machine.slowness):
            # As if the last commit took that long: what arrives meanwhile is handled together with this message.
            await asyncio.sleep(self._machine.busy.between(0, 0.1))
        return self._arrived(message)

    def at_hand(self) -> Received | None:
        message = self._inner.at_hand()
        if message is None:
            return None
        self._machine.world.count["message of a group"] += 1
        return self._arrived(message)

    def _arrived(self, message: Received) -> Received:
        self._check()
        self._machine.doing = message.kind
        self._machine.point("link.received")
        return message

    async def close(self) -> None:
        await self._inner.close()


class Machine(ABC):
    """One role: its disk outlives every life. Of one that is not honest nothing is asked."""

    honest = True

    def __init__(self, world: World, name: str, root: Path, seed: int) -> None:
        self.world, self.name, self.root = world, name, private_directory(root)
        self.rng = counted_rng(f"{seed}/{name}".encode())
        self.work, self._chance = Chance(seed, f"work/{name}"), Chance(seed, f"crash/{name}")
        self.busy = Chance(seed, f"busy/{name}")
        self.slowness = self.busy.choose((0, 0, 0.1, 0.5))
        self.storage = Storage()
        self.disk = Disk(root, self.point)
        self.life = 0
        self.alive = self.gone = False
        self.skew = 0
        self.doing = ""
        self.refused: Counter[str] = Counter()
        self.daemon: Daemon
        self.journal: SimulatedJournal
        self._closing: list[Callable[[], None]] = []
        world.machines[name] = self

    def point(self, where: str) -> None:
        """Pass a point at which this life may end; an ended life passes none."""
        if not self.alive:
            raise Crash
        world = self.world
        crashes = world.crashes
        if not (crashes.left and crashes.begin <= world.loop.now < crashes.end):
            return
        place = self.place(where)
        if crashes.due(place):
            world.note(self.name, f"crash at {where}, {place}")
            world.count.update(("crash", f"crash: {place}", f"crash at {where}"))
            self.end()
            world.loop.call_later(crashes.pause(), self.begin)
            raise Crash

    def place(self, where: str) -> str:
        """Return the line of the crash table for a crash at the point `where`."""
        return place_of(self.name, where, self.doing, self.journal)

    def end(self) -> None:
        """End this life; what it does from now on has no effect."""
        self.alive = False
        self.life += 1
        self._serving.cancel()

    def fill(self, full: bool) -> None:
        """Let this machine's disk be full, or have space again."""
        self.storage.full = self.disk.full = full

    def leave(self) -> None:
        """End for good: this machine is switched off."""
        self.gone = True
        if self.alive:
            self.end()

    def begin(self) -> None:
        """Begin a life over what the last one left on disk."""
        if self.gone:
            return
        self._let_go()
        if self.life:
            self.world.count["restart"] += 1
            self.world.count["files changed by a crash"] += self.disk.crash(self._chance)
            self.world.count["journal tails cut or torn"] += self.storage.crash(self._chance)
        self.alive = True
        self._serving = self.world.loop.create_task(self._live(self.life))

    def _let_go(self) -> None:
        for close in self._closing:
            close()
        self._closing = []

    async def _live(self, life: int) -> None:
        try:
            self._open(life)
            self.world.note(self.name, f"begin life {life}")
            self.world.restarted(self)
            await self.daemon.serve()
        except (Crash, asyncio.CancelledError):
            pass
        except TryLater as error:
            # Its disk is full: the process ends, and whoever watches over it starts it again.
            self.world.note(self.name, f"exits: {error.cause}")
            self.alive, self.life = False, self.life + 1
            self.world.loop.call_later(2.0, self.begin)
        except Exception as error:
            self.blame("start", f"{self.name} cannot go on: {error!r}")

    def _open(self, life: int) -> None:
        try:
            self._make(life)
        except OSError as error:
            # A log mended on a full disk, before there is a daemon: the command says so (secagg.cli).
            raise explained(error) or error from None

    def _make(self, life: int) -> None:
        loop = self.world.loop
        self.doing = "start"
        self.journal = SimulatedJournal(self.storage, self.point, self._again)
        self.service = self.make(Ledger(self))
        timers = Timers(loop, lambda: self._rings(life))
        self.daemon = Daemon(
            Wire(self, life, self.world.network.link(self.name)), self.journal, self.service, Beside(self, life),
            Ledger(self), later=timers.later, wall=lambda: START + 60 + int(loop.now) + self.skew, rng=self.rng,
            asks=True,
        )  # fmt: skip

    def _rings(self, life: int) -> bool:
        self.doing = "timer"
        return self.life == life

    def _again(self, sender: str) -> None:
        self.blame("once", f"{self.name} handles a message of {sender} again that it has handled")

    @abstractmethod
    def make(self, log: Any) -> Service:
        """Make the service, as the role's process does."""

    def told(self, level: str, event: str, values: dict[str, Any]) -> None:
        """Take what this role logs."""
        shown = {key: value for key, value in values.items() if key not in ("since", "until", "digest", "path")}
        self.world.note(self.name, f"{event} {shown}")
        # A full disk is loud, and no fault of the role's.
        if level == "error" and not fault(values.get("exc_info")):
            self.blame("fail", f"{self.name}: {event} {values!r}")
        elif event in ("fenced", "member_fenced"):
            self.world.violate("fence", f"{self.name}: {values!r}, and there is no clone of anybody")
        elif event == "overdue" and original(str(values.get("job"))) == LAST:
            # Nothing was in its way: whoever waits until the time of this round is over was not told of its end.
            self.blame("told", f"{self.name} is not told how {LAST} ended")
        elif event == "refuse" and "peer" in values and values.get("code") not in TRANSIENT:
            self.refused[values["peer"]] += 1

    def blame(self, rule: str, detail: str) -> None:
        """Record what an honest role must not do."""
        if self.honest:
            self.world.violate(rule, detail)
        else:
            self.world.note(self.name, f"{rule}: {detail}")

    def journal_of(self, key: str) -> bytes | None:
        """Return what the journal of this life keeps; None when there is no life."""
        return self.journal.get(key) if self.alive else None

    def ask(self, **request: object) -> Any:
        """Ask as a person does at the admin socket; None when nobody answers."""
        if not self.alive:
            return None
        self.doing = "command"
        try:
            return self.daemon.command(request)
        except (SecaggError, Crash) as error:
            self.world.note(self.name, f"answers {error!r}")
            return None


class KeyserverMachine(Machine):
    """The key server, with a federation that is enrolled already."""

    def __init__(self, world: World, root: Path, seed: int, given: Founded) -> None:
        shutil.copytree(given.directory, root)
        super().__init__(world, KEYSERVER, root, seed)
        self.storage.write([("put", key, value) for key, value in given.entries.items()])
        self.storage.sync()
        self._authority = given.authority

    def make(self, log: Any) -> Service:
        origin, online = self._authority.origin, self._authority.online
        tiles = TileLog(self.root / LOG, origin, origin, online)
        self._closing.append(tiles.close)
        directory = Directory(tiles, private_directory(self.root / ROSTERS))
        return KeyserverService(self._authority, Settings(ADDRESSES, BROKER_KEY), directory, self.rng, log)


class MemberMachine(Machine):
    """A member with the keys it enrolled with."""

    def __init__(self, world: World, name: str, root: Path, seed: int, given: Founded) -> None:
        super().__init__(world, name, root, seed)
        self.ring = given.rings[name]
        self.key = SigningKey.from_private_bytes(self.ring.sign.reveal())
        self.pin = Pin(given.authority.federation, given.authority.root_fingerprint)
        self.seat = name

    def blob(self, digest: bytes) -> Path:
        """Return where a blob of this digest lies."""
        return self.root / "blobs" / digest.hex()

    def has(self, digest: bytes) -> bool:
        """Say whether there is a blob of this digest."""
        return self.blob(digest).is_file()


class AggregatorMachine(MemberMachine):
    """The aggregator."""

    service: AggregatorService

    def make(self, log: Any) -> Service:
        origin = f"{self.pin.federation}/rounds"
        self.log = TileLog(private_directory(self.root / "audit") / "rounds", origin, origin, self.key)
        self._closing.append(self.log.close)
        keys = RoundKeys(self.root / "opening", self.ring.storage, self.rng)
        return AggregatorService(self.name, self.key, self.pin, self.root, self.log, keys, self.rng)


class NodeMachine(MemberMachine):
    """A node; its tasks and data lie beside its disk, because they are the institution's."""

    spot_leaves = 1
    engines: tuple[str, ...] = ("masks",)

    def __init__(self, world: World, name: str, root: Path, seed: int, given: Founded, plan: Plan) -> None:
        super().__init__(world, name, root, seed, given)
        self._plan = plan
        self.policy = Policy(
            engines=self.engines, exact_counts=True, allow_trials=True, changing_sets=plan.changing_sets,
            min_key_bits=SMALL,
        )  # fmt: skip
        # A file of its own: what is written there outlives a life that ends before the journal is kept.
        self.inputs = SimulatedInputs(sha256(name.encode()), self.key.public, self.point)
        self.editions: dict[str, str] = {}

    def fill(self, full: bool) -> None:
        """Let this machine's disk be full, its ledger's with it, or have space again."""
        super().fill(full)
        self.inputs.writable = not full

    def declare(self, source: str, edition: str) -> None:
        """Put next year's data where a source lies, write its edition into the configuration, and start anew."""
        self.editions[source] = edition
        index = self._plan.names.index(self.name)
        (self._data() / f"{source}.json").write_bytes(self._plan.data(index, next_year=True))
        if self.alive:
            self.end()
            self.world.loop.call_later(self.busy.between(0.1, 2), self.begin)

    def _data(self) -> Path:
        return self.root.with_name(f"{self.name}-data")

    def make(self, log: Any) -> Service:
        keys = RoundKeys(self.root / "rounds", self.ring.storage, self.rng)
        tasks = self._plan.tasks(self._data(), self.editions)
        return NodeService(
            self.name, self.key, self.pin, self.policy, tasks, self.root, keys, self.rng, self.inputs, None,
            self.spot_leaves,
        )  # fmt: skip
