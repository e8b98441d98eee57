"""A signed message: the body's bytes as received, sender, receiver, and an Ed25519 signature over its whole context.

Rule (protocol §1): the signature covers (label, type, federation, job, round, attempt, group, H(manifest), sender,
receiver, H(body)), length-prefixed. So nothing can be replayed in another slot. Verification uses the received bytes.
Leaves to others: which key belongs to a sender (the manifest's members), what the body means.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.sign import SigningKey, verify
from secagg.errors import BadSignature
from secagg.ids import Digest, Name, RoundId, Signature, Word

LABEL = "secagg/v1/message"


class Scope(Struct, frozen=True, forbid_unknown_fields=True):
    """The round and the manifest that a message belongs to; `manifest` is 32 zero bytes for the manifest itself."""

    round: RoundId
    manifest: Digest


class Signed(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One message of `kind` from `sender` to `receiver` (a name, or `*` for everybody)."""

    kind: Word
    sender: Name
    receiver: Word
    body: bytes
    signature: Signature


def context(label: str, kind: str, scope: Scope, sender: str, receiver: str) -> bytes:
    """Return the length-prefixed context that signatures, key derivations and HPKE `info` share."""
    return _of_names(label, kind) + _of_scope(scope) + _of_names(sender, receiver)


@lru_cache(maxsize=1024)
def _of_names(*names: str) -> bytes:
    """Return the fields of labels or members, of which there are few."""
    return fields(*names)


@lru_cache(maxsize=64)
def _of_scope(scope: Scope) -> bytes:
    """Return the fields of a scope, which a round asks for hundreds of times."""
    r = scope.round
    return fields(r.federation, r.job, r.round, r.attempt, r.group, scope.manifest)


def sign(key: SigningKey, kind: str, scope: Scope, sender: str, receiver: str, body: bytes) -> Signed:
    """Sign `body` for exactly this context."""
    return next(sign_each(key, kind, scope, sender, (receiver,), body))


def sign_each(
    key: SigningKey, kind: str, scope: Scope, sender: str, receivers: Iterable[str], body: bytes
) -> Iterator[Signed]:
    """Sign one `body` for each of its receivers; it is hashed once."""
    digest = fields(sha256(body))
    for receiver in receivers:
        data = context(LABEL, kind, scope, sender, receiver) + digest
        yield Signed(kind=kind, sender=sender, receiver=receiver, body=body, signature=key.sign(data))


def open_signed(signed: Signed, public: bytes, kind: str, scope: Scope, receiver: str) -> bytes:
    """Return the body once kind, receiver and signature hold under `public` (32 bytes).

    Raises: BadSignature naming sender and kind.
    """
    if signed.kind != kind or signed.receiver != receiver:
        raise BadSignature(
            f"A {signed.kind} for {signed.receiver} arrived where a {kind} for {receiver} belongs.",
            "Discard it; it may be a replay.",
            rule="signature.slot",
        )
    data = context(LABEL, kind, scope, signed.sender, receiver) + fields(sha256(signed.body))
    try:
        verify(public, data, signed.signature)
    except BadSignature:
        raise BadSignature(
            f"The signature of {signed.sender} on {kind} does not verify for {scope.round.label()}.",
            "Check the sender's key in the roster.",
            rule="signature.invalid",
        ) from None
    return signed.body
