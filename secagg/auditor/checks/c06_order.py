"""Check 6: the order of events, one opening and one result, agreed by t, nobody below K_min, inputs over one set.

Order: manifest → contributors → opening → result, each about exactly the round that its manifest states, or a second
opening could hide behind another number. K_min is at least what the formula gives for the cohort, whatever the manifest
says, with the federation's c. One opening of a round over all attempts and groups; an attempt that is stated to have
ended is opened no more. What was summed over which sets is judged in secagg.auditor.inputs. An opening stands on the
signatures of at least t members of U3 on exactly the frozen U2 and U3 (protocol §3 step 4). Where trustees open, it
stands on a quorum of them on U (§5). Without them nobody honest answers. A fault that is stated is proven, and who was
named is in no later set of the job.
"""

from msgspec.structs import astuple

from secagg.auditor.evidence import (
    Entry,
    Evidence,
    Finding,
    Proposal,
    Violation,
    engine_of,
    proposal,
)
from secagg.auditor.inputs import Inputs
from secagg.auditor.naming import Named
from secagg.errors import SecaggError
from secagg.log.statements import (
    Aborted,
    Contributors,
    Fault,
    ManifestLogged,
    OfRound,
    Opening,
    OverlapAllowed,
    Result,
)
from secagg.protocol.manifest import Manifest
from secagg.wire.signed import Scope

NUMBER, TITLE = 6, "order of events, one opening and one result, inputs over one set"

RoundKey = tuple[str, int]
"""(job, round): what may be opened once, whatever the attempt and group."""

OfAttempt = Contributors | Opening | Result | Aborted | Fault
"""Statements that name the manifest of their attempt."""


class Rounds:
    """What has happened so far in every round while the log is walked."""

    def __init__(self, colluders: dict[int, int]) -> None:
        self.colluders = colluders
        self.proposed: dict[tuple[str, int, int, int], str] = {}
        self.frozen: dict[str, Contributors] = {}
        self.opened: dict[RoundKey, str] = {}
        self.closed: set[RoundKey] = set()
        self.ended: set[str] = set()

    def least(self, entry: Entry, manifest: Manifest) -> int:
        """Return how many contributors a manifest needs: its own word or the formula's, the larger."""
        needed: int = engine_of(entry, manifest).least(manifest, self.colluders.get(manifest.roster_version, 0))
        return needed

    def manifest(self, entry: Entry, statement: ManifestLogged) -> None:
        """Take a manifest: one per attempt, and none may follow an opening of its round."""
        attempt = (statement.job, statement.round, statement.attempt, statement.group)
        if self.proposed.setdefault(attempt, statement.manifest) != statement.manifest:
            raise Violation(entry, "a second manifest for one attempt")
        if _key(statement) in self.opened:
            raise Violation(entry, "an attempt follows the opening of its round")

    def aborted(self, entry: Entry, statement: Aborted) -> None:
        """Take the end of an attempt without a result: one that was opened has none."""
        if self.opened.get(_key(statement)) == statement.manifest:
            raise Violation(entry, "an attempt that was opened is stated to have ended without a result")
        self.ended.add(statement.manifest)

    def freeze(self, entry: Entry, statement: Contributors, relies: Proposal) -> None:
        """Take a contributor set: one per manifest, at least max(t, K_min) members of the cohort."""
        names = [contributor.member for contributor in statement.members]
        if statement.manifest in self.frozen:
            raise Violation(entry, "a second contributor set for one manifest")
        self._going(entry, statement.manifest)
        if len(set(names)) != len(names):
            raise Violation(entry, "a contributor is named twice")
        if len(names) < (needed := self.least(entry, relies.manifest)):
            raise Violation(entry, f"{len(names)} contributors are fewer than {needed}")
        if not set(names) <= set(relies.manifest.names()):
            raise Violation(entry, "a contributor is not in the cohort")
        self.frozen[statement.manifest] = statement

    def opening(self, entry: Entry, statement: Opening) -> None:
        """Take an opening: after the freeze, of an attempt that goes on, one per round over all attempts."""
        frozen = self.frozen.get(statement.manifest)
        if frozen is None:
            raise Violation(entry, "an opening without a frozen contributor set")
        self._going(entry, statement.manifest)
        if _key(statement) in self.opened:
            raise Violation(entry, "a second opening of one round")
        self.opened[_key(statement)] = statement.manifest

    def result(self, entry: Entry, statement: Result) -> None:
        """Take a result: after its opening, over exactly the frozen set, once."""
        key = _key(statement)
        self._going(entry, statement.manifest)
        if self.opened.get(key) != statement.manifest:
            raise Violation(entry, "a result without its opening")
        if key in self.closed:
            raise Violation(entry, "a second result of one round")
        if statement.contributors != tuple(entry.member for entry in self.frozen[statement.manifest].members):
            raise Violation(entry, "the result is over another set than the frozen one")
        self.closed.add(key)

    def _going(self, entry: Entry, manifest: str) -> None:
        if manifest in self.ended:
            raise Violation(entry, "its attempt is stated to have ended without a result before")


