"""The arithmetic of a key: plaintexts modulo N^s, ciphertexts modulo N^(s+1) (Damgård-Jurik, s = 1…3).

Rules: a plaintext word holds `capacity` = bit_length(N^s) − 1 bits; ciphertexts travel big-endian in `width` bytes. (1
+ N)^m is computed in its binomial form. The base of obfuscators is h_s = h^(N^s). Either h = −y² for a y that follows
from the modulus by hashing, so there is nothing to trust. Or h is the generator of a `fast` key.
Leaves to others: drawing exponents (encrypt), secret keys (private).
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import cached_property

from gmpy2 import invert, mpz

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.paillier.keys import PublicKey, exponent_bits
from secagg.crypto.paillier.numbers import hashed, read, write
from secagg.crypto.paillier.powers import long_power, product, product_of_powers
from secagg.crypto.paillier.primes import coprime
from secagg.errors import ProtocolViolation

LARGEST_S = 3
_GENERATOR_LABEL = "secagg/v1/paillier/generator"
_KEY_LABEL = "secagg/v1/paillier/key"


class Ring:
    """Plaintexts and ciphertexts of one key at one s; holds no secret."""

    def __init__(self, key: PublicKey, s: int = 1) -> None:
        if not 1 <= s <= LARGEST_S:
            raise ValueError(f"s is 1 to {LARGEST_S}")
        self.key, self.s, self.n = key, s, key.n
        self.plain, self.cipher = self.n**s, self.n ** (s + 1)
        self.width = (s + 1) * len(key.modulus)
        self.capacity = self.plain.bit_length() - 1
        self.exponent_bits = exponent_bits(key.profile, key.bits)
        self._factors = [invert(mpz(k), self.plain) for k in range(1, s + 1)]

    @cached_property
    def digest(self) -> bytes:
        """Return what names the key and s."""
        return sha256(fields(_KEY_LABEL, self.key.profile, self.key.modulus, self.key.subgroup, self.s))

    @cached_property
    def generator(self) -> mpz:
        """Return h, an element mod N."""
        if self.key.profile == "fast":
            return mpz.from_bytes(self.key.subgroup, "big")
        y = hashed(_GENERATOR_LABEL, self.n, 0)
        return y if self.key.profile == "imported" else -y * y % self.n

    @cached_property
    def base(self) -> mpz:
        """Return h_s = h^(N^s) mod N^(s+1)."""
        return long_power(self.generator, self.plain, self.cipher)

    def quotient(self, message: mpz) -> mpz:
        """Return K mod N^s with (1 + N)^message = 1 + K·N mod N^(s+1)."""
        if self.s == 1:
            return message
        found, term = mpz(0), mpz(1)
        for k in range(self.s):
            term = term * (message - k) % self.plain * self._factors[k] % self.plain
            found += term * self.n**k
        return found % self.plain

    def embed(self, message: mpz) -> mpz:
        """Return (1 + N)^message mod N^(s+1)."""
        return (1 + self.n * self.quotient(message % self.plain)) % self.cipher

    def read(self, data: bytes | memoryview) -> list[mpz]:
        """Return the ciphertexts in `data`, each in its range.

        Raises: ProtocolViolation (paillier.length, paillier.range).
        """
        return read(data, self.width, self.cipher, "ciphertexts")

    def write(self, ciphertexts: Sequence[mpz]) -> bytes:
        """Return ciphertexts as they travel."""
        return write(ciphertexts, self.width)

    @property
    def plain_width(self) -> int:
        """Return the bytes of a plaintext as it travels."""
        return self.s * len(self.key.modulus)

    def write_plain(self, words: Sequence[mpz]) -> bytes:
        """Return plaintexts as they travel."""
        return write(words, self.plain_width)

    def read_plain(self, data: bytes) -> list[mpz]:
        """Return the plaintexts in `data`, each below N^s.

        Raises: ProtocolViolation (paillier.length, paillier.range).
        """
        width = self.plain_width
        if len(data) % width:
            raise ProtocolViolation("Plaintexts of another length.", "Refuse their sender.", rule="paillier.length")
        found = [mpz.from_bytes(data[at : at + width], "big") for at in range(0, len(data), width)]
        if found and max(found) >= self.plain:
            raise ProtocolViolation("A plaintext is out of range.", "Refuse its sender.", rule="paillier.range")
        return found

    def check_units(self, ciphertexts: Sequence[mpz]) -> None:
        """Refuse ciphertexts of which one shares a factor with the modulus; one gcd for all.

        Raises: ProtocolViolation, rule paillier.gcd.
        """
        if not coprime(product((one % self.n for one in ciphertexts), self.n), self.n):
            raise ProtocolViolation(
                "A ciphertext shares a factor with the modulus.", "Refuse its sender.", rule="paillier.gcd"
            )

    def combine(self, ciphertexts: Sequence[mpz], exponents: Sequence[int], executor: Executor | None = None) -> mpz:
        """Return Π c^e mod N^(s+1) for public exponents.

        Raises: ProtocolViolation, rule paillier.gcd, when a factor of the modulus is in it.
        """
        found = product_of_powers(ciphertexts, exponents, self.cipher, executor)
        if not coprime(found, self.n):
            raise ProtocolViolation(
                "A ciphertext shares a factor with the modulus.", "Refuse its sender.", rule="paillier.gcd"
            )
        return found
