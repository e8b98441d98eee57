"""What the operator is shown of a record: plain JSON values, never the text of a token."""

from keyserver.records import Candidate, MemberRecord, TokenRecord
from secagg.roster.fingerprints import groups, words
from secagg.roster.members import Member

View = dict[str, object]


def token(id: str, record: TokenRecord, now: int) -> View:
    """Return one token: its id, whom it is for, until when, and what became of it."""
    expired = record.state == "open" and now >= record.expires
    return {
        "id": id[:16],
        "institution": record.institution,
        "name": record.name,
        "role": record.role,
        "expires": record.expires,
        "state": "expired" if expired else record.state,
        "tries": record.tries,
    }


def candidate(record: Candidate) -> View:
    """Return a request that waits, with the words to compare."""
    return {**_of(record.member, record.fingerprint), "state": "waiting", "since": record.asked}


def member(record: MemberRecord, published: int) -> View:
    """Return a member; it is `approved` until its entry is published, then `enrolled`, and `revoked` in the end."""
    state = "enrolled" if record.entry < published else "approved"
    since = record.revoked or record.enrolled
    shown = {**_of(record.member, record.fingerprint), "state": "revoked" if record.revoked else state, "since": since}
    return {**shown, "reason": record.reason} if record.revoked else shown


def _of(member: Member, fingerprint: bytes) -> View:
    return {
        "name": member.name,
        "organisation": member.organisation,
        "role": member.role,
        "fingerprint": fingerprint.hex(),
        "groups": groups(fingerprint),
        "words": list(words(fingerprint)),
    }