def check(evidence: Evidence) -> Finding:
    """Walk the round log.

    Raises: Violation naming the first entry out of order.
    """
    rounds = Rounds({version: roster.limits.colluders for version, roster in evidence.rosters.items()})
    named, inputs = Named(), Inputs(evidence)
    for entry in evidence.entries:
        match entry.statement:
            case ManifestLogged() as statement:
                _about(entry, statement, evidence.proposals[statement.manifest])
                rounds.manifest(entry, statement)
            case Contributors() | Opening() | Result() | Aborted() | Fault() as statement:
                _of_attempt(evidence, entry, statement, rounds, named, inputs)
            case OverlapAllowed() as statement:
                inputs.allow(entry, statement)
    return Finding("pass", f"{len(rounds.closed)} results, {len(rounds.opened)} openings")


def _of_attempt(
    evidence: Evidence, entry: Entry, statement: OfAttempt, rounds: Rounds, named: Named, inputs: Inputs
) -> None:
    """Take a statement about an attempt whose manifest was logged before."""
    relies = proposal(evidence, entry, statement.manifest)
    _about(entry, statement, relies)
    match statement:
        case Contributors():
            rounds.freeze(entry, statement, relies)
            named.frozen(evidence, entry, statement, relies)
            inputs.freeze(entry, statement, relies)
        case Opening():
            rounds.opening(entry, statement)
            inputs.opened(entry, statement.manifest)
            _agreed(evidence, entry, statement, relies.manifest, rounds.frozen[statement.manifest])
        case Aborted():
            rounds.aborted(entry, statement)
            inputs.lost(entry, statement)
        case Fault():
            named.fault(evidence, entry, statement, relies)
            inputs.fault(statement, relies)
        case Result():
            rounds.result(entry, statement)


def _agreed(evidence: Evidence, entry: Entry, opening: Opening, manifest: Manifest, frozen: Contributors) -> None:
    """Hold the agreements that an opening names against the frozen sets."""
    data = evidence.bundle.file(opening.signatures)
    scope = Scope(round=manifest.round, manifest=bytes.fromhex(opening.manifest))
    try:
        engine_of(entry, manifest).check_agreements(data, manifest, scope, frozen)
    except SecaggError as error:
        raise Violation(entry, error.cause.rstrip(".")) from None


def _key(statement: OfRound) -> RoundKey:
    return (statement.job, statement.round)


def _about(entry: Entry, statement: OfRound, relies: Proposal) -> None:
    """Hold a statement's round against its manifest's."""
    stated = (statement.federation, statement.job, statement.round, statement.attempt, statement.group)
    if stated != astuple(relies.manifest.round):
        raise Violation(entry, f"its manifest is about round {relies.manifest.round.label()}")
