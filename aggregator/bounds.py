"""Which members the next round of a job cannot do without, and how a job ends that does not get them.

How to read it: `need` says before a round whom it has to wait for; `absent`, `first` and `spent` are the ends of a job,
in words for people, each with the command that gets on.
Rules (protocol §6.5): an input that was summed before is summed over the same set, so its round waits for exactly that
set; the first sum over an input fixes its set, so it waits for the whole cohort; whoever runs the job is asked before
anybody is left out for good. Leaves to others: waiting (aggregator.schedule), which set is frozen (protocol.fitting).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aggregator import naming
from aggregator.presence import Presence
from aggregator.records import Job
from secagg.ids import Rule
from secagg.protocol import fitting
from secagg.protocol.binding import Bound
from secagg.protocol.fitting import Earlier
from secagg.protocol.masks.rounds import Failed

SAME: Rule = "input.same"
"""The rule by which a job ends that cannot have the members over whom its data was summed before."""

FIRST: Rule = "input.first"
"""The rule by which a job ends that would fix a set of members without somebody whom it names."""


class Need(NamedTuple):
    """Whom the next round cannot do without; `first` when it fixes the set of its inputs, else they are bound to it."""

    members: tuple[str, ...] = ()
    first: bool = False


class End(NamedTuple):
    """Why a job is over, in words, by which rule, and which command gets on."""

    reason: str
    rule: str = ""
    remedy: str = ""


def need(job: Job, presence: Presence, strict: Sequence[str], earlier: Earlier) -> Need:
    """Return whom the next round of a job waits for; `strict` are the members whose policy lets no set change."""
    invited = naming.invited(job)
    bounds = said(job, presence)
    wanted = {bound.only.seats for bound in bounds.values() if bound.only.kind == "same"}
    if wanted:
        sets = [tuple(earlier[digest]) for digest in sorted(wanted) if digest in earlier]
        possible = [names for names in sets if set(names) <= set(invited)]
        if possible:
            return Need(max(possible, key=len))
        # A set that was not frozen here is known to its members alone; one that this job cannot have is waited for by
        # nobody: its members refuse, and say by which rule.
        return Need() if sets else Need(invited)
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


def absent(job: Job, needed: Sequence[str], missing: Sequence[str], again: str) -> End:
    """Return the end of a job whose data is bound to members that stayed away; `again` is its name the next time."""
    return End(
        f"Round {job.round} of {job.spec.name} needs {', '.join(missing)} and waited in vain: its data was summed over "
        f"{', '.join(needed)} before, and may be summed over these members only.",
        SAME, _get_on(again, missing),
    )  # fmt: skip


def first(job: Job, missing: Sequence[str]) -> End:
    """Return the end of a job whose first round would fix its set without members that it names."""
    left = [name for name in job.spec.cohort if name not in missing]
    return End(
        f"{job.spec.name} waited in vain for {', '.join(missing)}: its first round fixes with whose data theirs is "
        "summed.",
        FIRST,
        f"Submit it again when they are back, or go on without them: secagg job submit FILE{_without(missing)}. "
        f"The data then stays with {', '.join(left)}.",
    )  # fmt: skip


def spent(job: Job, phase: Failed, attempts: int, needed: Sequence[str], again: str) -> End:
    """Return the end of a job whose round failed as often as it may; `again` is its name the next time."""
    tried = f"Round {job.round} failed {attempts} times, the last in {phase.step}: {phase.reason}."
    unfit = [entry for entry in phase.out if fitting.is_reason(entry.reason)]
    if not unfit:
        return End(tried[:-1])
    missing = [name for name in needed if name in {entry.member for entry in phase.out} - {e.member for e in unfit}]
    # Who is bound to what is the same for all but for the odd one; each of them says its own at its own place.
    return End(f"{tried} {unfit[0].member}: {unfit[0].reason}.", SAME, _get_on(again, missing))


def shown(end: End) -> Mapping[str, str]:
    """Return the fields of an event or an answer that say why a job is over."""
    return {"reason": end.reason, "rule": end.rule, "remedy": end.remedy}


def _get_on(again: str, missing: Sequence[str]) -> str:
    back = f"Submit it again when {_these(missing)} there" if missing else "Submit it over the members of that set"
    without = _without(missing) or " --without NAME"
    return (
        f"{back}. To go on without for good: secagg node allow {again} --overlap at every institution of that set, "
        f"then secagg job submit FILE{without}."
    )


def _these(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _without(names: Sequence[str]) -> str:
    return "".join(f" --without {name}" for name in names)
