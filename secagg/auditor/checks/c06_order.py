"""Check 6: the order of events in every round, one opening and one result, nobody below K_min, static inputs once.

Order: manifest → contributors → opening → result. A set of a static input (purpose `sum`) may come back only equal or
disjoint, because overlapping sets open individuals (protocol §6.5).
"""

from secagg.auditor.evidence import (
    Entry,
    Evidence,
    Finding,
    Proposal,
    RoundKey,
    Violation,
    proposal,
    round_key,
)
from secagg.log.statements import Contributors, ManifestLogged, Opening, Result

NUMBER, TITLE = 6, "order of events, one opening and one result, static inputs"


class Rounds:
    """What has happened so far in every round while the log is walked."""

    def __init__(self) -> None:
        self.frozen: dict[str, Contributors] = {}
        self.opened: dict[RoundKey, str] = {}
        self.closed: set[RoundKey] = set()
        self.static: dict[str, list[frozenset[str]]] = {}

    def manifest(self, entry: Entry, statement: ManifestLogged) -> None:
        """Take a manifest: none may follow an opening of its round."""
        if round_key(statement) in self.opened:
            raise Violation(entry, "an attempt follows the opening of its round")

    def freeze(self, entry: Entry, statement: Contributors, relies: Proposal) -> None:
        """Take a contributor set: one per manifest, at least max(t, K_min) members of the cohort."""
        names = [contributor.member for contributor in statement.members]
        if statement.manifest in self.frozen:
            raise Violation(entry, "a second contributor set for one manifest")
        if len(set(names)) < relies.manifest.needed or len(set(names)) != len(names):
            raise Violation(entry, f"{len(set(names))} contributors are fewer than {relies.manifest.needed}")
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
    rounds = Rounds()
    for entry in evidence.entries:
        match entry.statement:
            case ManifestLogged() as statement:
                rounds.manifest(entry, statement)
            case Contributors() as statement:
                rounds.freeze(entry, statement, proposal(evidence, entry, statement.manifest))
            case Opening() as statement:
                rounds.opening(entry, statement, proposal(evidence, entry, statement.manifest))
            case Result() as statement:
                rounds.result(entry, statement)
    return Finding("pass", f"{len(rounds.closed)} results, {len(rounds.opened)} openings")
