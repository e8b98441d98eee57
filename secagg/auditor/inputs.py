"""The inputs of every frozen set, as members' signed headers name them: what may be summed over which sets.

How to read it: check 6 walks the round log and tells this ledger of every statement. `freeze` reads the headers of a
set and holds it against what they say of their inputs. `opened` judges it against every set before it that was opened
or may have been. Rules (protocol §6.5): an input is what its owner's header calls it, whatever job, task, round or
engine it stands in. A member is its signing key. No set is frozen with an input in it that its header binds to another
one, whatever became of it. For an aggregator that follows the rules leaves that member out. An input is opened over one
set only. The exceptions are a set without members whose fault is proven in the log, and one that all of either set
allowed before the freeze. What was lost in its last step may have been opened. That counts for those members (or by
those trustees) that the log does not name as missing.
Leaves to others: the order of statements (checks/c06_order.py), who signed them (checks/c04_statements.py).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from secagg.auditor.evidence import Entry, Evidence, Proposal, Violation, engine_of
from secagg.errors import Refused, SecaggError
from secagg.log.statements import Aborted, Contributors, Fault, OverlapAllowed
from secagg.protocol.allowing import lacking
from secagg.protocol.binding import Bound, check_fits, seats_digest
from secagg.protocol.manifest import Seat
from secagg.protocol.session import LOST_STEPS
from secagg.wire.signed import Scope

Input = tuple[bytes, bytes]
"""A member's signing key and the tag of its input."""


@dataclass
class Frozen:
    """A frozen set: its seats, what their headers say, and what stood in the log before it.

    `roster` are the seats of all members at the time, `allowed` who allowed the job, `proven` the keys of cheaters.
    """

    relies: Proposal
    seats: tuple[Seat, ...]
    bounds: Mapping[str, Bound]
    roster: tuple[Seat, ...]
    allowed: frozenset[str]
    proven: frozenset[bytes]

    @property
    def digest(self) -> bytes:
        """Return what names the set."""
        return seats_digest(self.seats)

    def inputs(self) -> dict[str, Input]:
        """Return the inputs in the set by member."""
        return {seat.name: (seat.key, self.bounds[seat.name].input) for seat in self.seats}


@dataclass
class Inputs:
    """What was summed so far, while the round log is walked."""

    evidence: Evidence
    sets: dict[str, Frozen] = field(default_factory=dict)
    summed: dict[Input, dict[bytes, Frozen]] = field(default_factory=dict)
    allowances: dict[str, set[tuple[str, bytes]]] = field(default_factory=dict)
    proven: set[bytes] = field(default_factory=set)

    def allow(self, entry: Entry, statement: OverlapAllowed) -> None:
        """Take a person's word that a job may sum inputs over other sets; check 4 judges who signed it."""
        keys = {(statement.member, member.sign_key) for member in self.evidence.signers(entry)}
        self.allowances.setdefault(statement.job, set()).update(keys)

    def fault(self, statement: Fault, relies: Proposal) -> None:
        """Take a fault whose proof holds (secagg.auditor.naming)."""
        self.proven.add(relies.manifest.key(statement.member))

    def freeze(self, entry: Entry, statement: Contributors, relies: Proposal) -> None:
        """Read the headers of a set, and hold it against what each says of its input.

        Raises: Violation when they are not signed, not those that are stated, or one of them does not fit the set.
        """
        scope = Scope(relies.manifest.round, bytes.fromhex(statement.manifest))
        data = self.evidence.bundle.file(statement.u3)
        try:
            bounds = engine_of(entry, relies.manifest).bounds(data, relies.manifest, scope)
        except SecaggError as error:
            raise Violation(entry, error.cause.rstrip(".")) from None
        if tuple(bounds) != tuple(member.member for member in statement.members):
            raise Violation(entry, "the contributor set is not the one that its list of headers holds")
        seats, roster = tuple(seat for seat in relies.manifest.members if seat.name in bounds), self._roster(relies)
        keys = {(seat.name, seat.key) for seat in roster}
        allowed = frozenset(name for name, key in self.allowances.get(statement.job, ()) if (name, key) in keys)
        found = Frozen(relies, seats, bounds, roster, allowed, frozenset(self.proven))
        self._fits(entry, found)
        self.sets[statement.manifest] = found

    def opened(self, entry: Entry, manifest: str, members: Collection[str] | None = None) -> None:
        """Judge a set that is opened, or may have been for some `members`.

        Raises: Violation naming the member whose input it does not fit, and the earlier round where there is one.
        """
        found = self.sets[manifest]
        mine = {name: given for name, given in found.inputs().items() if members is None or name in members}
        for name, given in mine.items():
            for earlier in self.summed.get(given, {}).values():
                self._judge(entry, name, earlier, found)
        for given in mine.values():
            self.summed.setdefault(given, {}).setdefault(found.digest, found)

    def lost(self, entry: Entry, statement: Aborted) -> None:
        """Take the end of an attempt: in its last step it may have been opened. Raises: Violation as `opened`."""
        found = self.sets.get(statement.manifest)
        if found and statement.step in LOST_STEPS:
            manifest = found.relies.manifest
            answered = engine_of(entry, manifest).answered(manifest, tuple(found.bounds), statement.missing)
            self.opened(entry, statement.manifest, answered)

    def _judge(self, entry: Entry, name: str, earlier: Frozen, found: Frozen) -> None:
        if earlier.digest == found.digest or _without_proven(earlier, found):
            return
        if not lacking((earlier.seats, found.seats), found.allowed, found.roster):
            return
        before = earlier.relies.manifest.round.label()
        raise Violation(entry, f"the input of {name} was summed over another set of members in round {before}")

    def _fits(self, entry: Entry, found: Frozen) -> None:
        """Hold a set against what every header in it says, and an input that a person excused against what they all
        allowed."""
        try:
            check_fits(found.bounds, found.seats)
        except Refused as error:
            raise Violation(entry, error.cause.rstrip(".")) from None
        self._excused(entry, found)

    def _excused(self, entry: Entry, found: Frozen) -> None:
        """Hold a set with an input that a person excused against what the members of this set allowed."""
        for name, bound in found.bounds.items():
            if bound.only.kind == "overlap" and bound.only.seats != found.digest:
                missing = lacking((found.seats,), found.allowed, found.roster)
                if missing:
                    raise Violation(
                        entry, f"the input of {name} was summed over another set, which {missing[0]} did not allow"
                    )

    def _roster(self, relies: Proposal) -> tuple[Seat, ...]:
        roster = self.evidence.rosters.get(relies.manifest.roster_version)
        nodes = roster.nodes() if roster else ()
        return tuple(Seat(member.name, member.organisation, member.sign_key) for member in nodes)


def _without_proven(earlier: Frozen, found: Frozen) -> bool:
    """Say whether a set is an earlier one without members whose fault is proven."""
    left = tuple(seat for seat in earlier.seats if seat.key not in found.proven)
    return seats_digest(left) == found.digest
