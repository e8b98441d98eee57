"""The private key of a single holder: making one, keeping one, decrypting with it.

Rules (protocol §8): primes of `provable` keys are safe, those of `fast` keys hide a subgroup of secret order.
Decryption works modulo p^(s+1) and q^(s+1) and takes the p-adic logarithm; every base is blinded by an encryption of
zero. For `fast` keys the exponent is the subgroup's order. When the result is not ±1 modulo the prime, a summand had
ordinary randomness and the full exponent follows. Otherwise the answer would be garbage without a sign.
Leaves to others: keeping the bytes safe, threshold keys (threshold). Whoever has this key can read every ciphertext.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from gmpy2 import invert, mpz

from secagg.crypto.labels import fields
from secagg.crypto.paillier.keys import Profile, PublicKey, challenges, check_size, subgroup_bits
from secagg.crypto.paillier.numbers import hashed, random_bits, random_unit
from secagg.crypto.paillier.powers import Blinding, blinding, long_power, secret_power, secret_powers
from secagg.crypto.paillier.primes import Watch, prime_pair, probable_prime, random_prime, safe_prime, unwatched
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.errors import BadConfiguration, ProtocolViolation

_PROFILES: dict[bytes, Profile] = {b"provable": "provable", b"fast": "fast", b"imported": "imported"}
_SUBGROUP_LABEL = "secagg/v1/paillier/subgroup"
_CLOSE_BITS = 100
"""Primes whose difference is that much shorter than they are can be found by Fermat's method."""


