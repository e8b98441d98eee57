"""Keys of `phe` (python-paillier) as ours: for tests that hold our ciphertexts against its own.

Rules: only g = N + 1, which is the only generator `phe` makes. An imported key is of profile `imported`, whose
exponents assume nothing about its primes. It still needs a statement, which the holder makes from its private key.
"""

from gmpy2 import mpz
from phe import PaillierPrivateKey, PaillierPublicKey

from secagg.crypto.paillier.keys import PublicKey
from secagg.crypto.paillier.private import PrivateKey
from secagg.errors import BadInput


def import_private(key: PaillierPrivateKey) -> PrivateKey:
    """Return a `phe` private key as ours; its public part then carries the statement.

    Raises: BadInput when the key's primes have not the same length.
    """
    p, q = mpz(key.p), mpz(key.q)
    if p == q or p.bit_length() != q.bit_length():
        raise BadInput("The key's primes have not the same length.", "Make another key.")
    return PrivateKey("imported", (p, q))


def import_public(key: PaillierPublicKey, roots: tuple[bytes, ...]) -> PublicKey:
    """Return a `phe` public key with the statement that its holder made; `keys.validate` decides whether it is used.

    Raises: BadInput when the generator is not N + 1.
    """
    n = mpz(key.n)
    if key.g != n + 1:
        raise BadInput("The key's generator is not N + 1.", "Make another key.")
    return PublicKey("imported", n.to_bytes(-(-int(n.bit_length()) // 8), "big"), roots)
