"""`phe` as others use it, under our key: what interoperability is checked against and costs are compared with.

Rules: nothing of this is on a path of the product. Every call is `phe`'s own public one, so that a comparison measures
`phe` and not us.
"""

from collections.abc import Sequence

from phe import EncryptedNumber, PaillierPrivateKey, PaillierPublicKey

from secagg.crypto.paillier.keys import PublicKey
from secagg.crypto.paillier.private import PrivateKey


def export_public(key: PublicKey) -> PaillierPublicKey:
    """Return a public key for `phe`."""
    return PaillierPublicKey(int(key.n))


def export_private(key: PrivateKey) -> PaillierPrivateKey:
    """Return a private key for `phe`, which takes no constant time: for comparisons and for leaving."""
    p, q = key.primes
    return PaillierPrivateKey(export_public(key.public), int(p), int(q))


class Oracle:
    """A `phe` key pair; vectors are encrypted, added and decrypted one number at a time."""

    def __init__(self, key: PrivateKey) -> None:
        self._public = export_public(key.public)
        self._private: PaillierPrivateKey = export_private(key)

    def encrypt(self, numbers: Sequence[int]) -> list[EncryptedNumber]:
        """Return one `EncryptedNumber` for each number below N / 3."""
        return [self._public.encrypt(int(number)) for number in numbers]

    @staticmethod
    def add(left: Sequence[EncryptedNumber], right: Sequence[EncryptedNumber]) -> list[EncryptedNumber]:
        """Return the sums, position by position."""
        return [one + other for one, other in zip(left, right, strict=True)]

    def decrypt(self, numbers: Sequence[EncryptedNumber]) -> list[int]:
        """Return the plaintexts."""
        return [self._private.decrypt(number) for number in numbers]
