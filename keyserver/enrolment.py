"""Judges a newcomer's request: who may become a candidate, and what each of the others is told.

 1. The frame's CURVE key, proved in the handshake and stamped by the broker, is the one in the request.
 2. The token is known, and its `TokenIssued` is published.
 3. The token's key signed the request, and so did the new member's.
 4. The request is for this federation under this root.
 5. The same request as before gets the same answer, whatever the time.
 6. The token is not revoked, not used by another request, tried at most five times, not expired.
 7. The name is the token's; the clocks agree; no other party has one of the keys.

Rules: what is refused at 4 to 7 was signed with the token and counts as a try. Every refusal is told with its own code.
Leaves to others: approval (desk.py), the proof that a member gets (service.py). Source: docs/operations.md "Enrolment".
"""

from msgspec.structs import replace

from keyserver.authority import Authority
from keyserver.records import Candidate, Register, TokenRecord
from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.errors import BadInput, BadSignature, NotAuthorised, SecaggError, TryLater, VerificationFailed
from secagg.roster.members import Member
from secagg.roster.messages import Enrolment, EnrolRequest, check_enrolment
from secagg.roster.tokens import token_id
from secagg.wire.codec import decode

TRIES = 5
SKEW = 300
"""Seconds that the newcomer's clock may be away from ours."""


def claim_of(request: EnrolRequest) -> bytes:
    """Return what makes two requests the same one: name and keys, whatever the time they were signed."""
    return sha256(fields(request.name, request.sign_key, request.curve_key))


class Refusal(Exception):
    """A request is refused; `error` is what the newcomer is told."""

    def __init__(self, error: SecaggError, name: str) -> None:
        super().__init__(str(error))
        self.error, self.name = error, name


def consider(body: bytes, curve_key: bytes, register: Register, authority: Authority, now: int) -> Member:
    """Return whom a request is from, once it is a candidate or a member; `curve_key` is the frame's.

    Raises: Refusal; WireError when the bytes are no request.
    """
    enrolment = decode(Enrolment, body)
    request = decode(EnrolRequest, enrolment.request)
    id = token_id(request.token_key)
    token = register.token(id)
    try:
        record = _authentic(enrolment, request, curve_key, token, register)
    except SecaggError as error:
        raise Refusal(error, request.name) from None
    try:
        _check_federation(request, authority)
        member = Member(record.name, record.institution, record.role, request.sign_key, request.curve_key)
        if record.claim != claim_of(request):
            _check_new(request, record, now)
            _check_keys(member, register, authority)
        elif record.state == "revoked":
            raise _revoked()
    except SecaggError as error:
        register.keep_token(id, replace(record, tries=record.tries + 1))
        raise Refusal(error, request.name) from None
    if record.state == "open":
        register.keep_token(id, replace(record, state="claimed", claim=claim_of(request)))
        register.keep_candidate(Candidate(member, id, authority.fingerprint_of(member), now))
    return member


def _authentic(
    enrolment: Enrolment, request: EnrolRequest, curve_key: bytes, token: TokenRecord | None, register: Register
) -> TokenRecord:
    """Return the token's record once the link, the token and both signatures hold (1 to 3)."""
    if not curve_key or request.curve_key != curve_key:
        raise VerificationFailed(
            "The request names another CURVE key than the connection it came over.",
            "Join again with the keys of this state directory.",
            code="E-LINK-KEY",
        )
    if token is None:
        raise NotAuthorised(
            "This key server never issued that token.",
            "Check that it is of this federation; ask the operator for a new one.",
            code="E-TOKEN-UNKNOWN",
        )
    if token.entry >= register.published:
        raise TryLater("The token is not in the published directory yet.", "Try again in a few seconds.")
    try:
        check_enrolment(enrolment, request)
    except BadSignature:
        raise NotAuthorised(
            "The request is not signed with the token's key and the new key.", "Join again.", code="E-TOKEN-SIGNATURE"
        ) from None
    return token


def _check_federation(request: EnrolRequest, authority: Authority) -> None:
    if (request.federation, request.root_fingerprint) != (authority.federation, authority.root_fingerprint):
        raise VerificationFailed(
            f"The request is for {request.federation} under another root than this key server's.",
            "Compare the root fingerprint with the operator over another channel.",
            code="E-ROOT",
        )


def _check_new(request: EnrolRequest, token: TokenRecord, now: int) -> None:
    """Check a request that this token has not been used for (6 and 7)."""
    if token.state == "revoked":
        raise _revoked()
    if token.tries >= TRIES:
        raise NotAuthorised(
            f"The token was tried {TRIES} times.", "Ask the operator for a new token.", code="E-TOKEN-TRIES"
        )
    if token.state != "open":
        raise NotAuthorised(
            f"The token for {token.name} was used by another request.",
            "Join with the state directory that used it, or ask the operator for a new token, and tell them.",
            code="E-TOKEN-USED",
        )
    if now >= token.expires:
        raise NotAuthorised(
            f"The token expired {now - token.expires} s ago.",
            "Check this machine's clock, then ask the operator for a new token.",
            code="E-TOKEN-EXPIRED",
        )
    if request.name != token.name:
        raise NotAuthorised(
            f"The token is for {token.name}, not for {request.name}.", f"Use --name {token.name}.", code="E-TOKEN-NAME"
        )
    if abs(request.time - now) > SKEW:
        raise BadInput(
            f"The clocks differ by {abs(request.time - now)} s.", "Set this machine's clock (NTP).", code="E-CLOCK"
        )


def _revoked() -> NotAuthorised:
    return NotAuthorised("The token was revoked.", "Ask the operator for a new one.", code="E-TOKEN-REVOKED")


def _check_keys(member: Member, register: Register, authority: Authority) -> None:
    """Refuse keys that another party has: one key must never answer to two names."""
    taken = {authority.online.public, authority.curve_key}
    known = [record.member for record in register.members()] + [record.member for record in register.candidates()]
    for other in known:
        if other.name != member.name:
            taken |= {other.sign_key, other.curve_key}
    if {member.sign_key, member.curve_key} & taken:
        raise NotAuthorised("Another party has one of these keys.", "Make new keys with `join`.", code="E-KEY")
