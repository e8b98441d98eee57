"""A whole round of engine `paillier` in one process, on one page: what docs, tests and benchmarks run.

`run_round` plays every member, every trustee and the aggregator through the real messages, codec, signatures, proofs
and log. `drops` names the step before whose message a member or a trustee falls silent. Nothing here is simplified
except the wire. What each side's work took is in `spent`: seconds of `timer` by name, and by the aggregator's part.
Leaves to others: processes, links and crashes (roles); who the parties are (rehearsal.py makes some).
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.encrypt import obfuscate
from secagg.crypto.paillier.numbers import Numbers
from secagg.crypto.paillier.table import Table
from secagg.log.log import Log as AppendOnly
from secagg.log.log import publish_entry
from secagg.log.statements import sign_statement
from secagg.protocol.inputs import Naming, rehearsed
from secagg.protocol.lanes import Groups, decode_sums
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.paillier import aggregator, node, trustee
from secagg.protocol.paillier.accepting import check_upload
from secagg.protocol.paillier.decrypting import Collector, Secret, answer, collect
from secagg.protocol.paillier.encrypting import protect
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import ANSWERED_BY, EncryptedInput
from secagg.protocol.paillier.opening import open_sum, read_answer
from secagg.protocol.paillier.phases import Decrypting, Encrypting, NodePhase, TrusteePhase
from secagg.protocol.paillier.rounds import Combine, Combined, Opening, Phase, Waiting, complete
from secagg.protocol.round.events import Append, Deadline, Effect, Event, FromNode, Keep, Log, Logged, Send
from secagg.protocol.round.lists import senders
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import AggregatorContext, NodeContext
from secagg.protocol.round.phases import Closed, Failed, Standing
from secagg.protocol.round.trustees import TrusteeContext
from secagg.rehearsal.notebook import Notebook
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed


@dataclass
class Member:
    """A node in process: its context, its notebook, its phase."""

    ctx: NodeContext
    notebook: Notebook
    phase: NodePhase | None = None


@dataclass
class Holder:
    """A trustee in process: its context, its notebook, its share, its phase."""

    ctx: TrusteeContext
    notebook: Notebook
    secret: Secret
    phase: TrusteePhase | None = None


@dataclass
class Rehearsal:
    """The table the parties sit at: everything that a link, a disk and a log do for the real roles."""

    manifest: Manifest
    members: Mapping[str, Member]
    holders: Mapping[str, Holder]
    keeper: AggregatorContext
    log: AppendOnly
    inputs: Mapping[str, Groups]
    powers: Table
    drops: Mapping[str, str] = field(default_factory=dict)
    executor: Executor | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    given: Naming = rehearsed
    timer: Callable[[], float] = time.perf_counter
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    wire: list[FromNode | Send] = field(default_factory=list)
    phase: Phase | None = None
    queue: deque[Event] = field(default_factory=deque)

    def keep_upload(self, member: str, data: bytes) -> None:
        """Store a member's upload where everybody fetches it."""
        self.uploads[member] = data

    def products(self, phase: Opening) -> Numbers:
        """Return the product of U's uploads as the aggregator makes it."""
        return _product(Collector(phase.manifest, phase.scope, phase.u, self.executor), self)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Add what the body takes to `spent`."""
        began = self.timer()
        yield
        self.spent[name] += self.timer() - began


def run_round(table: Rehearsal) -> Closed | Failed:
    """Run one round to its end and return the last phase.

    Raises: a refusal of a member or trustee is not swallowed: ProtocolViolation and its subclasses leave as raised.
    """
    parties: Mapping[str, Member | Holder] = {**table.holders, **table.members}
    standings = tuple(Standing(name, _held(party)) for name, party in parties.items())
    turned: aggregator.Turned = aggregator.start(table.manifest, standings, table.keeper)
    table.phase = turned.phase
    _carry_out(table, turned.effects)
    while not isinstance(table.phase, Closed | Failed):
        if table.queue:
            _event(table, table.queue.popleft())
        elif isinstance(table.phase, Waiting):
            _event(table, Deadline(aggregator.step_of(table.phase)))
        else:
            raise RuntimeError(f"the round stands still in {type(table.phase).__name__}")
    return table.phase


def _held(party: Member | Holder) -> int:
    last = party.notebook.last(party.ctx.expect.log_origin)
    return last.size if last else 0


def _event(table: Rehearsal, event: Event) -> None:
    if table.phase is None:
        raise RuntimeError("the round has not started")
    turned = aggregator.advance(table.phase, event, table.keeper)
    table.phase = turned.phase
    _carry_out(table, turned.effects)


def _carry_out(table: Rehearsal, effects: tuple[Effect, ...]) -> None:
    for effect in effects:
        match effect:
            case Append(statement):
                table.log.append(sign_statement(statement, table.keeper.name, table.keeper.key))
            case Log(statement, old_sizes):
                leaf = sign_statement(statement, table.keeper.name, table.keeper.key)
                table.queue.append(Logged(leaf, publish_entry(table.log, leaf, old_sizes)))
            case Keep(data):
                table.files[sha256(data).hex()] = data
            case Send():
                table.wire.append(effect)
                _deliver(table, effect)
            case Combine():
                table.queue.append(_combine(table))


def _deliver(table: Rehearsal, message: Send) -> None:
    """Let a party check, remember and answer; one that dropped before this step does nothing."""
    if message.to in table.members:
        if table.drops.get(message.to) != "EncryptedInput":
            _encrypt(table, table.members[message.to], message)
        return
    steps = ("Attend", "Witness", "Decrypt")
    step = ANSWERED_BY.get(message.kind, "Attend")
    if message.to in table.drops and steps.index(table.drops[message.to]) <= steps.index(step):
        return
    _ask(table, table.holders[message.to], message)


def _encrypt(table: Rehearsal, member: Member, message: Send) -> None:
    """Play a node: accept, encrypt, sign; the aggregator verifies the upload before its header counts."""
    name = message.to
    done = node.start(decode(Propose, message.data, LIMIT_LIST), member.ctx)
    member.notebook.records.extend(done.records)
    if not isinstance(done.phase, Encrypting):
        raise RuntimeError("a node encrypts after it accepted")
    with table.clock(name):
        upload, encrypted = protect(
            done.phase, name, table.inputs[name],
            lambda count: obfuscate(table.powers, count, member.ctx.rng, table.executor), member.ctx.rng,
        )  # fmt: skip
    given = table.given(done.phase.manifest, done.phase.scope, name, member.notebook.entries())
    done = node.advance(done.phase, replace(encrypted, given=given), member.ctx)
    member.phase = done.phase
    member.notebook.records.extend(done.records)
    table.keep_upload(name, upload)
    for kind, data in done.send:
        _accept(table, name, decode(Signed, data))
        table.wire.append(FromNode(name, kind, data))
        table.queue.append(FromNode(name, kind, data))


def _accept(table: Rehearsal, name: str, header: Signed) -> None:
    """Verify an upload at the aggregator's door, before its header counts."""
    scope = Scope(table.manifest.round, digest(encode(table.manifest)))
    with table.clock("verify"):
        body = decode(EncryptedInput, header.body)
        check_upload(Layout(table.manifest), scope, name, body, table.uploads[name], table.executor)


