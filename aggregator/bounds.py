"""Which members the next round of a job cannot do without, and how a job ends that does not get them.

How to read it: `need` says before a round whom it has to wait for. `absent`, `first` and `spent` are the ends of a job,
in words for people, each with the command that gets on. Rules (protocol §6.5): an input that was summed before is
summed over the same set, so its round waits for exactly that set. The first sum over an input fixes its set, so it
waits for the whole cohort. Whoever runs the job is asked before anybody is left out for good. Leaves to others: waiting
(aggregator.schedule), which set is frozen (protocol.fitting).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from aggregator import naming
from aggregator.presence import Presence
from aggregator.records import Job
from secagg.ids import Rule
from secagg.protocol import fitting, refusals
from secagg.protocol.binding import Bound
from secagg.protocol.fitting import Earlier
from secagg.protocol.inputs import LISTED
from secagg.protocol.round.phases import Failed
from secagg.roster.members import Roster

SAME: Rule = "input.same"
"""The rule by which a job ends that cannot have the members over whom its data was summed before."""

FIRST: Rule = "input.first"
"""The rule by which a job ends that would fix a set of members without somebody whom it names."""


FAILURES: Rule = "ledger.failures"
"""The rule by which an institution refuses a job once too many rounds failed on its data."""

LEFT: Rule = "job.left"
"""The rule by which a job ends of whose members somebody has left the federation, or was revoked."""


class Need(NamedTuple):
    """Whom the next round cannot do without; `first` when it fixes the set of its inputs, else they are bound to it."""

    members: tuple[str, ...] = ()
    first: bool = False


class End(NamedTuple):
    """Why a job is over, in words, by which rule, and which command gets on."""

    reason: str
    rule: str = ""
    remedy: str = ""


def need(job: Job, presence: Presence, strict: Sequence[str], known: Callable[[], Earlier]) -> Need:
    """Return whom the next round of a job cannot do without; `strict` are those whose policy lets no set change."""
    invited = naming.invited(job)
    bounds = said(job, presence)
    wanted = {bound.only.seats for bound in bounds.values() if bound.only.kind == "same"}
    if wanted:
        earlier = known()
        sets = [tuple(seat.name for seat in earlier[one]) for one in sorted(wanted) if one in earlier]
        possible = [names for names in sets if set(names) <= set(invited)]
        # A set that was not frozen here is known to its members alone. One that this job cannot have is waited for
        # all the same: meanwhile persons may allow another one, and then it is bound to nothing any more.
        return Need(max(possible or sets or [invited], key=len))
    fixes = job.round == 1 and (job.spec.purpose == "sum" or any(name in strict for name in invited))
    return Need(invited, first=True) if fixes else Need()


def said(job: Job, presence: Presence) -> dict[str, Bound]:
    """Return what every member who stands before the next round of a job says of its input."""
    return {
        name: found.bound
        for name in naming.invited(job)
        if (found := presence.of(name)) and presence.ready(name, job.spec.name, job.round)
    }


def unknown(job: Job, presence: Presence) -> tuple[str, ...]:
    """Return who still asks how an earlier attempt with its input ended: until it knows, it is in no set."""
    return tuple(name for name, bound in said(job, presence).items() if bound.only.kind == "nothing")


def lacking(job: Job, wanted: Need, missing: Sequence[str]) -> tuple[str, ...]:
    """Return who of those a round cannot do without is not there, or not in this job at all."""
    invited = naming.invited(job)
    return tuple(name for name in wanted.members if name in missing or name not in invited)


def why(job: Job, wanted: Need) -> str:
    """Return in words why a round waits for exactly these members, nothing when it could go on without some."""
    if wanted.first:
        return "the first round fixes with whose data theirs is summed"
    names = ", ".join(wanted.members)
    return f"data in it was summed over {names} before, and may be summed over these only" if names else ""


def absent(job: Job, wanted: Need, missing: Sequence[str], again: str) -> End:
    """Return the end of a job whose data is bound to members that stayed away; `again` is its name the next time."""
    needed, outside = ", ".join(wanted.members), [name for name in missing if name not in job.spec.cohort]
    if outside:
        return End(
            f"Round {job.round} of {job.spec.name} waited in vain. Data in it was summed over {needed} before and "
            f"may be summed over these only, and {_these(outside)} not in it.",
            SAME, f"Submit it over those members. {_for_good(again, '')}",
        )  # fmt: skip
    return End(
        f"Round {job.round} of {job.spec.name} waited in vain for {', '.join(missing)}: data in it was summed over "
        f"{needed} before, and may be summed over these only.",
        SAME, f"Submit it again when {_these(missing)} back. {_for_good(again, _without(missing))}",
    )  # fmt: skip


def first(job: Job, missing: Sequence[str]) -> End:
    """Return the end of a job whose first round would fix its set without members that it names."""
    left = [name for name in job.spec.cohort if name not in missing]
    back = f"Submit it again when {_these(missing)} back"
    without = (
        f", or go on without: secagg job submit FILE{_without(missing)}. From then on the data stays with "
        f"{', '.join(left)}."
    )
    return End(
        f"{job.spec.name} waited in vain for {', '.join(missing)}: its first round fixes with whose data theirs is "
        "summed.",
        FIRST, back + (without if len(left) >= job.spec.min_nodes else "."),
    )  # fmt: skip


def left(job: Job, roster: Roster, again: str) -> End:
    """Return the end of a job between two rounds, when somebody in it is no member any more."""
    here = {member.name for member in roster.members}
    gone = [name for name in job.spec.cohort if name not in here]
    none, them = ("is no member", "it") if len(gone) == 1 else ("are no members", "them")
    return End(
        f"{', '.join(gone)} {none} of the federation any more, and {job.spec.name} was submitted for {them} too.",
        LEFT, f"Submit it again for those who are left. {_for_good(again, '')}",
    )  # fmt: skip


def spent(job: Job, phase: Failed, attempts: int, wanted: Need, again: str) -> End:
    """Return the end of a job whose round failed as often as it may; `again` is its name the next time."""
    tried = f"Round {job.round} failed {attempts} times, the last in {phase.step}: {phase.reason}"
    unfit = {entry.member: entry.reason for entry in phase.out if fitting.is_reason(entry.reason)}
    if not unfit:
        return _unlisted(tried, job.spec.name, phase, again)
    gone = [entry.member for entry in phase.out if entry.member in wanted.members and entry.member not in unfit]
    # Most say the same; what is said of each stands in the log.
    member, reason = next(iter(unfit.items()))
    if all(map(fitting.is_unknown, unfit.values())):
        return End(f"{tried}; {member}: {reason}", SAME, _look(unfit, again))
    back = f"Submit it again when {_these(gone)} back. " if gone else ""
    return End(f"{tried}; {member}: {reason}", SAME, f"{back}{_for_good(again, _without(gone))}")


def _unlisted(tried: str, job: str, phase: Failed, again: str) -> End:
    """Return the end of a job that persons had to allow first, else one that says only what was tried."""
    rules = {entry.member: entry.reason.removeprefix("refused: ") for entry in phase.out}
    asked = [member for member, rule in rules.items() if rule in (*LISTED, FAILURES)]
    if not asked:
        return End(tried)
    rule, there = rules[asked[0]], ", ".join(asked)
    remedy = f"secagg node allow {again}, at {there}; then submit it again."
    if rule == FAILURES:
        remedy = (
            f"At {there}: mend what failed and read what {job} asks for. Then: secagg node allow {again}, there, and "
            "submit it again."
        )
    return End(f"{tried}; {asked[0]}: {refusals.sentence(rule)}", rule, remedy)


def shown(end: End) -> Mapping[str, str]:
    """Return the fields of an event or an answer that say why a job is over."""
    return {"reason": end.reason, "rule": end.rule, "remedy": end.remedy}


def _look(names: Iterable[str], again: str) -> str:
    return (
        f"At {', '.join(names)}: secagg node ledger show says which it is. Where it asks for an end, submit the job "
        f"again once that is known; else secagg node allow {again} --overlap, at every institution of those sets."
    )


def _for_good(again: str, without: str) -> str:
    return (
        f"To go on without for good: secagg node allow {again} --overlap at every institution of that set, then "
        f"secagg job submit FILE{without}."
    )


def _these(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _without(names: Sequence[str]) -> str:
    return "".join(f" --without {name}" for name in names)
