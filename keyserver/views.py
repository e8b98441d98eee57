"""What the operator is shown of a record, never the text of a token."""

from msgspec import UNSET, UnsetType

from keyserver.answers import MemberShown, MemberState, TokenShown
from keyserver.records import Candidate, MemberRecord, TokenRecord
from secagg.roster.fingerprints import groups, words


def token(id: str, record: TokenRecord, now: int) -> TokenShown:
    """Return one token: its id, whom it is for, until when, and what became of it."""
    state = "expired" if record.state == "open" and now >= record.expires else record.state
    return TokenShown(id[:16], record.institution, record.name, record.role, record.expires, state, record.tries)


def candidate(record: Candidate) -> MemberShown:
    """Return a request that waits, with the words to compare."""
    return _shown(record, "waiting", record.asked)


def member(record: MemberRecord, published: int) -> MemberShown:
    """Return a member; it is `approved` until its entry is published, then `enrolled`, and `revoked` in the end."""
    if record.revoked:
        return _shown(record, "revoked", record.revoked, record.reason)
    return _shown(record, "enrolled" if record.entry < published else "approved", record.enrolled)


def _shown(
    record: Candidate | MemberRecord, state: MemberState, since: int, reason: str | UnsetType = UNSET
) -> MemberShown:
    member, told = record.member, record.fingerprint
    named = (member.name, member.organisation, member.role, told.hex())
    return MemberShown(*named, groups(told), words(told), state, since, reason)
