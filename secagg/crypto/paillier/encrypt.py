"""Encryption of packed words: an obfuscator from the table or the pool, then one product modulo N^s.

Rules (protocol §5, §8): c = (1 + N)^m · h_s^r mod N^(s+1), computed as ρ + N·(K·ρ mod N^s) and at most one subtraction.
The exponent r is drawn anew for every ciphertext, and an obfuscator that was used is gone. Exponents are kept only as
long as the proof of knowledge needs them.
Leaves to others: packing, the pool on disk, the proof (knowledge).
"""

from collections.abc import Sequence
from concurrent.futures import Executor

from gmpy2 import mpz

from secagg.crypto.paillier.numbers import random_bits
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table
from secagg.crypto.rng import Rng
from secagg.errors import BadInput


class Obfuscators:
    """Secret exponents r and the powers h_s^r; each is used once."""

    __slots__ = ("exponents", "values")

    def __init__(self, exponents: Sequence[mpz], values: Sequence[mpz]) -> None:
        if len(exponents) != len(values):
            raise ValueError("an obfuscator is an exponent and its power")
        self.exponents, self.values = list(exponents), list(values)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Obfuscators({len(self)} OMITTED)"

    def __reduce__(self) -> str:
        raise TypeError("obfuscators are not serialised; the pool keeps them")

    def __add__(self, other: "Obfuscators") -> "Obfuscators":
        return Obfuscators(self.exponents + other.exponents, self.values + other.values)

    def split(self, count: int) -> "Obfuscators":
        """Take the last `count` out and return them."""
        at = max(len(self) - count, 0)
        taken = Obfuscators(self.exponents[at:], self.values[at:])
        del self.exponents[at:], self.values[at:]
        return taken


def obfuscate(table: Table, count: int, rng: Rng, executor: Executor | None = None) -> Obfuscators:
    """Make `count` obfuscators; nearly all of encryption's cost, and none of it depends on the message."""
    exponents = [random_bits(table.ring.exponent_bits, rng) for _ in range(count)]
    return Obfuscators(exponents, table.powers(exponents, executor))


def encrypt(ring: Ring, words: Sequence[mpz], obfuscators: Obfuscators) -> list[mpz]:
    """Return a ciphertext for every word; the obfuscators must not be used again.

    Raises: BadInput when a word is no plaintext or there are not as many obfuscators as words.
    """
    if len(words) != len(obfuscators):
        raise BadInput(f"{len(words)} words and {len(obfuscators)} obfuscators.", "Use one for each word.")
    if words and (max(words) >= ring.plain or min(words) < 0):
        raise BadInput("A word is no plaintext of this key.", "Use the key's capacity.")
    n, plain, cipher = ring.n, ring.plain, ring.cipher
    quotients = words if ring.s == 1 else [ring.quotient(word) for word in words]
    found = []
    for quotient, value in zip(quotients, obfuscators.values, strict=True):
        one = value + n * (quotient * value % plain)
        found.append(one - cipher if one >= cipher else one)
    return found
