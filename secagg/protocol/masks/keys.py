"""Labels and derivations of engine `masks`: one place where a context becomes a key.

Rules (protocol §1, §3): every derivation names H(manifest), round, attempt, group, both parties and the lane group,
length-prefixed. Pair keys also H(U2) and both public keys. So a difference in any of them gives masks that do not
cancel. Leaves to others: expanding a key (secagg.crypto.prg), which masks to add (masking.py, recovery.py).
"""

from collections.abc import Mapping
from typing import Literal

from secagg.crypto import agree, seal
from secagg.crypto.agree import AgreementKey
from secagg.crypto.derive import derive, sha256
from secagg.crypto.labels import fields
from secagg.crypto.secret import Secret
from secagg.wire.signed import Scope, context

SEED_BYTES = 32
MASK_KEY_BYTES = 16
SELF_LABEL = "secagg/v1/masks/self"
PAIR_LABEL = "secagg/v1/masks/pair"
SHARE_LABEL = "secagg/v1/masks/share"
ANSWER_LABEL = "secagg/v1/masks/answer"
COMMIT_LABEL = "secagg/v1/masks/commit"
LEAF_LABEL = "secagg/v1/masks/share-leaf"
Part = Literal["seed", "key"]
"""Of which of its dealer's two secrets a share is: b_u or sk_mask."""

DIGEST_LABELS: Mapping[Part, str] = {"seed": "secagg/v1/masks/share-of-seed", "key": "secagg/v1/masks/share-of-key"}


def check_advertised(seal_key: bytes, mask_key: bytes) -> None:
    """Check keys when they come in: one that is of small order, or malformed, would stop every member at a later step.

    Raises: ProtocolViolation.
    """
    seal.check_public(seal_key)
    agree.check_public(mask_key)


def self_key(seed: bytes, scope: Scope, owner: str, group: str) -> Secret:
    """Return the AES key of `owner`'s self mask for one lane group."""
    info = context(SELF_LABEL, group, scope, owner, owner)
    return derive(seed, salt=scope.manifest, info=info, length=MASK_KEY_BYTES)


def pair_secret(own: AgreementKey, peer: bytes) -> Secret:
    """Return the X25519 shared secret of a pair.

    Raises: ProtocolViolation on an all-zero output (small-order point).
    """
    return own.agree(peer)


def pair_key(
    secret: Secret, scope: Scope, u2: bytes, low: tuple[str, bytes], high: tuple[str, bytes], group: str
) -> Secret:
    """Return the AES key of a pair mask; `low` and `high` are (name, public mask key) in roster order."""
    info = context(PAIR_LABEL, group, scope, low[0], high[0]) + fields(u2, low[1], high[1])
    return derive(secret, salt=scope.manifest, info=info, length=MASK_KEY_BYTES)


def commitment(seed: bytes, scope: Scope, owner: str) -> bytes:
    """Return H(label ‖ b_u): 256 random bits need no salt."""
    return sha256(context(COMMIT_LABEL, "seed", scope, owner, owner) + fields(seed))


def share_digest(part: Part, owner: str, x: int, share: bytes) -> bytes:
    """Return what a dealer signs of one share: a share is a uniform value of 256 bits, so its hash tells nothing."""
    return sha256(fields(DIGEST_LABELS[part], owner, x, share))


def share_info(scope: Scope, sender: str, receiver: str) -> bytes:
    """Return the HPKE `info` of a sealed share pair."""
    return context(SHARE_LABEL, "ShareKeys", scope, sender, receiver)


def answer_info(scope: Scope, sender: str, aggregator: str) -> bytes:
    """Return the HPKE `info` of a sealed answer."""
    return context(ANSWER_LABEL, "Unmask", scope, sender, aggregator)
