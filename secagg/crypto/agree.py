"""X25519 key agreement (RFC 7748) that refuses small-order points.

Rule: a peer's key is checked when it comes in (`check_public`), so that one that gives no secret stops nobody later.
"""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from secagg.crypto.secret import Secret
from secagg.errors import ProtocolViolation

_PRIME = 2**255 - 19
_SMALL = frozenset(
    {
        *(0, 1, _PRIME - 1),
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""The u of every point of small order, on the curve and on its twist."""


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


def check_public(key: bytes) -> None:
    """Check that a public key is a point that agreement may use, in its one form.

    Raises: ProtocolViolation when it has another length, is not reduced (RFC 7748 would take it for another key), or is
    of small order.
    """
    u = int.from_bytes(key, "little")
    if len(key) != 32 or u >= _PRIME or u in _SMALL:
        raise ProtocolViolation("A peer's key gives no shared secret.", "Exclude the peer.", rule="agree.public")
