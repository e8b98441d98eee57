"""Ed25519 signatures (RFC 8032)."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from secagg.crypto.secret import Secret
from secagg.errors import BadSignature


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

    Raises: BadSignature when the key is malformed or the signature does not verify.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise BadSignature("A signature does not verify.", "Check the signer's key in the roster.") from None
