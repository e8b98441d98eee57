"""A whole round in one process, on one page: what docs, tests, simulation and benchmarks run.

`run_round` plays every member and the aggregator through the real messages, codec, signatures and log. `drops` names
the step before whose message a member falls silent. Nothing here is simplified except the wire. What each side's own
work took is kept in `spent`: seconds by member, and by the aggregator's phase. `repeat` makes every member do its work
on the vector that many times, for benchmarks.
Leaves to others: processes, links and crashes (roles); who the parties are (secagg.rehearsal.federation makes some).

Four members sum two numbers each, and c falls silent before it uploads:

>>> import numpy as np
>>> from secagg.crypto.rng import system_rng
>>> from secagg.protocol import lanes
>>> from secagg.protocol.manifest import JobSpec
>>> from secagg.rehearsal import federation
>>> from secagg.vector.codec import Fixed, Lane
>>> names = ("a", "b", "c", "d")
>>> spec = JobSpec("fed", "counts", "sum", "counts", 1, names, 3, (Lane("update", 2, Fixed()),), 1, 1000, 10_000)
>>> made = federation.found(names, spec, system_rng)
>>> manifest = federation.propose(made)
>>> inputs = {name: lanes.encode_sum(manifest, np.array([1.0, 2.5])) for name in names}
>>> table = federation.table(made, inputs, {"c": "MaskedInput"}, manifest=manifest)
>>> run_round(table).published.contributors
('a', 'b', 'd')
>>> lanes.decode_sums(manifest, table.sums, 3).vectors["update"].tolist()
[3.0, 7.5]
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from secagg.crypto.derive import sha256
from secagg.ids import STEPS
from secagg.log.log import Log as AppendOnly
from secagg.log.log import publish_entry
from secagg.log.statements import sign_statement
from secagg.protocol.inputs import Naming, rehearsed
from secagg.protocol.lanes import Contribution, Groups, Ready, accumulate
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import aggregator, masking, node
from secagg.protocol.masks.intake import STEP
from secagg.protocol.masks.judging import judge
from secagg.protocol.masks.messages import ANSWERED_BY
from secagg.protocol.masks.phases import Masking, Protected
from secagg.protocol.masks.phases import Phase as NodePhase
from secagg.protocol.masks.recovery import unmask
from secagg.protocol.masks.rounds import Judging, Phase, Unmask, Unmasked
from secagg.protocol.round.events import Append, Deadline, Effect, Event, FromNode, Judge, Keep, Log, Logged, Send
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import AggregatorContext, NodeContext
from secagg.protocol.round.phases import Closed, Failed, Standing
from secagg.rehearsal.notebook import Notebook
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Signed


@dataclass
class Party:
    """A member in process: its context, its notebook, its phase."""

    ctx: NodeContext
    notebook: Notebook
    phase: NodePhase | None = None


@dataclass
class Table:
    """The table the parties sit at: everything that a link, a disk and a log do for the real roles."""

    manifest: Manifest
    parties: Mapping[str, Party]
    keeper: AggregatorContext
    log: AppendOnly
    inputs: Mapping[str, Groups | Contribution]
    drops: Mapping[str, str] = field(default_factory=dict)
    repeat: int = 1
    keep_uploads: bool = True
    given: Naming = rehearsed
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    sums: Groups = field(default_factory=dict)
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    wire: list[FromNode | Send] = field(default_factory=list)
    phase: Phase | None = None

    def advance(self, phase: Phase, event: Event) -> aggregator.Turned:
        """Return what the aggregator makes of an event."""
        return aggregator.advance(phase, event, self.keeper)

    def clear(self, asked: Unmask) -> Groups:
        """Remove the masks from the running sum."""
        unmask(self.sums, asked.evidence, asked.recovered)
        return self.sums


def run_round(table: Table) -> Closed | Failed:
    """Run one round to its end and return the last phase.

    Raises: a member's refusal is not swallowed: ProtocolViolation and its subclasses leave as they are raised.
    """
    standings = tuple(Standing(name, _held(party)) for name, party in table.parties.items())
    turned = aggregator.start(table.manifest, standings, table.keeper)
    table.phase = turned.phase
    _carry_out(table, turned.effects)
    while not isinstance(table.phase, Closed | Failed):
        _event(table, Deadline(STEP[type(table.phase)]))
    return table.phase


def _held(party: Party) -> int:
    last = party.notebook.last(party.ctx.expect.log_origin)
    return last.size if last else 0


def _event(table: Table, event: Event) -> None:
    if table.phase is None:
        raise RuntimeError("the round has not started")
    began, name = time.perf_counter(), type(table.phase).__name__
    turned = table.advance(table.phase, event)
    table.spent[name] += time.perf_counter() - began
    table.phase = turned.phase
    _carry_out(table, turned.effects)


def _carry_out(table: Table, effects: tuple[Effect, ...]) -> None:
    for effect in effects:
        match effect:
            case Append(statement):
                table.log.append(sign_statement(statement, table.keeper.name, table.keeper.key))
            case Log(statement, old_sizes):
                leaf = sign_statement(statement, table.keeper.name, table.keeper.key)
                _event(table, Logged(leaf, publish_entry(table.log, leaf, old_sizes)))
            case Keep(data):
                table.files[sha256(data).hex()] = data
            case Send():
                table.wire.append(effect)
                _deliver(table, effect)
            case Judge() if isinstance(table.phase, Judging):
                began = time.perf_counter()
                judged = judge(table.phase)
                table.spent["Judging"] += time.perf_counter() - began
                _event(table, judged)
            case Unmask() as asked:
                began = time.perf_counter()
                clear = table.clear(asked)
                table.spent["Unmasking"] += time.perf_counter() - began
                _event(table, Unmasked(clear))


def _deliver(table: Table, message: Send) -> None:
    """Let a member check, remember and answer; a member that dropped before this step does nothing."""
    step = STEPS.index(ANSWERED_BY[message.kind])
    if message.to in table.drops and STEPS.index(table.drops[message.to]) <= step:
        return
    party = table.parties[message.to]
    began = time.perf_counter()
    done = _answer(table, party, message)
    table.spent[message.to] += time.perf_counter() - began
    party.phase = done.phase
    party.notebook.records.extend(done.records)
    for kind, data in done.send:
        table.wire.append(FromNode(message.to, kind, data))
        _event(table, FromNode(message.to, kind, data))


def _answer(table: Table, party: Party, message: Send) -> node.Step:
    """Return the member's next phase and messages; in step 2 it masks its input and hands over the upload."""
    if message.kind == "Propose":
        return node.start(decode(Propose, message.data, LIMIT_BULK), party.ctx)
    if party.phase is None:
        raise RuntimeError("a member is asked before it was proposed to")
    done = node.advance(party.phase, decode(Signed, message.data, LIMIT_LIST), party.ctx)
    if not isinstance(done.phase, Masking):
        return done
    for _ in range(table.repeat):
        given = table.inputs[message.to]
        made = masking.contribute(Ready(given) if isinstance(given, dict) else given, done.phase, message.to)
        entry = table.given(table.manifest, done.phase.scope, message.to, party.notebook.entries())
        protected = Protected(made.root, len(made.data), made.chunks, entry)
    accumulate(table.manifest, table.sums, memoryview(made.data))
    if table.keep_uploads:
        table.uploads[message.to] = bytes(made.data)
    return node.advance(done.phase, protected, party.ctx)
