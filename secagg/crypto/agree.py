"""X25519 key agreement (RFC 7748) that refuses small-order points."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from secagg.crypto.secret import Secret
from secagg.errors import ProtocolViolation


class AgreementKey:
    """A private key for agreement; its public half is 32 bytes."""

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def from_private_bytes(cls, data: bytes) -> "AgreementKey":
        """Return the key of 32 private bytes."""
        return cls(X25519PrivateKey.from_private_bytes(data))

    def private_bytes(self) -> Secret:
        """Return the 32 private bytes."""
        return Secret(self._key.private_bytes_raw())

    def agree(self, peer: bytes) -> Secret:
        """Return the shared secret with a peer's 32-byte public key.

        Raises: ProtocolViolation when the output is all zero (a small-order point) or the key is malformed.
        """
        try:
            return Secret(self._key.exchange(X25519PublicKey.from_public_bytes(peer)))
        except ValueError:
            raise ProtocolViolation(
                "A peer's key gives no shared secret.", "Exclude the peer.", rule="agree.small-order"
            ) from None

    def __repr__(self) -> str:
        return f"AgreementKey(public={self.public.hex()})"
