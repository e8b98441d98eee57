"""What must hold of what is left at the end; what happens on the wire is watched there (simulation_watch).

`sum`, `one-result`, `log`, `abort` (for want of members only: nobody lies here), `job` (every one ends), `told` (who is
in a sum has it). `once` (no message is handled twice; watched by the journal), `left` (messages nobody acknowledged,
keys that should be gone). `audit` (the product's own auditor over everything). Where the aggregator means harm, only
nodes and trustees are judged: `lie` is a wrong result that a node took for right.
"""

import re
from collections import Counter
from pathlib import Path

from aggregator import records as kept
from aggregator.bounds import FIRST, LEFT, SAME
from node import records
from secagg.auditor.export import export
from secagg.auditor.verify import verify
from secagg.crypto.derive import sha256
from secagg.errors import SecaggError
from secagg.log.durable import read_entries
from secagg.log.growing import Tree
from secagg.log.statements import (
    Aborted,
    AnyStatement,
    Contributors,
    DropOut,
    Equivocation,
    ManifestLogged,
    OfRound,
    Opening,
    Refusal,
    Result,
    parse_statement,
)
from secagg.log.tree import leaf_hash
from secagg.protocol.manifest import Published
from secagg.protocol.memory import Accepted, Witnessed
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import BROKER
from secagg.wire.codec import decode
from support.simulation_plan import Plan
from support.simulation_roles import AggregatorMachine, NodeMachine
from support.simulation_trustees import TrusteeMachine
from support.simulation_world import World

WHOLE = 2**40
_SHORT = re.compile(
    r"\d+ of \d+ members at \w+, \d+ are needed"
    r"|(\d+ of \d+ members|\d+ trustees( attend)?|\d+ right answers of trustees)"
    r" at \w+, \d+ members and \d+ trustees are needed"
)
"""The one reason for which a round without liars may end."""

_NAMES: dict[type, str] = {
    ManifestLogged: "attempt", DropOut: "drop-out", Aborted: "attempt aborted", Refusal: "refusal", Result: "result"
}  # fmt: skip
"""Which statements are counted, and as what."""


def inspect(world: World, plan: Plan) -> Counter[str]:
    """Judge what is left at the end; return how jobs ended."""
    aggregator = world.machines[AGGREGATOR]
    nodes = [machine for machine in world.machines.values() if isinstance(machine, NodeMachine)]
    if not isinstance(aggregator, AggregatorMachine):
        raise TypeError("the aggregator is one")
    jobs = [decode(kept.Job, value, WHOLE) for _, value in aggregator.journal.scan("job/")]
    _log(world, aggregator, jobs)
    for job in jobs:
        outcomes = [decode(kept.Outcome, v, WHOLE) for _, v in aggregator.journal.scan(f"outcome/{job.spec.name}/")]
        for outcome in outcomes:
            if not outcome.lost:
                _sum(world, aggregator, job, outcome, plan)
        for node in (one for one in nodes if not one.gone):
            _told(world, node, job, outcomes)
    _left(world, nodes)
    _witnesses(world, aggregator, nodes)
    return Counter(job.state for job in jobs)


def _sum(world: World, aggregator: AggregatorMachine, job: kept.Job, outcome: kept.Outcome, plan: Plan) -> None:
    data = aggregator.blob(outcome.published).read_bytes() if aggregator.has(outcome.published) else b""
    if sha256(data) != outcome.published:
        world.violate("sum", f"{outcome.round.label()} is published, and its bytes are gone or torn")
        return
    wrong = plan.wrong(job.spec, outcome.round.round, outcome.contributors, data)
    if wrong:
        world.violate("sum", f"{outcome.round.label()} is {wrong}")
    if decode(Published, data, WHOLE).contributors != outcome.contributors:
        world.violate("sum", f"{outcome.round.label()} is published for others than its outcome names")


def believed(world: World, plan: Plan) -> Counter[str]:
    """Judge what honest nodes took for right of an aggregator that means harm; return how many sums they took in."""
    taken: Counter[str] = Counter()
    for node in world.machines.values():
        if not isinstance(node, NodeMachine):
            continue
        for _, value in node.journal.scan("job/"):
            job = decode(records.Job, value, WHOLE)
            if job.spec.purpose == "sum" and job.published != bytes(32) and node.has(job.published):
                data = node.blob(job.published).read_bytes()
                taken["believed"] += 1
                published = decode(Published, data, WHOLE)
                wrong = plan.wrong(job.spec, published.round.round, published.contributors, data)
                # What is still to be checked, or was found to be a lie, is not taken for right. With trustees it is the
                # auditor who multiplies; a node reads what it is given.
                checked = job.spec.engine == "masks" or "twice" in wrong
                if wrong and checked and not node.journal.scan("spot/") and not node.journal.scan("evidence/"):
                    world.violate("lie", f"{node.name} takes {job.spec.name} for right: {wrong}")
    return taken


