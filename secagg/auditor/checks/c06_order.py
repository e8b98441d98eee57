"""Check 6: the order of events, one opening and one result, agreed by t, nobody below K_min, static inputs once.

Order: manifest → contributors → opening → result, each about exactly the round that its manifest states, or a second
opening could hide behind another number. K_min is at least what the formula gives for the cohort, whatever the manifest
says, with the federation's c. A set of a static input (purpose `sum`) may come back only equal or
disjoint, because overlapping sets open individuals (protocol §6.5). An opening stands on the signatures of at least t
members of U3 on exactly the U2 and U3 of the freeze (protocol §3 step 4), or of a quorum of trustees on U (§5): without
them nobody honest answers. A fault that is stated is proven, and who was named is in no later set of the job.
"""

from msgspec.structs import astuple

from secagg.auditor.evidence import (
    Entry,
    Evidence,
    Finding,
    Proposal,
    RoundKey,
    Violation,
    engine_of,
    proposal,
    round_key,
)
from secagg.auditor.naming import Named
from secagg.errors import SecaggError
from secagg.log.statements import Contributors, Fault, ManifestLogged, OfRound, Opening, Result
from secagg.protocol.manifest import Manifest
from secagg.wire.signed import Scope

NUMBER, TITLE = 6, "order of events, one opening and one result, static inputs"


class Rounds:
    """What has happened so far in every round while the log is walked."""

    def __init__(self, colluders: dict[int, int]) -> None:
        self.colluders = colluders
        self.frozen: dict[str, Contributors] = {}
        self.opened: dict[RoundKey, str] = {}
        self.closed: set[RoundKey] = set()
        self.static: dict[str, list[frozenset[str]]] = {}

    def least(self, entry: Entry, manifest: Manifest) -> int:
        """Return how many contributors a manifest needs: its own word or the formula's, the larger."""
        needed: int = engine_of(entry, manifest).least(manifest, self.colluders.get(manifest.roster_version, 0))
        return needed

    def manifest(self, entry: Entry, statement: ManifestLogged) -> None:
        """Take a manifest: none may follow an opening of its round."""
        if round_key(statement) in self.opened:
            raise Violation(entry, "an attempt follows the opening of its round")

    def freeze(self, entry: Entry, statement: Contributors, relies: Proposal) -> None:
        """Take a contributor set: one per manifest, at least max(t, K_min) members of the cohort."""
        names = [contributor.member for contributor in statement.members]
        if statement.manifest in self.frozen:
            raise Violation(entry, "a second contributor set for one manifest")
        if len(set(names)) != len(names):
            raise Violation(entry, "a contributor is named twice")
        if len(names) < (needed := self.least(entry, relies.manifest)):
            raise Violation(entry, f"{len(names)} contributors are fewer than {needed}")
        if not set(names) <= set(relies.manifest.names()):
            raise Violation(entry, "a contributor is not in the cohort")
        self.frozen[statement.manifest] = statement

    def opening(self, entry: Entry, statement: Opening, relies: Proposal) -> None:
        """Take an opening: after the freeze, one per round over all attempts; a static set equal or disjoint."""
        frozen = self.frozen.get(statement.manifest)
        if frozen is None:
            raise Violation(entry, "an opening without a frozen contributor set")
        if round_key(statement) in self.opened:
            raise Violation(entry, "a second opening of one round")
        self.opened[round_key(statement)] = statement.manifest
        if relies.manifest.purpose == "sum":
            mine = frozenset(contributor.member for contributor in frozen.members)
            earlier = self.static.setdefault(relies.manifest.task, [])
            if any(mine != other and mine & other for other in earlier):
                raise Violation(entry, "a static input is opened for overlapping sets")
            earlier.append(mine)

    def result(self, entry: Entry, statement: Result) -> None:
        """Take a result: after its opening, over exactly the frozen set, once."""
        key = round_key(statement)
        if self.opened.get(key) != statement.manifest:
            raise Violation(entry, "a result without its opening")
        if key in self.closed:
            raise Violation(entry, "a second result of one round")
        if statement.contributors != tuple(entry.member for entry in self.frozen[statement.manifest].members):
            raise Violation(entry, "the result is over another set than the frozen one")
        self.closed.add(key)


def check(evidence: Evidence) -> Finding:
    """Walk the round log.

    Raises: Violation naming the first entry out of order.
    """
    rounds = Rounds({version: roster.limits.colluders for version, roster in evidence.rosters.items()})
    named = Named()
    for entry in evidence.entries:
        match entry.statement:
            case ManifestLogged() as statement:
                _about(entry, statement, evidence.proposals[statement.manifest])
                rounds.manifest(entry, statement)
            case Fault() as statement:
                named.fault(evidence, entry, statement, _relied_on(evidence, entry, statement))
            case Contributors() as statement:
                relies = _relied_on(evidence, entry, statement)
                rounds.freeze(entry, statement, relies)
                named.frozen(evidence, entry, statement, relies)
            case Opening() as statement:
                relies = _relied_on(evidence, entry, statement)
                rounds.opening(entry, statement, relies)
                _agreed(evidence, entry, statement, relies.manifest, rounds.frozen[statement.manifest])
            case Result() as statement:
                _relied_on(evidence, entry, statement)
                rounds.result(entry, statement)
    return Finding("pass", f"{len(rounds.closed)} results, {len(rounds.opened)} openings")


def _agreed(evidence: Evidence, entry: Entry, opening: Opening, manifest: Manifest, frozen: Contributors) -> None:
    """Hold the agreements that an opening names against the frozen sets."""
    data = evidence.bundle.file(opening.signatures)
    scope = Scope(round=manifest.round, manifest=bytes.fromhex(opening.manifest))
    try:
        engine_of(entry, manifest).check_agreements(data, manifest, scope, frozen)
    except SecaggError as error:
        raise Violation(entry, error.cause.rstrip(".")) from None


def _relied_on(evidence: Evidence, entry: Entry, statement: Contributors | Fault | Opening | Result) -> Proposal:
    found = proposal(evidence, entry, statement.manifest)
    _about(entry, statement, found)
    return found


def _about(entry: Entry, statement: OfRound, relies: Proposal) -> None:
    """Hold a statement's round against its manifest's."""
    stated = (statement.federation, statement.job, statement.round, statement.attempt, statement.group)
    if stated != astuple(relies.manifest.round):
        raise Violation(entry, f"its manifest is about round {relies.manifest.round.label()}")
