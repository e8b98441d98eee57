"""Sealing to a public key: HPKE single shot (RFC 9180), MLKEM768-X25519, HKDF-SHA-256, AES-256-GCM.

Rule (protocol §1): HPKE does not authenticate the sender, so context goes into `info` and the sender signs the digest
of every sealed piece. A private key is 96 bytes: ML-KEM seed (64) and X25519 key (32); a public key 1,216 bytes.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from secagg.crypto.agree import check_public as check_point
from secagg.crypto.secret import Secret
from secagg.errors import ProtocolViolation, SealBroken

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SEED = 64
_MLKEM_PUBLIC = 1184
OVERHEAD = 1136
"""Bytes that a sealed piece is longer than what it holds: both encapsulated keys, and the tag."""


class SealingKey:
    """A private key that opens what was sealed to its public half."""

    def __init__(self, mlkem: MLKEM768PrivateKey, x25519: X25519PrivateKey) -> None:
        self._key = MLKEM768X25519PrivateKey(mlkem, x25519)
        self._parts = mlkem, x25519
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    @classmethod
    def from_private_bytes(cls, data: bytes) -> "SealingKey":
        """Return the key of 96 private bytes."""
        return cls(MLKEM768PrivateKey.from_seed_bytes(data[:_SEED]), X25519PrivateKey.from_private_bytes(data[_SEED:]))

    def private_bytes(self) -> Secret:
        """Return the 96 private bytes."""
        mlkem, x25519 = self._parts
        return Secret(mlkem.private_bytes_raw() + x25519.private_bytes_raw())

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Return the plaintext.

        Raises: SealBroken when key, context or bytes are not the ones it was sealed with.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError):
            raise SealBroken("A sealed piece does not open.", "Ask its sender; it is kept as missing.") from None

    def __repr__(self) -> str:
        return "SealingKey(OMITTED)"


def seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal `plaintext` to a 1,216-byte public key in the context `info`.

    Raises: ProtocolViolation when the key is malformed.
    """
    key = MLKEM768X25519PublicKey(*_halves(public))
    try:
        return _SUITE.encrypt(plaintext, key, info)
    except ValueError:
        raise _malformed() from None


def check_public(public: bytes) -> None:
    """Check that one can seal to a public key: both halves well-formed, the X25519 half as `agree.check_public` wants.

    Raises: ProtocolViolation.
    """
    check_point(public[_MLKEM_PUBLIC:])
    _halves(public)


@lru_cache(maxsize=1024)
def _halves(public: bytes) -> tuple[MLKEM768PublicKey, X25519PublicKey]:
    """Return both halves of a public key: a round checks it when it comes in, and seals to it later.

    Raises: ProtocolViolation.
    """
    try:
        return (
            MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:]),
        )
    except ValueError:
        raise _malformed() from None


def _malformed() -> ProtocolViolation:
    return ProtocolViolation("A sealing key is malformed.", "Exclude the peer.", rule="seal.key")
