"""Keys that nobody holds: the dealer, its trustees' shares, and the check that each trustee runs on its own.

Rules (protocol §5): s = 1 and profile `provable` only. N = pq of safe primes, m' = (p−1)(q−1)/4, and the secret d is 0
modulo m' and 1 modulo N. It is shared with a polynomial modulo N·m' so that any `threshold` of the trustees decrypt.
The base v is a square modulo N² that follows from N. The commitments V_k = v^(a_k) let everybody check V_0 = v^d ≡ 1
mod N. They let a trustee check v^(s_i) = Π V_k^(i^k). An honest dealer is assumed: it knows the primes and must be
erased, which a Python process cannot promise for its memory. The ceremony ends the process.
Leaves to others: sealing shares, the ceremony's transcript, policy on t and m (2t > m + c').
Sources: Shoup, Eurocrypt 2000; Damgård, Jurik, PKC 2001; Feldman 1987.
"""

from collections.abc import Iterable, Sequence
from math import factorial

from gmpy2 import invert, mpz
from msgspec import Struct

from secagg.crypto.paillier.keys import PublicKey, check_size, validate
from secagg.crypto.paillier.numbers import hashed, random_below
from secagg.crypto.paillier.powers import product, public_power, secret_power
from secagg.crypto.paillier.primes import Watch, coprime, safe_prime, unwatched
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.errors import ProtocolViolation
from secagg.ids import Name

MOST_TRUSTEES = 16
_BASE_LABEL = "secagg/v1/paillier/verification"


class ThresholdKey(Struct, frozen=True, forbid_unknown_fields=True):
    """The public part: the key, who holds shares (in the order of their indices, from 1), how many decrypt."""

    public: PublicKey
    trustees: tuple[Name, ...]
    threshold: int
    commitments: tuple[bytes, ...]

    @property
    def delta(self) -> int:
        """Return Δ = m!, which clears the denominators of interpolation."""
        return factorial(len(self.trustees))

    @property
    def modulus(self) -> mpz:
        """Return N²."""
        return self.public.n**2

    @property
    def base(self) -> mpz:
        """Return v."""
        return public_power(hashed(_BASE_LABEL, self.modulus, 0), 2, self.modulus)

    def index(self, trustee: str) -> int:
        """Return a trustee's index.

        Raises: ProtocolViolation, rule paillier.trustee, when it is none.
        """
        if trustee not in self.trustees:
            raise ProtocolViolation(f"{trustee} is no trustee of this key.", "Ignore it.", rule="paillier.trustee")
        return self.trustees.index(trustee) + 1

    def verification(self, index: int) -> mpz:
        """Return v_i = v^(Δ·s_i), which follows from the commitments."""
        return public_power(self._committed(index), self.delta, self.modulus)

    def _committed(self, index: int) -> mpz:
        powers = (
            public_power(mpz.from_bytes(raw, "big"), index**k, self.modulus) for k, raw in enumerate(self.commitments)
        )
        return product(powers, self.modulus)


class Share:
    """A trustee's secret: its index and its point of the polynomial."""

    __slots__ = ("index", "secret")

    def __init__(self, index: int, secret: Secret) -> None:
        self.index, self.secret = index, secret

    def __repr__(self) -> str:
        return f"Share({self.index}, OMITTED)"

    @property
    def exponent(self) -> mpz:
        """Return the point, for `secret_power` only."""
        return mpz.from_bytes(self.secret.reveal(), "big")


def deal(
    bits: int, trustees: Sequence[str], threshold: int, rng: Rng, *, weak: bool = False, watch: Watch = unwatched
) -> tuple[ThresholdKey, list[Share]]:
    """Make a key of `bits` bits and one share for each trustee; some seconds at 3072.

    Raises: ProtocolViolation when the length or the numbers are not for use (paillier.floor, paillier.trustees).
    """
    check_size(bits, weak=weak)
    _check_numbers(trustees, threshold)
    p, q = safe_prime(bits // 2, rng, watch), safe_prime(bits // 2, rng, watch)
    n, order = p * q, (p - 1) // 2 * ((q - 1) // 2)
    secret = order * invert(order, n)
    watch("statement", 0.0)
    polynomial = [secret, *(random_below(n * order, rng) for _ in range(threshold - 1))]
    key = ThresholdKey(PrivateKey("provable", (p, q)).public, tuple(trustees), threshold, ())
    width, base, modulus = 2 * len(key.public.modulus), key.base, key.modulus
    watch("commitments", 0.0)
    commitments = tuple(secret_power(base, one, modulus).to_bytes(width, "big") for one in polynomial)
    points = [_evaluate(polynomial, index, n * order) for index in range(1, len(trustees) + 1)]
    shares = [Share(index, Secret(point.to_bytes(width, "big"))) for index, point in enumerate(points, start=1)]
    return ThresholdKey(key.public, key.trustees, threshold, commitments), shares


def validate_threshold(key: ThresholdKey, bits: int, *, earlier: Iterable[int | mpz] = (), weak: bool = False) -> None:
    """Check the public part of a threshold key that enters.

    Raises: ProtocolViolation: the rules of `keys.validate`, paillier.trustees, paillier.commitments.
    """
    if key.public.profile != "provable":
        raise ProtocolViolation(
            "A threshold key must be of profile provable.", "Have the key made again.", rule="paillier.profile"
        )
    validate(key.public, bits, earlier=earlier, weak=weak)
    _check_numbers(key.trustees, key.threshold)
    n, width = key.public.n, 2 * len(key.public.modulus)
    numbers = [mpz.from_bytes(raw, "big") for raw in key.commitments]
    shaped = len(numbers) == key.threshold and all(len(raw) == width for raw in key.commitments)
    if not shaped or any(one >= key.modulus or not coprime(one, n) for one in numbers):
        raise _bad_commitments()
    if numbers[0] % n != 1 or not coprime((numbers[0] - 1) // n, n):
        raise _bad_commitments()


def check_share(key: ThresholdKey, share: Share) -> None:
    """Check a trustee's own share against the commitments, before it signs acceptance.

    Raises: ProtocolViolation, rule paillier.share.
    """
    fits = 1 <= share.index <= len(key.trustees) and len(share.secret) == 2 * len(key.public.modulus)
    if not fits or not 0 < share.exponent < key.modulus >> 2:
        raise _bad_share(share.index)
    if secret_power(key.base, share.exponent, key.modulus) != key._committed(share.index):
        raise _bad_share(share.index)


def _check_numbers(trustees: Sequence[str], threshold: int) -> None:
    count = len(trustees)
    if len(set(trustees)) != count or not 2 <= count <= MOST_TRUSTEES or not count < 2 * threshold <= 2 * count:
        raise ProtocolViolation(
            f"{threshold} of {count} trustees: more than half, of 2 to {MOST_TRUSTEES} different ones, are needed.",
            "Choose others.", rule="paillier.trustees",
        )  # fmt: skip


def _evaluate(polynomial: Sequence[mpz], x: int, modulus: mpz) -> mpz:
    found = mpz(0)
    for coefficient in reversed(polynomial):
        found = (found * x + coefficient) % modulus
    return found


def _bad_commitments() -> ProtocolViolation:
    return ProtocolViolation(
        "The key's commitments are not of a key that decrypts.", "Have the key made again.", rule="paillier.commitments"
    )


def _bad_share(index: int) -> ProtocolViolation:
    return ProtocolViolation(
        f"Share {index} does not fit the key's commitments.", "Do not accept it; repeat the ceremony.",
        rule="paillier.share",
    )  # fmt: skip
