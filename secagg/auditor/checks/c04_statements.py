"""Check 4: every statement is about this federation, in the log and by the role it belongs to, and signed by it.

The directory holds the key server's statements, the round log those about jobs and rounds. What the aggregator decides
only the aggregator states; a refusal or a piece of evidence may come from any member.
"""

from secagg.auditor.evidence import DIRECTORY, ROUNDS, Entry, Evidence, Finding, Violation
from secagg.errors import VerificationFailed
from secagg.log.statements import (
    Enrolled,
    Equivocation,
    Refusal,
    Revoked,
    RosterChanged,
    RosterRoot,
    TokenConsumed,
    TokenIssued,
    open_statement,
)

NUMBER, TITLE = 4, "every statement's signature"

OF_THE_DIRECTORY = (RosterRoot, TokenIssued, TokenConsumed, Enrolled, Revoked, RosterChanged)
OF_ANY_MEMBER = (Refusal, Equivocation)


def check(evidence: Evidence) -> Finding:
    """Check place, role and signature of every entry of both logs.

    Raises: Violation naming the entry.
    """
    federation, _ = evidence.bundle.root()
    for entry in evidence.entries:
        if entry.statement.federation != federation:
            raise Violation(entry, f"it is about federation {entry.statement.federation}, not {federation}")
        _belongs(evidence, entry)
        key = evidence.key_of(entry)
        try:
            open_statement(entry.leaf, lambda _, key=key: key)  # type: ignore[misc]
        except VerificationFailed:
            raise Violation(entry, f"the signature of {entry.signer} does not verify") from None
    return Finding("pass", f"{len(evidence.entries)} statements")


def _belongs(evidence: Evidence, entry: Entry) -> None:
    """Refuse a statement in the wrong log, or by a member that may not make it.

    Without this the aggregator could restate the roster, and a colluding node could be blamed for its acts.
    """
    if entry.log != (DIRECTORY if isinstance(entry.statement, OF_THE_DIRECTORY) else ROUNDS):
        raise Violation(entry, "this statement does not belong in this log")
    if entry.log == DIRECTORY or isinstance(entry.statement, OF_ANY_MEMBER):
        return
    if entry.signer != evidence.aggregator().name:
        raise Violation(entry, "only the aggregator makes this statement")
