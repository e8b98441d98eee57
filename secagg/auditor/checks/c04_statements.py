"""Check 4: every statement is signed by who it says, under the roster in force."""

from secagg.auditor.evidence import Evidence, Finding, Violation
from secagg.errors import VerificationFailed
from secagg.log.statements import open_statement

NUMBER, TITLE = 4, "every statement's signature"


def check(evidence: Evidence) -> Finding:
    """Check the signature of every entry of both logs.

    Raises: Violation naming the entry.
    """
    for entry in evidence.entries:
        key = evidence.key_of(entry)
        try:
            open_statement(entry.leaf, lambda _, key=key: key)  # type: ignore[misc]
        except VerificationFailed:
            raise Violation(entry, f"the signature of {entry.signer} does not verify") from None
    return Finding("pass", f"{len(evidence.entries)} statements")
