"""Planted bugs in the rules of inputs and openings: each takes out what one attack on paper went around.

Most show only where the aggregator means harm (simulation_adversary); the oracles are those of simulation_known.
Leaves to others: how a bug is planted (simulation_bugs).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.protocol.inputs import Counted, source_digest

Function = Callable[..., Any]


def _instead(function: Function) -> Callable[[Function], Function]:
    return lambda original: function


def _named_by_task(wanted: Function) -> Function:
    """Name an input by the task that a job writes beside what it is computed from."""

    def mutated(self: Any, job: Any, *given: Any) -> Any:
        found = wanted(self, job, *given)
        named = sha256(fields("by name", found.identity, job.spec.task))
        return replace(found, identity=named, tag=self.ledger.tag(self._federation, named))

    return mutated


def _only_agreed(bind: Function) -> Function:
    """Bind to what this node agreed to, and not to what it only signed a header for."""

    def mutated(entries: Sequence[Counted], *given: Any, **named: Any) -> Any:
        return bind([entry for entry in entries if entry.state != "pending"], *given, **named)

    return mutated


def _digest_of_names(seats: Any) -> bytes:
    return sha256(fields("names", *sorted(seat.name for seat in seats)))


def _lift_whatever(entry: Counted) -> Counted:
    return replace(entry, state="lifted")


def _whatever_group(differing: Function) -> Function:
    """Compare everything but the group."""

    def mutated(theirs: Any, mine: Any, *given: Any) -> Any:
        return differing(replace(theirs, round=replace(theirs.round, group=mine.round.group)), mine, *given)

    return mutated


def _of_one_group(bind: Function) -> Function:
    """Bind an input to what was summed in its own group only."""

    def mutated(entries: Sequence[Counted], wanted: Any, *given: Any, **named: Any) -> Any:
        return bind([e for e in entries if e.round.group == wanted.round.group], wanted, *given, **named)

    return mutated


def _of_any_edition(source: Function) -> Function:
    """Name a source by where it lies alone."""

    def mutated(self: Any, task: str) -> Any:
        return source_digest(str(self.tasks[task].data.resolve()), "")

    return mutated


def _of_those_left(derive: Function) -> Function:
    """Leave who is revoked out of the cohort, and let n, t and K_min fall."""

    def mutated(spec: Any, facts: Any) -> Any:
        known = {seat.name for seat in facts.seats}
        return derive(replace(spec, cohort=tuple(name for name in spec.cohort if name in known)), facts)

    return mutated


def _last_of_a_name(check_form: Function) -> Function:
    """Read a lane group as often as it stands there, and believe the last."""

    def mutated(published: Any, groups: Any, *given: Any) -> Any:
        last = {group.name: group for group in published.groups}
        return check_form(replace(published, groups=tuple(last[group.name] for group in groups)), groups, *given)

    return mutated


def _first_of_a_name(read: Function) -> Function:
    """Check the first lane group of a name."""

    def mutated(manifest: Any, scope: Any, published: Any, *given: Any) -> Any:
        first = {group.name: group for group in reversed(published.groups)}
        return read(manifest, scope, replace(published, groups=tuple(first[g.name] for g in manifest.groups)), *given)

    return mutated


INPUT_BUGS: Mapping[str, tuple[str, tuple[tuple[str, Callable[[Function], Function]], ...]]] = {
    "identity-by-field": (
        "an input is named by the task that its job writes", (("node.inputs:Inputs._wanted", _named_by_task),)
    ),
    "counted-when-agreed": (
        "an input counts once its node agreed to a set, not from the header on",
        (("secagg.protocol.inputs:bind", _only_agreed),),
    ),
    "sets-by-names": (
        "two sets of the same names are the same set",
        (
            ("secagg.protocol.binding:seats_digest", _instead(_digest_of_names)),
            ("node.inputs:require_possible", _instead(lambda *given: None)),
        ),
    ),
    "lifted-after-answer": (
        "the end of an attempt lifts an input that its node has opened",
        (("secagg.protocol.inputs:lift", _instead(_lift_whatever)),),
    ),
    "another-group": (
        "nodes take a round in whatever group, and bind an input to what was summed in the same group only",
        (
            ("secagg.protocol.deriving:differing", _whatever_group),
            ("secagg.protocol.inputs:bind", _of_one_group),
        ),
    ),
    "edition-ignored": (
        "next year's file is the same input as this year's: its edition names nothing",
        (("node.inputs:Inputs.source", _of_any_edition),),
    ),
    "seats-fall": (
        "whoever is revoked is in the cohort no more: n, t and K_min fall",
        (("secagg.protocol.deriving:derive", _of_those_left),),
    ),
    "group-twice": (
        "a lane group may stand twice in a published result: the first is checked, and the last believed",
        (
            ("secagg.protocol.published:check_form", _last_of_a_name),
            ("secagg.protocol.masks.spot:read", _first_of_a_name),
        ),
    ),
}  # fmt: skip
"""By name: what is broken, and by which mutations."""
