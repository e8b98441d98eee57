"""Messages of enrolment (kind `enrol`, from guests), of the roster and of lies (kinds `roster`, `lie`, with members).

Rules: a request is signed twice, by the new member's key and by the token's, over the same bytes. A reply never tells
more than the token's holder may know. A roster travels with the log entry that put it in force and the proof that the
entry is in the directory. Leaves to others: judging them (keyserver; enrolment and membership of secagg.daemon).
Source: docs/operations.md "Enrolment".
"""

from msgspec import Struct

from secagg.crypto.labels import fields
from secagg.crypto.sign import SigningKey, verify
from secagg.errors import VerificationFailed
from secagg.ids import Count, Digest, Key, Name, Sentence, Signature, Word
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_ENROL

ENROL = "enrol"
ROSTER = "roster"
LIE = "lie"
LABEL = "secagg/v1/enrol"


class EnrolRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a newcomer asks for; `time` is its own clock in unix seconds, so that skew is named as such."""

    federation: Name
    root_fingerprint: Word
    name: Name
    sign_key: Key
    curve_key: Key
    token_key: Key
    time: Count


class Enrolment(Struct, frozen=True, forbid_unknown_fields=True):
    """An encoded `EnrolRequest` under both signatures."""

    request: bytes
    by_member: Signature
    by_token: Signature


class Waiting(Struct, frozen=True, forbid_unknown_fields=True, tag="waiting"):
    """The request is kept; a person has to approve it. `fingerprint` is what that person sees."""

    fingerprint: bytes


class Admitted(Struct, frozen=True, forbid_unknown_fields=True, tag="admitted"):
    """The newcomer is a member: an encoded `RosterPush` that holds it."""

    push: bytes


class Denied(Struct, frozen=True, forbid_unknown_fields=True, tag="denied"):
    """The request is refused: code, one sentence of cause and one of remedy."""

    code: Word
    cause: Sentence
    remedy: Sentence


EnrolReply = Waiting | Admitted | Denied


class RosterRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A member asks for the roster in force; `size` is that of the last directory checkpoint it accepted, 0 if none."""

    size: Count


class RosterPush(Struct, frozen=True, forbid_unknown_fields=True):
    """A `SignedRoster`, the leaf that put it in force and the encoded `secagg.log.witness.LogProof` of that leaf.

    Every member gets the same checkpoint with the same roster version: a manifest names it.
    """

    roster: bytes
    leaf: bytes
    proof: bytes


class LieNotice(Struct, frozen=True, forbid_unknown_fields=True):
    """Member → key server, kind `lie`: the sender holds evidence (secagg.protocol.round.lie) of so many bytes under
    this SHA-256 that the aggregator with this key lied. The key server fetches it."""

    aggregator_key: Key
    digest: Digest
    length: Count


class LiePush(Struct, frozen=True, forbid_unknown_fields=True):
    """Key server → member, kind `lie`: a logged `LieReported` and the length of its evidence, which members fetch.

    It is believed by the evidence alone, which every member judges itself.
    """

    leaf: bytes
    length: Count


def sign_enrolment(request: EnrolRequest, member: SigningKey, token: SigningKey) -> Enrolment:
    """Sign a request with both keys."""
    body = encode(request)
    data = fields(LABEL, body)
    return Enrolment(body, member.sign(data), token.sign(data))


def open_enrolment(data: bytes, curve_key: bytes) -> EnrolRequest:
    """Return a request that came over a connection with this CURVE key, once both of its signatures hold.

    Raises: WireError, BadSignature; VerificationFailed when it names another CURVE key.
    """
    enrolment = decode(Enrolment, data, LIMIT_ENROL)
    request = decode(EnrolRequest, enrolment.request, LIMIT_ENROL)
    if request.curve_key != curve_key:
        raise VerificationFailed("The request names another CURVE key than the connection it came over.", "Join again.")
    check_enrolment(enrolment, request)
    return request


def check_enrolment(enrolment: Enrolment, request: EnrolRequest) -> None:
    """Check both signatures on the bytes as received.

    Raises: BadSignature.
    """
    data = fields(LABEL, enrolment.request)
    verify(request.token_key, data, enrolment.by_token)
    verify(request.sign_key, data, enrolment.by_member)
