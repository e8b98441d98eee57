"""One round of any engine in process, asked through its sides alone: what the daemons do, without links and disks.

Every phase is saved as its bytes and read back before it is used, as after a crash. `drop` names members that never
answer, `instead` what is done with a message for a member in place of handing it over.
"""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.threshold import Share
from secagg.crypto.secret import Secret
from secagg.log.log import MemoryLog, publish_entry
from secagg.log.statements import Statement, sign_statement
from secagg.protocol import engines
from secagg.protocol.acceptance import Policy
from secagg.protocol.engine import Engine, Phase
from secagg.protocol.inputs import rehearsed
from secagg.protocol.lanes import Groups, Ready
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.round.asked import Stage
from secagg.protocol.round.events import Append, Deadline, Effect, Event, FromNode, Judge, Keep, Log, Logged, Open, Send
from secagg.protocol.round.lists import senders
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import AggregatorContext, NodeContext
from secagg.protocol.round.phases import Closed, Common, Failed, Standing
from secagg.protocol.round.trustees import TrusteeContext
from secagg.rehearsal.entrusted import holder
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation, party, propose
from secagg.rehearsal.notebook import Notebook
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed
from support import entrusted
from support.federation import inputs_of, make

MEMBERS = 4


@dataclass
class Node:
    """A member: who it is, what it remembers, its phase as it lies on its disk."""

    ctx: NodeContext
    notebook: Notebook
    phase: bytes = b""


@dataclass
class Trustee:
    """A trustee: the same, and its share."""

    ctx: TrusteeContext
    notebook: Notebook
    secret: Secret
    phase: bytes = b""


@dataclass
class Round:
    """A round, and everything that a link, a disk and a log do for the real roles."""

    engine: Engine
    federation: Federation
    manifest: Manifest
    nodes: Mapping[str, Node]
    trustees: Mapping[str, Trustee]
    inputs: Mapping[str, Groups]
    place: Path
    drop: frozenset[str] = frozenset()
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    sent: list[Send | FromNode] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    said: list[Statement] = field(default_factory=list)
    queue: deque[Event] = field(default_factory=deque)
    saved: bytes = b""

    def __post_init__(self) -> None:
        origin = f"{self.federation.spec.federation}/rounds"
        self.log = MemoryLog(origin, origin, self.federation.aggregator)
        self.keeper = AggregatorContext(
            AGGREGATOR, self.federation.aggregator, self.federation.rng, self.federation.opening, START_OF_TIME
        )
        self.scope = Scope(self.manifest.round, digest(encode(self.manifest)))

    @property
    def phase(self) -> Phase:
        """Return the aggregator's phase, read from its bytes."""
        return self.engine.sums.read(self.saved)

    def begin(self) -> None:
        """Propose the round."""
        standings = tuple(Standing(name, 0) for name in (*self.trustees, *self.nodes))
        turned = self.engine.sums.start(self.manifest, standings, self.keeper)
        self._turned(turned.phase, turned.effects)

    def step(self) -> None:
        """Take the next event; with none the step's time is over."""
        sums, phase = self.engine.sums, self.phase
        if not self.queue:
            assert isinstance(phase, Common)
            assert Stage.WAITS in sums.stage(phase), type(phase).__name__
            self.queue.append(Deadline(sums.step_of(phase)))
        event = self.queue.popleft()
        if isinstance(event, FromNode) and event.kind == sums.UPLOAD and isinstance(phase, Common):
            # As at the aggregator's door: whole and verified before it counts.
            sums.check_header(phase, event)
            sums.verify(phase, event.sender, decode(Signed, event.data), self.uploads[event.sender])
        turned = sums.advance(phase, event, self.keeper)
        self._turned(turned.phase, turned.effects)

    def play(self) -> Closed | Failed:
        """Run the round to its end."""
        self.begin()
        while not isinstance(end := self.phase, Closed | Failed):
            self.step()
        return end

    def reach(self, stage: Stage) -> Common:
        """Run the round until a phase has this stage."""
        self.begin()
        while not (isinstance(phase := self.phase, Common) and stage in self.engine.sums.stage(phase)):
            self.step()
        return phase

    # What the shells do ----------------------------------------------------------------------------------------------

    def _turned(self, phase: Phase, effects: tuple[Effect, ...]) -> None:
        self.saved = encode(phase)
        assert self.phase == phase
        self.phases.append(phase)
        self.stages.append(self.engine.sums.stage(phase))
        for effect in effects:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Append(statement):
                self._state(statement)
            case Log(statement, sizes):
                leaf = self._state(statement, append=False)
                self.queue.append(Logged(leaf, publish_entry(self.log, leaf, sizes)))
            case Keep(data):
                self.files[sha256(data).hex()] = data
            case Send():
                self.sent.append(effect)
                self._deliver(effect)
            case Judge():
                phase = self.phase
                assert isinstance(phase, Common)
                self.queue.append(self.engine.sums.judge(phase))
            case Open():
                self.queue.append(self.opened(effect))

    def _state(self, statement: Statement, append: bool = True) -> bytes:
        self.said.append(statement)
        leaf = sign_statement(statement, AGGREGATOR, self.federation.aggregator)
        if append:
            self.log.append(leaf)
        return leaf

    def opened(self, asked: Effect | None = None) -> Event:
        """Open the sum of the frozen uploads; without `asked` as after a restart."""
        phase = self.phase
        assert isinstance(phase, Common)
        running = self.engine.sums.running(self.manifest)
        for name in senders(self.engine.sums.list_of(phase)):
            running.add(self.uploads[name])
        return self.engine.sums.open_sum(phase, running, self.files.__getitem__, asked)

    def _deliver(self, message: Send) -> None:
        if message.to in self.drop:
            return
        if message.to in self.nodes:
            self._node(message, self.nodes[message.to])
        else:
            self._trustee(message, self.trustees[message.to])

    def _node(self, message: Send, node: Node) -> None:
        side, name = self.engine.member, message.to
        if message.kind == "Propose":
            step = side.start(decode(Propose, message.data, LIMIT_LIST), node.ctx)
        else:
            step = side.advance(side.read(node.phase), decode(Signed, message.data, LIMIT_LIST), node.ctx)
        self._keep(node, step.phase, side.read)
        node.notebook.records.extend(step.records)
        self._say(name, step.send)
        if Stage.READY not in side.stage(step.phase):
            return
        phase = side.read(node.phase)
        with ThreadPoolExecutor(1) as workers:
            data, done = side.protect(phase, name, Ready(self.inputs[name]), node.ctx.rng, self.place, workers)
        self.uploads[name] = bytes(data)
        given = rehearsed(self.manifest, self.scope, name, node.notebook.entries())
        step = side.advance(phase, side.counted(done, given), node.ctx)
        self._keep(node, step.phase, side.read)
        node.notebook.records.extend(step.records)
        self._say(name, step.send)

    def _trustee(self, message: Send, one: Trustee) -> None:
        side = engines.opener_of(self.manifest.engine)
        if message.kind == "Propose":
            step = side.start(decode(Propose, message.data, LIMIT_LIST), one.ctx)
        else:
            step = side.advance(side.read(one.phase), decode(Signed, message.data, LIMIT_LIST), one.ctx)
        self._keep(one, step.phase, side.read)
        one.notebook.records.extend(step.records)
        self._say(message.to, step.send)
        if Stage.OPENS not in side.stage(step.phase):
            return
        phase = side.read(one.phase)
        collector = side.collect(phase)
        for member in tuple(collector.wanted()):
            collector.add(member, self.uploads[member])
        with ThreadPoolExecutor(1) as workers:
            answer = side.answer(phase, message.to, collector.close(), one.secret, one.ctx.rng, workers)
        step = side.advance(phase, side.read_answer(encode(answer)), one.ctx)
        self._keep(one, step.phase, side.read)
        self._say(message.to, step.send)

    def _keep(self, one: Node | Trustee, phase: object, read: Callable[[bytes], object]) -> None:
        one.phase = encode(phase)
        assert read(one.phase) == phase

    def _say(self, name: str, sent: tuple[tuple[str, bytes], ...]) -> None:
        for kind, data in sent:
            message = FromNode(name, kind, data)
            self.sent.append(message)
            self.queue.append(message)