def _ask(table: Rehearsal, holder: Holder, message: Send) -> None:
    """Play a trustee: it checks, and when it has decided it multiplies the uploads itself and decrypts."""
    if message.kind == "Propose":
        done = trustee.start(decode(Propose, message.data, LIMIT_LIST), holder.ctx)
    elif holder.phase is not None:
        done = trustee.advance(holder.phase, decode(Signed, message.data, LIMIT_LIST), holder.ctx)
    else:
        raise RuntimeError("a trustee is asked before it was proposed to")
    holder.notebook.records.extend(done.records)
    if isinstance(done.phase, Decrypting):
        with table.clock(message.to):
            products = _product(collect(done.phase, table.executor), table)
            decrypted = answer(done.phase, holder.secret, products, holder.ctx.rng, table.executor)
        done = trustee.advance(done.phase, decrypted, holder.ctx)
    holder.phase = done.phase
    for kind, data in done.send:
        table.wire.append(FromNode(message.to, kind, data))
        table.queue.append(FromNode(message.to, kind, data))


def _product(collector: Collector, table: Rehearsal) -> Numbers:
    for member in tuple(collector.wanted()):
        collector.add(member, table.uploads[member])
    return collector.close()


def _combine(table: Rehearsal) -> Combined:
    """Do the aggregator's heavy work: multiply, verify answers, combine, look at the canaries."""
    phase = table.phase
    if not isinstance(phase, Opening):
        raise RuntimeError("answers are combined in phase Opening only")
    with table.clock("product"):
        products = table.products(phase)
    answers = {
        name: read_answer([table.files[piece.digest.hex()] for piece in pieces])
        for name, pieces in complete(phase.answers).items()
        if name in phase.trying
    }
    names = senders(phase.u)
    with table.clock("combine"):
        opened = open_sum(
            phase.manifest, phase.scope, names, sha256(phase.u), products, answers, table.executor
        )  # fmt: skip
    if opened.used:
        decode_sums(phase.manifest, opened.groups, len(names))
    return Combined(opened.groups, opened.used, opened.wrong)
