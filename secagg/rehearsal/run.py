"""A whole round of any engine in one process, on one page: what docs, tests, simulation and benchmarks run.

`run_round` plays every member, every trustee and the aggregator through the real messages, codec, signatures, proofs
and log. `drops` names the step before whose message a member or a trustee falls silent. Nothing here is simplified
except the wire. What each side's work took is in `spent`: seconds of `timer` by name, and by the aggregator's part.
Leaves to others: processes, links and crashes (roles); who the parties are (federation.py and entrusted.py make some).

Four members sum two numbers each, and c falls silent before it uploads:

>>> import numpy as np
>>> from secagg.crypto.rng import system_rng
>>> from secagg.protocol import lanes, server_step
>>> from secagg.protocol.manifest import JobSpec
>>> from secagg.rehearsal import federation
>>> from secagg.vector.codec import Fixed, Lane
>>> names = ("a", "b", "c", "d")
>>> spec = JobSpec("fed", "counts", "sum", "counts", 1, names, 3, (Lane("update", 2, Fixed()),), 1, 1000, 10_000)
>>> made = federation.found(names, spec, system_rng)
>>> manifest = federation.propose(made)
>>> inputs = {name: lanes.encode_sum(manifest, np.array([1.0, 2.5])) for name in names}
>>> end = run_round(federation.table(made, inputs, {"c": "MaskedInput"}, manifest=manifest))
>>> end.published.contributors
('a', 'b', 'd')
>>> server_step.sums_of(spec, end.published, manifest.round).vectors["update"].tolist()
[3.0, 7.5]
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from secagg.crypto.derive import sha256
from secagg.crypto.secret import Secret
from secagg.log.log import Log as AppendOnly
from secagg.log.log import publish_entry
from secagg.log.statements import Statement, sign_statement
from secagg.protocol import engines
from secagg.protocol.engine import Engine, Phase
from secagg.protocol.inputs import Naming, rehearsed
from secagg.protocol.lanes import Contribution, Groups, Ready
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.round.asked import Named, Running, Stage
from secagg.protocol.round.events import (
    Append,
    Deadline,
    Effect,
    Event,
    FromNode,
    Judge,
    Keep,
    Log,
    Logged,
    Open,
    Send,
    Step,
    Turned,
)
from secagg.protocol.round.lists import senders
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import AggregatorContext, NodeContext
from secagg.protocol.round.phases import Closed, Common, Failed, Standing
from secagg.protocol.round.trustees import TrusteeContext
from secagg.rehearsal.notebook import Notebook
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed


@dataclass
class Party:
    """A member in process: its context, its notebook, its phase."""

    ctx: NodeContext
    notebook: Notebook
    phase: object = None


@dataclass
class Holder:
    """A trustee in process: its context, its notebook, its share, its phase."""

    ctx: TrusteeContext
    notebook: Notebook
    secret: Secret
    phase: object = None


@dataclass
class Table:
    """The table the parties sit at: everything that a link, a disk and a log do for the real roles.

    Uploads that are not kept are added as they come and let go, so that memory stays O(d), and are not verified.
    """

    manifest: Manifest
    parties: Mapping[str, Party]
    keeper: AggregatorContext
    log: AppendOnly
    inputs: Mapping[str, Groups | Contribution]
    drops: Mapping[str, str] = field(default_factory=dict)
    holders: Mapping[str, Holder] = field(default_factory=dict)
    place: Path = Path()
    executor: Executor = field(default_factory=lambda: ThreadPoolExecutor(1))
    keep_uploads: bool = True
    given: Naming = rehearsed
    timer: Callable[[], float] = time.perf_counter
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    added: Running | None = None
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    wire: list[FromNode | Send] = field(default_factory=list)
    phase: Phase | None = None
    queue: deque[Event] = field(default_factory=deque)

    @property
    def engine(self) -> Engine:
        """Return the engine of the round."""
        return engines.load(self.manifest.engine)

    @property
    def scope(self) -> Scope:
        """Return the scope of the round."""
        return Scope(self.manifest.round, digest(encode(self.manifest)))

    def begin(self) -> None:
        """Propose the round to everybody."""
        everybody: Mapping[str, Party | Holder] = {**self.holders, **self.parties}
        standings = tuple(Standing(name, held(party)) for name, party in everybody.items())
        self.take(self.engine.sums.start(self.manifest, standings, self.keeper))

    def step(self) -> None:
        """Take the next event; with none the step's time is over."""
        phase = self.running()
        if not self.queue:
            if Stage.WAITS not in self.engine.sums.stage(phase):
                raise RuntimeError(f"the round stands still in {type(phase).__name__}")
            self.queue.append(Deadline(self.engine.sums.step_of(phase)))
        self.take(self.advance(phase, self.queue.popleft()))

    def running(self) -> Common:
        """Return the aggregator's phase of a round that goes on."""
        if not isinstance(self.phase, Common):
            raise RuntimeError("the round has not started, or is over")
        return self.phase

    def advance(self, phase: Phase, event: Event) -> Turned[Phase]:
        """Return what the aggregator makes of an event."""
        return self.engine.sums.advance(phase, event, self.keeper)

    def take(self, turned: Turned[Phase]) -> None:
        """Save the phase, then carry the effects out in order."""
        self.phase = turned.phase
        for effect in turned.effects:
            self.carry_out(effect)

    def carry_out(self, effect: Effect) -> None:
        """Do one thing that the aggregator's machine asks for."""
        match effect:
            case Append(statement):
                self.log.append(self.sign(statement))
            case Log(statement, old_sizes):
                leaf = self.sign(statement)
                self.queue.append(Logged(leaf, publish_entry(self.log, leaf, old_sizes)))
            case Keep(data):
                self.files[sha256(data).hex()] = data
            case Send():
                self.wire.append(effect)
                if not self.silent(effect):
                    self.deliver(effect)
            case Judge():
                with self.clock("judge"):
                    self.queue.append(self.engine.sums.judge(self.running()))
            case Open():
                self.queue.append(self.open_sum(effect))

    def sign(self, statement: Statement) -> bytes:
        """Return a leaf of the round log."""
        return sign_statement(statement, self.keeper.name, self.keeper.key)

    def steps_of(self, name: str) -> Mapping[str, str]:
        """Return the step in which a party answers each of the aggregator's messages, in the order of steps."""
        return self.engine.member.ANSWERS

    def silent(self, message: Send) -> bool:
        """Return whether the receiver has dropped out before the step in which it would answer."""
        answers = self.steps_of(message.to)
        order, last, step = tuple(answers.values()), self.drops.get(message.to), answers.get(message.kind)
        return last in order and step in order and order.index(last) <= order.index(step)

    def deliver(self, message: Send) -> None:
        """Let a party check, remember and answer."""
        if message.to in self.parties:
            self._member(message, self.parties[message.to])
        else:
            self._holder(message, self.holders[message.to])

    def protect(self, name: str, phase: object, given: Contribution) -> tuple[bytes | bytearray, Named]:
        """Return a member's upload and what its header says."""
        rng = self.parties[name].ctx.rng
        return self.engine.member.protect(phase, name, given, rng, self.place, self.executor)

    def answer(self, name: str, phase: object, collected: bytes) -> object:
        """Return the event of a trustee's answer to what it collected."""
        side, holder = engines.opener_of(self.manifest.engine), self.holders[name]
        return side.answer(phase, name, collected, holder.secret, holder.ctx.rng, self.executor)

    def open_sum(self, asked: Effect | None = None) -> Event:
        """Open the sum of the frozen uploads; without `asked` as after a restart."""
        phase, sums, added = self.running(), self.engine.sums, self.added
        with self.clock("product"):
            if added is None:
                added = sums.running(self.manifest)
                for name in senders(sums.list_of(phase)):
                    added.add(self.uploads[name])
        with self.clock("combine"):
            return sums.open_sum(phase, added, self.files.__getitem__, asked)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Add what the body takes to `spent`."""
        began = self.timer()
        yield
        self.spent[name] += self.timer() - began

    def _member(self, message: Send, party: Party) -> None:
        """Play a node: it answers, and once its words are wanted it protects them and hands over the upload."""
        side, name = self.engine.member, message.to
        if message.kind == "Propose":
            step = side.start(decode(Propose, message.data, LIMIT_LIST), party.ctx)
        else:
            step = side.advance(party.phase, decode(Signed, message.data, LIMIT_LIST), party.ctx)
        self.kept(name, party, step)
        if Stage.READY not in side.stage(step.phase):
            return
        given = self.inputs[name]
        with self.clock(name):
            data, named = self.protect(name, step.phase, Ready(given) if isinstance(given, dict) else given)
        entry = self.given(self.manifest, self.scope, name, party.notebook.entries())
        done = side.advance(step.phase, side.counted(named, entry), party.ctx)
        self.upload(name, data, done)
        self.kept(name, party, done)

    def upload(self, name: str, data: bytes | bytearray, done: Step[object]) -> None:
        """Verify an upload at the aggregator's door, before its header counts, and keep it or add it."""
        sums = self.engine.sums
        if not self.keep_uploads:
            self.added = self.added or sums.running(self.manifest)
            self.added.add(memoryview(data))
            return
        self.uploads[name] = bytes(data)
        with self.clock("verify"):
            for kind, sent in done.send:
                if kind == sums.UPLOAD:
                    sums.verify(self.running(), name, decode(Signed, sent), self.uploads[name])

    def _holder(self, message: Send, holder: Holder) -> None:
        """Play a trustee: it checks, and when it has decided it takes in the uploads itself and answers."""
        side, name = engines.opener_of(self.manifest.engine), message.to
        if message.kind == "Propose":
            step = side.start(decode(Propose, message.data, LIMIT_LIST), holder.ctx)
        else:
            step = side.advance(holder.phase, decode(Signed, message.data, LIMIT_LIST), holder.ctx)
        self.kept(name, holder, step)
        if Stage.OPENS not in side.stage(step.phase):
            return
        with self.clock(name):
            collector = side.collect(step.phase)
            for member in tuple(collector.wanted()):
                collector.add(member, self.uploads[member])
            made = self.answer(name, step.phase, collector.close())
        self.kept(name, holder, side.advance(step.phase, made, holder.ctx))

    def kept(self, name: str, party: Party | Holder, step: Step[object]) -> None:
        """Save what a party's step leaves, then send what it says."""
        party.phase = step.phase
        party.notebook.records.extend(step.records)
        for kind, data in step.send:
            said = FromNode(name, kind, data)
            self.wire.append(said)
            self.queue.append(said)


def run_round(table: Table) -> Closed | Failed:
    """Run one round to its end and return the last phase.

    Raises: a party's refusal is not swallowed: ProtocolViolation and its subclasses leave as they are raised.
    """
    table.begin()
    while not isinstance(table.phase, Closed | Failed):
        table.step()
    return table.phase


def held(party: Party | Holder) -> int:
    """Return how many entries of the round log a party has accepted."""
    last = party.notebook.last(party.ctx.expect.log_origin)
    return last.size if last else 0