def seat(name: str, place: Path, drop: frozenset[str] = frozenset()) -> Round:
    """Seat a federation of four, and trustees where the engine has them."""
    if name in engines.ENTRUSTED:
        return _entrusted(name, place, drop)
    federation = make(MEMBERS, engine=name)
    policy = Policy(engines=(name,), exact_counts=True)
    parties = {member: party(federation, member, policy=policy) for member in federation.members}
    nodes = {member: Node(one.ctx, one.notebook) for member, one in parties.items()}
    return _round(name, federation, nodes, {}, place, drop)


def _entrusted(name: str, place: Path, drop: frozenset[str]) -> Round:
    given = entrusted.make(MEMBERS)
    nodes = {}
    for member in given.nodes.members:
        one = party(given.nodes, member, policy=given.policy)
        ctx = replace(one.ctx, expect=replace(one.ctx.expect, trustees=given.custody.trustees))
        nodes[member] = Node(ctx, one.notebook)
    trustees = {}
    for trustee in given.trustees:
        held, secret = holder(given, trustee), given.secrets[trustee]
        kept = secret.secret if isinstance(secret, Share) else secret.private_bytes()
        trustees[trustee] = Trustee(held.ctx, held.notebook, kept)
    return _round(name, given.nodes, nodes, trustees, place, drop)


def _round(
    name: str, federation: Federation, nodes: Mapping[str, Node], trustees: Mapping[str, Trustee], place: Path,
    drop: frozenset[str],
) -> Round:  # fmt: skip
    manifest = propose(federation)
    inputs = inputs_of(federation, manifest)
    return Round(engines.load(name), federation, manifest, nodes, trustees, inputs, place, drop)
