"""Boot epochs: what a member tells the key server when it starts, and what it is told; both signed.

A member that was restored from a backup has forgotten what it opened, and two copies of one member would open twice. So
the key server numbers every start of every member, and remembers how long the member's ledger was.

Rules: a reply names the nonce that this start drew, so that no other start believes it. Requests are signed by the
member and replies by the key server's online key, because a broker carries them. Leaves to others: judging
(keyserver.boots), asking (secagg.daemon.booting). Source: docs/threat-model.md row 14.
"""

from typing import Literal

from msgspec import Struct

from secagg.crypto.labels import fields
from secagg.crypto.sign import SigningKey, verify
from secagg.ids import Count, Digest, Name, Signature
from secagg.wire.codec import decode, encode

BOOT = "boot"
_ASK, _TELL = "secagg/v1/boot/ask", "secagg/v1/boot/tell"


class BootRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a member stands: the epoch it was granted last, its own count of starts, the length of its ledger.

    `fenced` says that it was told that it is an old copy, and takes part in nothing.
    """

    federation: Name
    member: Name
    number: Count
    starts: Count
    nonce: Digest
    records: Count
    fenced: bool = False


class BootReply(Struct, frozen=True, forbid_unknown_fields=True):
    """What the key server says to the start that drew `nonce`; `records` is the longest ledger it was told of.

    `granted`: epoch `number` is this start's, once it says so. `held`: it is. `fenced`: a newer start, or a longer
    ledger, is known.
    """

    federation: Name
    member: Name
    nonce: Digest
    number: Count
    records: Count
    state: Literal["granted", "held", "fenced"]


class _Signed(Struct, frozen=True, forbid_unknown_fields=True):
    body: bytes
    signature: Signature


def sign_request(request: BootRequest, key: SigningKey) -> bytes:
    """Return a request under the member's signature."""
    return _sign(_ASK, encode(request), key)


def open_request(data: bytes, public: bytes) -> BootRequest:
    """Return a request once the member's signature holds. Raises: BadSignature, WireError."""
    return decode(BootRequest, _open(_ASK, data, public))


def sign_reply(reply: BootReply, key: SigningKey) -> bytes:
    """Return a reply under the key server's online key."""
    return _sign(_TELL, encode(reply), key)


def open_reply(data: bytes, public: bytes) -> BootReply:
    """Return a reply once the key server's signature holds. Raises: BadSignature, WireError."""
    return decode(BootReply, _open(_TELL, data, public))


def _sign(label: str, body: bytes, key: SigningKey) -> bytes:
    return encode(_Signed(body, key.sign(fields(label, body))))


def _open(label: str, data: bytes, public: bytes) -> bytes:
    signed = decode(_Signed, data)
    verify(public, fields(label, signed.body), signed.signature)
    return signed.body
