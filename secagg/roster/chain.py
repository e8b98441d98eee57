"""The chain of trust: an offline root delegates to an online key, which signs versioned rosters.

Rules (TUF's pattern: no rollback, no freeze, no mix and match): everybody pins the root's fingerprint. A roster names
its predecessor's digest, its version only grows by one, it expires. Leaves to others: distributing, logging.
"""

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.sign import SigningKey, verify
from secagg.errors import BadSignature, VerificationFailed
from secagg.ids import Count, Key, Name, Signature
from secagg.roster.members import Roster
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK

ROOT_LABEL = "secagg/v1/root"
DELEGATION_LABEL = "secagg/v1/delegation"
ROSTER_LABEL = "secagg/v1/roster"


class Delegation(Struct, frozen=True, forbid_unknown_fields=True):
    """The root's word that `online_key` may sign rosters of `federation` until `expires` (unix seconds)."""

    federation: Name
    online_key: Key
    expires: Count


class SignedRoster(Struct, frozen=True, forbid_unknown_fields=True):
    """A roster with everything needed to check it against a pinned fingerprint."""

    root_key: Key
    delegation: bytes
    delegation_signature: Signature
    roster: bytes
    signature: Signature


def fingerprint(root_key: bytes) -> str:
    """Return the fingerprint of a root key, `sha256:` and 64 hex digits."""
    return "sha256:" + sha256(fields(ROOT_LABEL, root_key)).hex()


def delegate(root: SigningKey, delegation: Delegation) -> tuple[bytes, bytes]:
    """Return the delegation's bytes and the root's signature."""
    body = encode(delegation)
    return body, root.sign(fields(DELEGATION_LABEL, body))


def sign_roster(roster: Roster, root_key: bytes, delegation: tuple[bytes, bytes], online: SigningKey) -> bytes:
    """Return the encoded `SignedRoster`; its SHA-256 is what manifests and the log name."""
    body = encode(roster)
    return encode(SignedRoster(root_key, *delegation, body, online.sign(fields(ROSTER_LABEL, body))))


def online_key(data: bytes, root_fingerprint: str) -> bytes:
    """Return the online key that a signed roster's delegation names, once the root's signature holds.

    Raises: VerificationFailed.
    """
    signed = decode(SignedRoster, data, LIMIT_BULK)
    if fingerprint(signed.root_key) != root_fingerprint:
        raise VerificationFailed(
            f"The roster's root {fingerprint(signed.root_key)} is not the pinned {root_fingerprint}.",
            "Check the fingerprint with the operator over another channel.",
            code="E-ROOT",
        )
    _hold(signed.root_key, DELEGATION_LABEL, signed.delegation, signed.delegation_signature, "delegation")
    return decode(Delegation, signed.delegation).online_key


def open_roster(data: bytes, root_fingerprint: str, now: int, last: Roster | None) -> Roster:
    """Return the roster of `SignedRoster` bytes once root, delegation, signature, expiry and chain hold.

    `now` is unix seconds; `last` the roster accepted before (its successor or itself is accepted).
    Raises: VerificationFailed with the cause.
    """
    key = online_key(data, root_fingerprint)
    signed = decode(SignedRoster, data, LIMIT_BULK)
    delegation = decode(Delegation, signed.delegation)
    _hold(key, ROSTER_LABEL, signed.roster, signed.signature, "roster")
    roster = decode(Roster, signed.roster, LIMIT_BULK)
    if roster.federation != delegation.federation:
        raise VerificationFailed("The roster is of another federation.", "Check the key server.")
    if now >= min(roster.expires, delegation.expires):
        raise VerificationFailed(
            f"Roster version {roster.version} has expired.", "Check the clock, then the key server.", code="E-EXPIRED"
        )
    if last is not None and roster.version < last.version:
        raise VerificationFailed(
            f"Roster version {roster.version} is older than {last.version}, seen before.", "Ask the operator why."
        )
    if last is not None and roster.version == last.version and roster != last:
        raise VerificationFailed(
            f"There are two rosters of version {roster.version}.",
            "Keep both: they are evidence against the key server.",
        )
    return roster


def _hold(key: bytes, label: str, body: bytes, signature: bytes, what: str) -> None:
    try:
        verify(key, fields(label, body), signature)
    except BadSignature:
        raise VerificationFailed(f"The signature on the {what} does not verify.", "Check the key server.") from None


def follows(data: bytes, before: bytes | None) -> bool:
    """Say whether signed roster `data` names `before` as its predecessor and is one version later."""
    roster = decode(Roster, decode(SignedRoster, data, LIMIT_BULK).roster, LIMIT_BULK)
    if before is None:
        return roster.version == 1 and roster.previous == bytes(32)
    earlier = decode(Roster, decode(SignedRoster, before, LIMIT_BULK).roster, LIMIT_BULK)
    return roster.version == earlier.version + 1 and roster.previous == sha256(before)
