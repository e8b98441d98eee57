"""Check 4: every statement is about this federation, in the log and by the role it belongs to, and signed by it.

The directory holds the key server's statements, the round log those about jobs and rounds. What the aggregator decides
only the aggregator states. A refusal or a piece of evidence may come from any member. What a person at an institution
says comes only from that member itself, or an aggregator could allow itself anything. A member's key is the one of the
roster that the statement's manifest names, not of today's: who is revoked later did nothing wrong. That an aggregator
lied stands in the directory only with evidence that convinces by itself.
"""

from secagg.auditor.evidence import DIRECTORY, ROUNDS, Entry, Evidence, Finding, Violation
from secagg.errors import VerificationFailed
from secagg.log.statements import (
    Enrolled,
    Equivocation,
    Fenced,
    KeyDealt,
    LieReported,
    OverlapAllowed,
    Refusal,
    Revoked,
    RosterChanged,
    RosterRoot,
    SetAside,
    SourceChanged,
    TokenConsumed,
    TokenIssued,
    UncheckedAccepted,
    open_statement,
)
from secagg.protocol.round.lie import check_lie
from secagg.roster.members import Member

NUMBER, TITLE = 4, "every statement's signature"

OF_THE_DIRECTORY = (
    RosterRoot, TokenIssued, TokenConsumed, Enrolled, Revoked, Fenced, RosterChanged, KeyDealt, LieReported,
)  # fmt: skip
OF_ANY_MEMBER = (Refusal, Equivocation)
OF_THE_MEMBER_ITSELF = (OverlapAllowed, SourceChanged, UncheckedAccepted)


def check(evidence: Evidence) -> Finding:
    """Check place, role and signature of every entry of both logs.

    Raises: Violation naming the entry.
    """
    federation, _ = evidence.bundle.root()
    for entry in evidence.entries:
        if entry.statement.federation != federation:
            raise Violation(entry, f"it is about federation {entry.statement.federation}, not {federation}")
        if not any(_holds(entry.leaf, key) for key in _keys(evidence, entry)):
            raise Violation(entry, f"the signature of {entry.signer} does not verify")
        if isinstance(entry.statement, LieReported):
            _proven(evidence, entry, entry.statement)
    return Finding("pass", f"{len(evidence.entries)} statements")


def _keys(evidence: Evidence, entry: Entry) -> list[bytes]:
    """Return the keys under which an entry may be signed: those of its signer, if that is who makes this statement.

    Without this the aggregator could restate the roster, and a colluding node could be blamed for its acts.
    """
    place = DIRECTORY if isinstance(entry.statement, OF_THE_DIRECTORY) else ROUNDS
    if entry.log != place and not isinstance(entry.statement, SetAside):
        raise Violation(entry, "this statement does not belong in this log")
    if entry.log == DIRECTORY:
        if entry.signer != "keyserver":
            raise Violation(entry, "only the key server writes into the directory")
        return [evidence.online_key()]
    return [member.sign_key for member in _signers(evidence, entry)]


def _signers(evidence: Evidence, entry: Entry) -> list[Member]:
    """Return the members under whose name an entry of the round log is signed and who may make this statement."""
    signers = evidence.signers(entry)
    if not signers:
        raise Violation(entry, "the signer is no member")
    if isinstance(entry.statement, OF_ANY_MEMBER):
        return signers
    if isinstance(entry.statement, OF_THE_MEMBER_ITSELF):
        who = (entry.statement.member, "node")
        signers, only = [member for member in signers if (member.name, member.role) == who], "member that it speaks of"
    else:
        aggregators = evidence.aggregators(entry)
        signers, only = [member for member in signers if member in aggregators], "aggregator"
    if not signers:
        raise Violation(entry, f"only the {only} makes this statement")
    return signers


def _proven(evidence: Evidence, entry: Entry, stated: LieReported) -> None:
    """Judge the evidence of a lie, as every member did, and whose it is. Raises: Violation; BundleIncomplete."""
    members = [member for roster in evidence.rosters.values() for member in roster.members]
    keys = {member.sign_key.hex() for member in members if member.role == "aggregator"}
    data = evidence.bundle.file(stated.evidence)
    try:
        proven = check_lie(data, bytes.fromhex(stated.aggregator_key))
    except VerificationFailed as error:
        raise Violation(entry, error.cause.rstrip(".")) from None
    if stated.aggregator_key not in keys or proven.round.federation != stated.federation:
        raise Violation(entry, "its evidence is about no aggregator of this federation")


def _holds(leaf: bytes, key: bytes) -> bool:
    try:
        open_statement(leaf, lambda _: key)
    except VerificationFailed:
        return False
    return True
