"""Ed25519 signatures (RFC 8032) under keys that only their owner can sign with.

Rule: a public key of small order, or one not written as RFC 8032 writes it, verifies nothing. Under a small-order key
anybody makes signatures that hold for any message, and two texts of one key would pass for two members.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from secagg.crypto.secret import Secret
from secagg.errors import BadSignature

_PRIME = 2**255 - 19
_EIGHTH = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
"""The y of four of the eight points of small order; of the others it is −y, 1, −1 and 0."""

_SMALL = frozenset({0, 1, _PRIME - 1, _EIGHTH, _PRIME - _EIGHTH})


class SigningKey:
    """A private key for signing; its public half is 32 bytes."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def from_private_bytes(cls, data: bytes) -> "SigningKey":
        """Return the key of a 32-byte seed."""
        return cls(Ed25519PrivateKey.from_private_bytes(data))

    def private_bytes(self) -> Secret:
        """Return the 32-byte seed."""
        return Secret(self._key.private_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data` (64 bytes)."""
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"


def verify(public: bytes, data: bytes, signature: bytes) -> None:
    """Check a signature under a 32-byte public key.

    Raises: BadSignature when the key is malformed or of small order, or the signature does not verify.
    """
    try:
        _key(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise BadSignature("A signature does not verify.", "Check the signer's key in the roster.") from None


@lru_cache(maxsize=4096)
def _key(public: bytes) -> Ed25519PublicKey:
    """Return a checked key; a round verifies hundreds of messages under a few keys. Raises: ValueError."""
    _check_public(public)
    return Ed25519PublicKey.from_public_bytes(public)


def _check_public(public: bytes) -> None:
    """Refuse a point of small order and an y that is not reduced. Raises: ValueError."""
    y = int.from_bytes(public, "little") & 2**255 - 1
    if y in _SMALL or y >= _PRIME:
        raise ValueError("a key that anybody can sign with")