def _told(world: World, node: NodeMachine, job: kept.Job, outcomes: list[kept.Outcome]) -> None:
    value = node.journal.get(f"job/{job.spec.name}")
    if value is None:
        # It was away for the whole job, so it is in no sum of it.
        return
    own = decode(records.Job, value, WHOLE)
    published = [outcome.published for outcome in outcomes if not outcome.lost]
    mine = [outcome.round.round for outcome in outcomes if node.name in outcome.contributors]
    if mine and own.next_round <= mine[-1]:
        world.violate("told", f"{node.name} lacks the result of round {mine[-1]} of {job.spec.name}, which it is in")
    if own.published != bytes(32) and own.published not in published:
        world.violate("told", f"{node.name} took a result of {job.spec.name} in that was never published")


def _left(world: World, nodes: list[NodeMachine]) -> None:
    # What a machine still had that was switched off for good, it never says.
    for machine in (one for one in world.machines.values() if not one.gone):
        for message in machine.journal.unacknowledged():
            if message.to != BROKER:
                world.violate("left", f"{machine.name} still sends {message.kind} to {message.to}")
        if isinstance(machine, TrusteeMachine) and machine.left():
            world.violate("left", f"{machine.name} still keeps {machine.left()}")
    for node in (one for one in nodes if not one.gone):
        # A key that was drawn in a turn that could not be saved has sealed nothing; the next start removes it.
        taken = {decode(Accepted, value).round.label() for _, value in node.journal.scan("ledger/accepted/")}
        left = sorted(path.name for path in (node.root / "rounds").glob("*.key") if path.stem in taken)
        if left or node.journal.scan("round/"):
            world.violate("left", f"{node.name} is still in a round, or holds keys: {left}")


def _witnesses(world: World, aggregator: AggregatorMachine, nodes: list[NodeMachine]) -> None:
    tree = Tree()
    for leaf in read_entries(aggregator.root / "audit" / "rounds")[0]:
        tree.append(leaf_hash(leaf))
    for node in nodes:
        for _, value in node.journal.scan("ledger/witnessed/"):
            seen = decode(Witnessed, value)
            if seen.size > tree.size or tree.root(seen.size) != seen.root:
                world.violate("log", f"{node.name} witnessed a checkpoint of {seen.size} that the log never had")


def _log(world: World, aggregator: AggregatorMachine, jobs: list[kept.Job]) -> None:
    leaves = read_entries(aggregator.root / "audit" / "rounds")[0]
    statements = [parse_statement(leaf)[0] for leaf in leaves]
    if len(set(leaves)) != len(leaves):
        world.violate("log", "an entry stands in the log twice")
    _counts(world, statements)
    for statement in statements:
        if isinstance(statement, Aborted) and not _SHORT.fullmatch(statement.reason):
            world.violate("abort", f"{_attempt(statement)} ends in {statement.step}: {statement.reason}")
        if isinstance(statement, Equivocation):
            world.violate("one-voice", f"{statement.member} is logged as an equivocator")
        if isinstance(statement, Result):
            _result(world, statement, statements)
    _ends(world, statements, jobs)


def _ends(world: World, statements: list[AnyStatement], jobs: list[kept.Job]) -> None:
    ended = {_attempt(s)[:2] for s in statements if isinstance(s, Result | Aborted)}
    for job in jobs:
        if job.state not in ("done", "failed"):
            world.violate("job", f"{job.spec.name} is still in state {job.state}")
        elif (job.spec.name, job.round) not in ended and job.rule not in (SAME, FIRST, LEFT):
            # Whoever waited in vain for members that a round cannot do without has proposed nothing.
            world.violate("job", f"{job.spec.name} is {job.state} without a logged end")


def _counts(world: World, statements: list[AnyStatement]) -> None:
    world.count.update(_NAMES[type(statement)] for statement in statements if type(statement) in _NAMES)
    world.count["attempt repeated"] += sum(isinstance(s, ManifestLogged) and s.attempt > 1 for s in statements)
    once = Counter((type(s).__name__, *_attempt(s)) for s in statements if isinstance(s, Contributors | Aborted))
    single = Counter((type(s).__name__, *_attempt(s)[:2]) for s in statements if isinstance(s, Result | Opening))
    for place, number in once.items():
        if number > 1:
            world.violate("log", f"{number} entries {place}")
    for place, number in single.items():  # type: ignore[assignment]
        if number > 1:
            world.violate("one-result", f"{number} entries {place}")


def _result(world: World, result: Result, statements: list[AnyStatement]) -> None:
    frozen = [s for s in statements if isinstance(s, Contributors) and _attempt(s) == _attempt(result)]
    if [tuple(entry.member for entry in s.members) for s in frozen] != [result.contributors]:
        world.violate("sum", f"the result of {_attempt(result)} is not of the set that was frozen")


def _attempt(statement: OfRound) -> tuple[str, int, int]:
    return statement.job, statement.round, statement.attempt


def audit(world: World, place: Path) -> None:
    """Export everything and let the product's auditor judge it."""
    roots = {name: world.machines[name].root for name in ("keyserver", AGGREGATOR)}
    bundle = place / "bundle"
    try:
        export(bundle, roots["keyserver"], roots[AGGREGATOR])
        report = verify(bundle)
    except SecaggError as error:
        world.violate("audit", str(error))
        return
    for line in report.checks:
        if line.status not in ("pass", "n/a"):
            world.violate("audit", f"check {line.number}: {line.detail}")
