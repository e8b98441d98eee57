"""The ledger of inputs in words for people: what is bound, to whom, since when, how that ends, what a word would tell.

Rules: plain sentences; names of members and jobs, never digests; a command stands where one gets on. What is shown
follows from the entries alone, so that it says the same as what is refused.
Leaves to others: what follows from entries (secagg.protocol.inputs), the terminal (node.commands).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from node.answers import AllowedShown, BoundShown, FailureShown, LedgerShown, OpenShown
from node.inputs import Inputs
from secagg.protocol.inputs import Counted
from secagg.protocol.manifest import Purpose, Seat

_DIFFERENCE = (
    "The difference of two sums shows what the members gave who are in only one of them; where that is one member, its "
    "numbers stand there as they are. Whoever runs the aggregator sees both sums, and so does everybody who is given "
    "the results."
)
_ROUGHLY = (
    "Its rounds start from models of its own, so two results with one member between them show that member's update "
    "roughly; how roughly depends on how much the models differ. If it hands out a model that was published before, "
    "also with hidden units in another order, they show it exactly."
)
_ENCODED = (
    "It may also turn this data into numbers in a way of its own: max_examples, clip, bits, metrics. Results over the "
    "same members that differ in these alone show something of single members: three bounds of max_examples in a row "
    "show the update of who has that many examples. Compare them with those of the jobs before."
)

_USES: dict[Purpose, str] = {"training": "training", "sum": "sums"}


def when(time: int) -> str:
    """Return wall time in words."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC"


def shown(inputs: Inputs, failures: tuple[FailureShown, ...]) -> LedgerShown:
    """Return what is bound here: by data and use, headers without an end, what persons allowed, what failed."""
    entries, allowed = inputs.ledger.entries(), inputs.ledger.allowed()
    return LedgerShown(
        bound=tuple(found for task in inputs.tasks for found in _of_task(task, inputs, entries)),
        open=tuple(_open(entry) for entry in entries if entry.state == "pending"),
        allowed=tuple(AllowedShown(said.federation, said.job, said.overlap, said.time) for said in allowed),
        entries=len(entries), failures=failures,
    )  # fmt: skip


def tells(job: str, overlap: bool, inputs: Inputs) -> tuple[str, ...]:
    """Return what a person reads before it allows a job: what that tells, and to whom."""
    sets = _sets(inputs.ledger.entries())
    over = "; ".join(", ".join(names) for names in sets) or "nobody yet"
    first = f"So far this institution's data was summed over: {over}."
    if overlap:
        return (
            first,
            f"With this, {job} may sum it over other members too.",
            _DIFFERENCE,
            _ENCODED,
            "Every member of one of these sets has to allow it at its own institution, and it is written in the log.",
            "It holds for what was summed up to now. What comes after is bound again.",
        )
    if not inputs.policy.changing_sets:
        return (first, f"With this, {job} may train, over these members.", _ENCODED)
    own = f"With this, {job} may train over members of its own in every round but its first."
    return (first, own, _ROUGHLY, _ENCODED)


def _of_task(task: str, inputs: Inputs, entries: Sequence[Counted]) -> Iterable[BoundShown]:
    own, source = inputs.tasks[task], inputs.source(task)
    for purpose in _USES:
        found = [e for e in entries if e.source == source and e.purpose == purpose and e.task == task and e.counts]
        if found:
            yield BoundShown(
                task=task, data=str(own.data), edition=own.edition, purpose=purpose,
                jobs=tuple(sorted({entry.round.job for entry in found})), since=found[0].time,
                rounds=len({entry.round.opening for entry in found}), members=tuple(_sets(found)),
                rules=_rules(purpose, inputs), ends=_ends(purpose, inputs),
            )  # fmt: skip


def _sets(entries: Iterable[Counted]) -> list[tuple[str, ...]]:
    """Return the sets that inputs were summed over, each once, by names."""
    frozen = dict.fromkeys(entry.seats for entry in entries if entry.state == "frozen")
    return [_names(seats) for seats in frozen]


def _names(seats: Iterable[Seat]) -> tuple[str, ...]:
    return tuple(seat.name for seat in seats)


def _rules(purpose: Purpose, inputs: Inputs) -> tuple[str, ...]:
    """Return by which rules what was given binds what comes."""
    same_set = () if inputs.policy.changing_sets else ("ledger.source",)
    if purpose == "sum":
        return ("ledger.input", *same_set, "ledger.encoding")
    of_a_job = () if inputs.policy.changing_sets else ("ledger.job",)
    return ("ledger.input", *of_a_job, *same_set, "ledger.unlisted", "ledger.near", "ledger.encoding")


def _ends(purpose: Purpose, inputs: Inputs) -> str:
    changing = inputs.policy.changing_sets
    if purpose == "sum":
        return (
            f"Sums over this data keep these members{'' if changing else ', and training on it too'}. Other data needs "
            "another `edition`; other members need `secagg node allow JOB --overlap` at every institution."
        )
    if changing:
        return (
            "Members of a job may change between its rounds (changing_sets). A round from the same model may not. "
            "Another job keeps the members of these rounds, and their encoding; where they are more than one set, or "
            "where it shall have its own: `secagg node allow JOB`."
        )
    return (
        "Every round of these jobs keeps these members, and other jobs and sums too. `secagg node allow JOB` lets "
        "another job have an encoding of its own; `--overlap`, at every institution, other members."
    )


def _open(entry: Counted) -> OpenShown:
    return OpenShown(
        round=entry.round.label(), federation=entry.round.federation, task=entry.task, since=entry.time,
        cohort=_names(entry.seats),
        ends="How this ended is not known here; the aggregator is asked. If it is gone for good: "
        "secagg node allow JOB --overlap",
    )  # fmt: skip


def lines(found: LedgerShown) -> Iterator[str]:
    """Yield what `shown` returned, in lines for a terminal; what failed is written by node.leaving."""
    if not found.entries:
        yield "This institution has given nothing to a sum yet."
    for one in found.bound:
        edition = f", edition {one.edition}" if one.edition else ""
        yield f"{one.task}: {one.data}{edition}, for {_USES[one.purpose]}"
        yield f"  given in {one.rounds} rounds of {', '.join(one.jobs)} since {when(one.since)}"
        for members in one.members:
            yield f"  summed over {', '.join(members)}"
        yield f"  bound by {', '.join(one.rules)}"
        yield f"  {one.ends}"
    for pending in found.open:
        yield f"{pending.task}: round {pending.round} of {pending.federation}, signed for at {when(pending.since)}"
        yield f"  may be summed over some of {', '.join(pending.cohort)}"
        yield f"  {pending.ends}"
    for said in found.allowed:
        how = "also over other members" if said.overlap else "over members of its own"
        yield f"{said.job} of {said.federation}: allowed at {when(said.time)}, {how}"
