"""Public keys: what a key is, and the checks that every key passes before anything is encrypted to it.

Rules (protocol §5, attacks 25, 38): the modulus has exactly the length that was agreed, at least 2048 bits. It is odd,
composite, no power, has no factor below 2^20 and none in common with a key that came earlier. 8 hashed challenges have
N-th roots in the key's statement, which with the former proves gcd(N, φ(N)) = 1, so that no ciphertext has two
openings. What this does not prove: that the factors are large, or two. A holder who hides a factor f in its own key
weakens every proof made under it to 1/f. Threshold keys come from a dealer that is assumed honest (protocol §5).
Profiles: `provable` (exponents of half the modulus' length; a Blum integer) and `fast` (hidden subgroup, one holder
only). `imported` keys were made elsewhere, and nothing is assumed about their primes: exponents have full length.
Sources: Damgård, Jurik, Nielsen, IJIS 2010; Ma, Han, Lei, ACSAC 2021; Goldberg et al., eprint 2018/057 (roots).
"""

from collections.abc import Iterable
from typing import Literal

from gmpy2 import is_power, jacobi, mpz, primorial
from msgspec import Struct

from secagg.crypto.paillier.numbers import hashed
from secagg.crypto.paillier.powers import long_power
from secagg.crypto.paillier.primes import coprime, probable_prime
from secagg.errors import ProtocolViolation

Profile = Literal["provable", "fast", "imported"]

FLOOR_BITS = 2048
DEFAULT_BITS = 3072
CEILING_BITS = 8192
"""Checking a longer key would take this process longer than a round lasts."""
WEAK_BITS = 256
"""What even `weak` keys, which exist for tests, must have: below, sieving fails."""
CHALLENGES = 8
_FACTOR = 2**20
_ROOT_LABEL = "secagg/v1/paillier/key-root"
_REMEDY = "Have the key made again by the ceremony, and do not use this one."


class PublicKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A modulus and what comes with it; numbers are big-endian bytes of the modulus' length."""

    profile: Profile
    modulus: bytes
    roots: tuple[bytes, ...]
    """The statement: an N-th root of each challenge."""
    subgroup: bytes = b""
    """The generator of a `fast` key, otherwise nothing: it follows from the modulus."""

    @property
    def n(self) -> mpz:
        """Return the modulus."""
        return mpz.from_bytes(self.modulus, "big")

    @property
    def bits(self) -> int:
        """Return the length of the modulus in bits."""
        return 8 * len(self.modulus)


def exponent_bits(profile: Profile, bits: int) -> int:
    """Return the length of an obfuscator's exponent.

    `imported` keys get 128 bits more than the order of any element, so that nothing is assumed about their primes.
    """
    if profile == "fast":
        return subgroup_bits(bits)
    return bits // 2 if profile == "provable" else bits + 128


def subgroup_bits(bits: int) -> int:
    """Return the length of a hidden subgroup's order: four times the security level."""
    if bits < FLOOR_BITS:
        return bits // 4
    return 448 if bits < DEFAULT_BITS else 512 if bits < 7680 else 768


def challenges(n: mpz) -> list[mpz]:
    """Return the numbers that a key's statement gives N-th roots of."""
    return [hashed(_ROOT_LABEL, n, index) for index in range(CHALLENGES)]


def check_size(bits: int, *, weak: bool) -> None:
    """Refuse lengths that are not for use; `weak` is for tests and is passed by no role.

    Raises: ProtocolViolation, rule paillier.floor.
    """
    if bits % 16 or not (WEAK_BITS if weak else FLOOR_BITS) <= bits <= CEILING_BITS:
        raise _refusal(f"A modulus of {bits} bits is refused: {FLOOR_BITS} to {CEILING_BITS} are allowed.", "floor")


def validate(key: PublicKey, bits: int, *, earlier: Iterable[int | mpz] = (), weak: bool = False) -> None:
    """Check a key that enters, which must have `bits` bits and share no factor with the moduli of `earlier` keys.

    Raises: ProtocolViolation naming the rule (paillier.floor, length, even, prime, power, factor, shared, profile,
    subgroup, statement).
    """
    check_size(bits, weak=weak)
    n = key.n
    if key.bits != bits or n.bit_length() != bits:
        raise _refusal(f"The modulus has {n.bit_length()} bits, not {bits}.", "length")
    _composition(n)
    if any(not coprime(n, other) for other in earlier):
        raise _refusal("The modulus shares a factor with an earlier key.", "shared")
    _profile(key, n)
    _statement(key, n)


def _composition(n: mpz) -> None:
    if not n & 1:
        raise _refusal("The modulus is even.", "even")
    if not coprime(primorial(_FACTOR), n):
        raise _refusal("The modulus has a factor below 2^20.", "factor")
    if probable_prime(n):
        raise _refusal("The modulus is a prime.", "prime")
    if is_power(n):
        raise _refusal("The modulus is a power.", "power")


def _profile(key: PublicKey, n: mpz) -> None:
    if key.profile != "imported" and n % 4 != 1:
        raise _refusal("The modulus is no product of two primes that are 3 mod 4.", "profile")
    if key.profile != "fast":
        if key.subgroup:
            raise _refusal("Only a fast key names a generator.", "subgroup")
        return
    generator = mpz.from_bytes(key.subgroup, "big")
    fits = len(key.subgroup) == len(key.modulus) and 1 < generator < n - 1
    if not fits or jacobi(generator, n) != 1:
        raise _refusal("The subgroup's generator is none.", "subgroup")


def _statement(key: PublicKey, n: mpz) -> None:
    if len(key.roots) != CHALLENGES or any(len(root) != len(key.modulus) for root in key.roots):
        raise _refusal(f"The key's statement has not {CHALLENGES} roots of the modulus' length.", "statement")
    for raw, wanted in zip(key.roots, challenges(n), strict=True):
        root = mpz.from_bytes(raw, "big")
        if root >= n or long_power(root, n, n) != wanted:
            raise _refusal("The key's statement is wrong: a root is none.", "statement")


def _refusal(cause: str, rule: str) -> ProtocolViolation:
    return ProtocolViolation(cause, _REMEDY, rule=f"paillier.{rule}")
