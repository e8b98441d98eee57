"""Real trustee services in their real shell; members, the log and the aggregator's machine in process beside them.

The aggregator is the machine of secagg.protocol.paillier behind a link that the test holds. It carries messages to and
from trustees and hands out uploads piece by piece. Time is virtual, work is done at once; trustees die by `kill`
(nothing that was not saved survives) and come back by `open`.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from keyserver.trustee import decrypting
from keyserver.trustee.opening import Decrypt
from keyserver.trustee.service import TrusteeService
from keyserver.trustee.store import Store
from secagg.crypto.derive import sha256
from secagg.crypto.paillier.threshold import Share
from secagg.crypto.secret import Secret
from secagg.daemon import logs
from secagg.daemon.ledger import Ledger
from secagg.daemon.loop import Daemon
from secagg.daemon.membership import Pin
from secagg.daemon.turn import Turn
from secagg.log.statements import sign_statement
from secagg.protocol.manifest import digest
from secagg.protocol.paillier import aggregator
from secagg.protocol.paillier.rounds import Collecting, Combine, Opening, Witnessing
from secagg.protocol.round import stating
from secagg.protocol.round.events import Append, Deadline, Effect, Event, FromNode, Keep, Log, Logged, Send
from secagg.protocol.round.phases import Closed, Failed, Standing
from secagg.protocol.session import PIECE, AbortNotice, Fetch, PieceHeader, Present, RoundHeader
from secagg.rehearsal.entrusted import Entrusted, propose, table
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME
from secagg.rehearsal.run import held as held_of
from secagg.roster.chain import fingerprint
from secagg.roster.messages import RosterPush
from secagg.transport.link import KEYSERVER, Received
from secagg.transport.memory import MemoryNetwork
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope
from support.aggregating import Inline
from support.arriving import turns
from support.federation import counted_rng, inputs_of
from support.granting import Granter
from support.memory import MemoryJournal
from support.serving import Serving
from support.timers import VirtualTimers

STORAGE = Secret(bytes(range(32)))


def in_process(engine: str, phase: object, name: str, collected: bytes, state_dir: Path, storage: Secret) -> object:
    """Do here what is otherwise done in a process of its own."""
    return decrypting.work(decrypting.Order(engine, encode(phase), name, collected, str(state_dir), storage.reveal()))


class Trustee(Serving):
    """One trustee: its state directory with an accepted share, its daemon."""

    def __init__(self, name: str, entrusted: Entrusted, place: Path, decrypt: Decrypt) -> None:
        self.name, self.entrusted, self.place, self.decrypt = name, entrusted, place, decrypt
        self.journal, self.log = MemoryJournal(), io.StringIO()
        self.rng = counted_rng(name.encode())
        secret = entrusted.secrets[name]
        kept = secret.secret if isinstance(secret, Share) else secret.private_bytes()
        Store(place, STORAGE, self.rng).keep(entrusted.custody.key, kept)
        self.events: list[dict[str, Any]] = []
        self.alive, self.now = False, START_OF_TIME

    def open(self, network: MemoryNetwork) -> None:
        """Start the daemon over what was kept."""
        self.timers = VirtualTimers()
        nodes = self.entrusted.nodes
        pin = Pin(nodes.spec.federation, fingerprint(nodes.root_key))
        key = self.entrusted.trustees[self.name]
        self.service = TrusteeService(self.name, key, pin, self.place, STORAGE, self.rng, self.decrypt)
        self.daemon = Daemon(
            network.link(self.name), self.journal, self.service, Inline(1),
            logs.configure("trustee", self.name, file=self.log), later=self.timers.later, wall=lambda: self.now,
            rng=self.rng,
        )  # fmt: skip
        self.daemon._publish = lambda event: self.events.append(event.shown())  # type: ignore[method-assign]
        self.serving = asyncio.create_task(self.daemon.serve())
        self.alive = True


    def ledger(self) -> Ledger:
        """Return what this trustee remembers, as it is on its disk now."""
        with self.journal.transaction() as transaction:
            return Ledger(Turn(transaction, 0, self.rng))

    def stands(self) -> int:
        """Return how many entries the round log has in the last checkpoint that this trustee accepted."""
        last = self.ledger().last(f"{self.entrusted.nodes.spec.federation}/rounds")
        return last.size if last else 0


class Chamber:
    """One federation's trustees and whoever talks to them; `play` runs a script against them."""

    def __init__(self, entrusted: Entrusted, place: Path, decrypt: Decrypt = in_process, **manifest: object) -> None:
        self.entrusted = entrusted
        self.network = MemoryNetwork()
        self.keyserver, self.link = self.network.link(KEYSERVER), self.network.link(AGGREGATOR)
        self.trustees = {name: Trustee(name, entrusted, place / name, decrypt) for name in entrusted.trustees}
        proposed = propose(entrusted, **manifest)  # type: ignore[arg-type]
        self.table = table(entrusted, inputs_of(entrusted.nodes, proposed), manifest=proposed)
        self.rng = counted_rng(b"chamber")
        self.starts = Granter(self.keyserver, entrusted.trustees, entrusted.nodes.online)
        self.present: dict[str, int] = {}
        self.decided: dict[str, tuple[str, int]] = {}
        self.acknowledges = True
        self.sent: list[tuple[str, str, bytes]] = []
        self.unacknowledged: dict[bytes, tuple[str, bytes, bytes]] = {}
        self.answers: dict[tuple[str, str], list[bytes]] = {}
        self.fetched: list[tuple[str, bytes, int]] = []
        self.instead: dict[str, Callable[[], None]] = {}
        self.serve: Callable[[bytes], bytes] = lambda data: data

    def play(self, script: Callable[["Chamber"], Awaitable[None]]) -> "Chamber":
        """Serve while the script runs."""

        async def main() -> None:
            for one in self.trustees.values():
                one.open(self.network)
            try:
                await self.settle()
                await self.push()
                await script(self)
            finally:
                for one in self.trustees.values():
                    if one.alive:
                        await one.kill()

        asyncio.run(main())
        return self

    async def push(self) -> None:
        """Let the key server push the roster to every trustee."""
        directory = self.entrusted.nodes.directory
        body = RosterPush(self.entrusted.nodes.roster, directory.leaf(1), encode(directory.prove(1)))
        for name in self.trustees:
            await self.keyserver.send(name, "roster", b"", encode(body), id=self.rng(16))
        await self.settle()

    async def revive(self, name: str) -> None:
        """Start a trustee again over what it kept."""
        self.trustees[name].open(self.network)
        await self.settle()

    async def begin(self) -> None:
        """Propose the round."""
        held = {name: held_of(member) for name, member in self.table.parties.items()}
        trustees = {name: self.present.get(name, 0) for name in self.entrusted.trustees}
        standings = tuple(Standing(name, size) for name, size in (trustees | held).items())
        turned = aggregator.start(self.table.manifest, standings, self.table.keeper)
        self.table.phase = turned.phase
        await self.carry_out(turned.effects)
        await self.settle()

    async def deadline(self) -> None:
        """Let the step's time be over."""
        phase = self.table.phase
        if not isinstance(phase, Collecting | Witnessing | Opening):
            raise AssertionError("nothing is waited for")
        await self.event(Deadline(aggregator.step_of(phase)))
        await self.settle()

    async def event(self, event: Event) -> None:
        """Give the aggregator's machine one event."""
        if self.table.phase is None:
            raise AssertionError("the round has not begun")
        turned = self.table.advance(self.table.phase, event)
        self.table.phase = turned.phase
        await self.carry_out(turned.effects)

    async def carry_out(self, effects: tuple[Effect, ...]) -> None:
        """Do what the machine asks for."""
        held = self.table
        for effect in effects:
            match effect:
                case Append(statement):
                    held.log.append(sign_statement(statement, held.keeper.name, held.keeper.key))
                case Log(statement, sizes):
                    leaf = sign_statement(statement, held.keeper.name, held.keeper.key)
                    index = held.log.append(leaf)
                    held.log.publish()
                    held.queue.append(Logged(leaf, tuple(held.log.prove(index, size) for size in sizes)))
                case Keep(data):
                    held.files[sha256(data).hex()] = data
                case Send():
                    await self._send(effect)
                case Combine():
                    held.queue.append(held.open_sum(effect))

    async def _send(self, effect: Send) -> None:
        if effect.to in self.instead:
            self.instead[effect.to]()
        elif effect.to in self.table.parties:
            self.table.deliver(effect)
        else:
            await self.say(effect.to, effect.kind, effect.data)

    async def say(self, to: str, kind: str, data: bytes, round_id: Any = None) -> None:
        """Send a trustee a message of the round, as a durable one of the aggregator."""
        self.sent.append((to, kind, data))
        header, id = encode(RoundHeader(round_id or self.table.manifest.round, kind)), self.rng(16)
        self.unacknowledged[id] = (to, header, data)
        await self.link.send(to, "round", header, data, id=id)

    async def abort(self, to: str, step: str = "Decrypt", scope: Scope | None = None) -> AbortNotice:
        """Log that an attempt ended without a result, the one at hand unless `scope` is another, and tell a trustee."""
        held = self.table
        where = scope or Scope(held.manifest.round, digest(encode(held.manifest)))
        leaf = sign_statement(
            stating.aborted(where, step, "a test", (), START_OF_TIME), held.keeper.name, held.keeper.key
        )
        index = held.log.append(leaf)
        held.log.publish()
        notice = AbortNotice(
            where.round, leaf, held.log.prove(index, self.trustees[to].stands())
        )
        await self.tell_aborted(to, notice)
        return notice

    async def tell_aborted(self, to: str, notice: AbortNotice) -> None:
        """Tell a trustee that an attempt ended without a result."""
        await self.link.send(to, "aborted", b"", encode(notice), id=self.rng(16))
        await self.settle()

    async def again(self) -> None:
        """Send what was not acknowledged once more, as the aggregator's outbox does."""
        for id, (to, header, data) in list(self.unacknowledged.items()):
            await self.link.send(to, "round", header, data, id=id)
        await self.settle()

    async def settle(self) -> None:
        """Carry messages until nobody has anything to say."""
        quiet = 0
        while quiet < 3:
            await turns(40)
            for one in self.trustees.values():
                if one.alive:
                    one.timers.pass_time(0)
            await self.starts.grant()
            heard = bool(self.link._queue or self.table.queue)
            while self.table.queue:
                await self.event(self.table.queue.popleft())
            while self.link._queue:
                await self._hear(await self.link.receive())
            quiet = 0 if heard else quiet + 1

    async def wait(self, seconds: float) -> None:
        """Let virtual time pass for every trustee."""
        for _ in range(round(seconds / 0.5)):
            for one in self.trustees.values():
                if one.alive:
                    one.timers.pass_time(0.5)
            await self.settle()

    async def _hear(self, message: Received) -> None:
        if message.kind in ("ack", "retry-later"):
            if message.kind == "ack":
                self.unacknowledged.pop(message.id, None)
            return
        if message.id and self.acknowledges:
            await self.link.send(message.sender, "ack", b"", id=message.id)
        match message.kind:
            case "present":
                said = decode(Present, message.body)
                self.present[message.sender] = said.log_size
                self.decided[message.sender] = (said.job, said.next_round)
            case "round":
                kind = decode(RoundHeader, message.header).kind
                self.answers.setdefault((message.sender, kind), []).append(message.body)
                if kind != "Ended" and not isinstance(self.table.phase, Closed | Failed):
                    self.table.queue.append(FromNode(message.sender, kind, message.body))
            case "fetch":
                await self._serve(message.sender, decode(Fetch, message.body))

    async def _serve(self, to: str, asked: Fetch) -> None:
        self.fetched.append((to, asked.digest, asked.index))
        data = {sha256(data): data for data in self.table.uploads.values()}.get(asked.digest)
        if data is None:
            return
        part = self.serve(data[asked.index * PIECE : (asked.index + 1) * PIECE])
        await self.link.send(to, "piece", encode(PieceHeader(asked.digest, asked.index, len(data))), part)

    def sums(self) -> Closed:
        """Return the closed round. Raises: AssertionError when it did not close."""
        if not isinstance(self.table.phase, Closed):
            raise AssertionError(f"the round stands in {type(self.table.phase).__name__}")
        return self.table.phase