class PrivateKey:
    """Two primes, for a `fast` key the orders of their subgroups, and the public key."""

    __slots__ = ("_orders", "_primes", "public")

    def __init__(self, profile: Profile, primes: tuple[mpz, mpz], orders: tuple[mpz, mpz] | None = None) -> None:
        self._primes, self._orders = primes, orders
        n = primes[0] * primes[1]
        width = -(-int(n.bit_length()) // 8)
        generator = b"" if orders is None else self._subgroup(n).to_bytes(width, "big")
        roots = tuple(self._root(wanted, 1, _nothing).to_bytes(width, "big") for wanted in challenges(n))
        self.public = PublicKey(profile, n.to_bytes(width, "big"), roots, generator)

    def __repr__(self) -> str:
        return "PrivateKey(OMITTED)"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not serialised; private_bytes gives a Secret")

    @property
    def primes(self) -> tuple[mpz, mpz]:
        """Return p and q."""
        return self._primes

    def private_bytes(self) -> Secret:
        """Return profile, primes and orders, for `from_private_bytes`."""
        width = len(self.public.modulus) // 2
        numbers = [*self._primes, *(self._orders or ())]
        return Secret(fields(self.public.profile, *(number.to_bytes(width, "big") for number in numbers)))

    @classmethod
    def from_private_bytes(cls, secret: Secret, *, weak: bool = False) -> "PrivateKey":
        """Return the key that `private_bytes` gave; its primes are checked again.

        Raises: BadConfiguration when the bytes are not of a key that this program makes.
        """
        parts = _parts(secret.reveal())
        profile = _PROFILES.get(parts[0]) if parts else None
        if profile is None or len(parts) != (5 if profile == "fast" else 3):
            raise _damaged("its parts are not those of a key")
        numbers = [mpz.from_bytes(part, "big") for part in parts[1:]]
        orders = (numbers[2], numbers[3]) if profile == "fast" else None
        _check_primes(profile, (numbers[0], numbers[1]), orders, weak=weak)
        return cls(profile, (numbers[0], numbers[1]), orders)

    def _subgroup(self, n: mpz) -> mpz:
        """Return h = −y^(2β), of order twice the subgroup's; y follows from the modulus by hashing."""
        if self._orders is None:
            raise ValueError("only a fast key has a subgroup")
        beta = mpz(1)
        for prime, order in zip(self._primes, self._orders, strict=True):
            beta *= (prime - 1) // (2 * order)
        return -secret_power(hashed(_SUBGROUP_LABEL, n, 0), 2 * beta, n) % n

    def root(self, value: mpz, s: int, rng: Rng) -> mpz:
        """Return the N^s-th root of `value` modulo N; every unit has exactly one."""
        return self._root(value, s, lambda exponent, prime: blinding(exponent, prime, rng))

    def _root(self, value: mpz, s: int, blinded: Callable[[mpz, mpz], Blinding]) -> mpz:
        p, q = self._primes
        parts = []
        for prime in self._primes:
            exponent = invert((p * q) ** s, prime - 1)
            parts += secret_powers([value % prime], exponent, prime, blinded(exponent, prime))
        return parts[0] + p * ((parts[1] - parts[0]) * invert(p, q) % q)

    def decrypt(self, ring: Ring, ciphertexts: Sequence[mpz], rng: Rng, executor: Executor | None = None) -> list[mpz]:
        """Return the plaintexts, below N^s, of ciphertexts in range.

        Raises: ProtocolViolation, rule paillier.gcd, when one shares a factor with the modulus.
        """
        if ring.n != self._primes[0] * self._primes[1]:
            raise ValueError("the ring is of another key")
        ring.check_units(ciphertexts)
        halves = [self._logarithms(ring, ciphertexts, which, rng, executor) for which in (0, 1)]
        p, q = (prime**ring.s for prime in self._primes)
        inverse = invert(p, q)
        return [first + p * ((second - first) * inverse % q) for first, second in zip(*halves, strict=True)]

    def _logarithms(
        self, ring: Ring, ciphertexts: Sequence[mpz], which: int, rng: Rng, executor: Executor | None
    ) -> list[mpz]:
        """Return the plaintexts modulo prime^s."""
        prime, s = self._primes[which], ring.s
        modulus, plain = prime ** (s + 1), prime**s
        bases = [one % modulus for one in ciphertexts]

        def logarithms(positions: Sequence[int], order: mpz, *, subgroup: bool) -> list[mpz | None]:
            draw = _zeros(ring, modulus, rng, subgroup=subgroup)
            powers = secret_powers([bases[position] for position in positions], order, modulus, draw, executor)
            scale = invert(_logarithm(1 + ring.n, prime, s) * order, plain)
            signed = (modulus - one if one % prime == prime - 1 else one for one in powers)
            return [_logarithm(one, prime, s) * scale % plain if one % prime == 1 else None for one in signed]

        everything = range(len(bases))
        if self._orders is None:
            return _known(logarithms(everything, prime - 1, subgroup=False))
        found = logarithms(everything, self._orders[which], subgroup=True)
        foreign = [position for position in everything if found[position] is None]
        if foreign:
            for position, one in zip(foreign, logarithms(foreign, prime - 1, subgroup=False), strict=True):
                found[position] = one
        return _known(found)


def generate(profile: Profile, bits: int, rng: Rng, *, weak: bool = False, watch: Watch = unwatched) -> PrivateKey:
    """Make a key of exactly `bits` bits; a few seconds at 3072. `weak` lengths are for tests and passed by no role.

    Raises: ProtocolViolation when the length is not for use; ValueError for a profile that is not made here.
    """
    check_size(bits, weak=weak)
    if profile == "imported":
        raise ValueError("imported keys are made elsewhere")
    half = bits // 2
    if profile == "provable":
        return PrivateKey(profile, (safe_prime(half, rng, watch), safe_prime(half, rng, watch)))
    orders = [random_prime(subgroup_bits(bits) // 2, rng) for _ in range(2)]
    primes = [prime_pair(half, 2 * order, rng, watch)[1] for order in orders]
    return PrivateKey(profile, (primes[0], primes[1]), (orders[0], orders[1]))


def _nothing(exponent: mpz, prime: mpz) -> Blinding:
    """Blind nothing: a key's own challenges are chosen by nobody."""
    return lambda: (mpz(1), mpz(1))


def _zeros(ring: Ring, modulus: mpz, rng: Rng, *, subgroup: bool) -> Blinding:
    """Return what draws encryptions of zero modulo p^(s+1); the power that follows takes them to ±1 by itself."""

    def draw() -> tuple[mpz, mpz]:
        if subgroup:
            return secret_power(ring.base % modulus, random_bits(128, rng) + 1, modulus), mpz(1)
        return long_power(random_unit(modulus, rng), ring.plain, modulus), mpz(1)

    return draw


def _known(found: Sequence[mpz | None]) -> list[mpz]:
    """Return the values; with the full exponent every unit has one.

    Raises: ArithmeticError when one has none: the processor or a library computed a wrong power.
    """
    known = [one for one in found if one is not None]
    if len(known) != len(found):
        raise ArithmeticError("a power with the full exponent is not 1 modulo the prime")
    return known


def _logarithm(value: mpz, prime: mpz, s: int) -> mpz:
    """Return log(value) / prime modulo prime^s for a value that is 1 modulo the prime."""
    x = (value - 1) // prime
    if s == 1:
        return x
    found, term, modulus = mpz(0), mpz(1), prime**s
    for k in range(1, s + 1):
        term = term * x % modulus
        part = term * prime ** (k - 1) * invert(k, modulus)
        found += part if k % 2 else -part
    return found % modulus


def _parts(data: bytes) -> list[bytes]:
    """Return what `fields` put together, or nothing when the bytes are damaged."""
    found, position = [], 0
    while position + 4 <= len(data):
        end = position + 4 + int.from_bytes(data[position : position + 4], "big")
        found.append(data[position + 4 : end])
        position = end
    return found if position == len(data) else []


def _check_primes(profile: Profile, primes: tuple[mpz, mpz], orders: tuple[mpz, mpz] | None, *, weak: bool) -> None:
    """Refuse primes that are none, that are close together, or that are not of the profile.

    Raises: BadConfiguration.
    """
    lengths = [int(prime.bit_length()) for prime in primes]
    _check_length(2 * lengths[0], weak=weak)
    if lengths[0] != lengths[1] or (primes[0] * primes[1]).bit_length() != 2 * lengths[0]:
        raise _damaged("its primes have not the same length")
    if abs(primes[0] - primes[1]).bit_length() <= lengths[0] - _CLOSE_BITS:
        raise _damaged("its primes are close together")
    if not all(probable_prime(prime) for prime in primes):
        raise _damaged("a prime is none")
    if profile != "imported" and any(prime % 4 != 3 for prime in primes):
        raise _damaged("its primes are not 3 modulo 4")
    for prime, order in zip(primes, orders or (), strict=orders is not None):
        fits = order.bit_length() == subgroup_bits(2 * lengths[0]) // 2 and (prime - 1) % (2 * order) == 0
        if not fits or not probable_prime(order):
            raise _damaged("a subgroup's order does not fit")


def _check_length(bits: int, *, weak: bool) -> None:
    try:
        check_size(bits, weak=weak)
    except ProtocolViolation as error:
        raise _damaged(error.cause) from None


def _damaged(what: str) -> BadConfiguration:
    return BadConfiguration(f"The private key cannot be used: {what}.", "Restore it from its copy.")
