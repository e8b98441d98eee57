"""Shamir secret sharing of 32 bytes over the prime 2^256 + 297.

Rules (protocol §3): shares are 33 bytes big-endian, x is the roster index + 1. A share at or above the prime and a
secret of more than 256 bits are refused. Lagrange weights depend on the set only and are computed once per set.
Source: Shamir, CACM 1979.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import mul

from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.errors import ProtocolViolation

PRIME = 2**256 + 297
SHARE_BYTES = 33
_DRAW = 64
"""Coefficients are 512 random bits modulo the prime: the bias is below 2^-255."""


def split(secret: bytes, threshold: int, xs: Sequence[int], rng: Rng) -> list[bytes]:
    """Return one 33-byte share of the 32-byte `secret` for each x; any `threshold` of them give it back.

    Raises: ValueError on a wrong length, a threshold outside 1…len(xs), or an x that is 0 or repeated.
    """
    if len(secret) != 32 or not 1 <= threshold <= len(xs) or len(set(xs)) != len(xs) or min(xs) < 1:
        raise ValueError("a secret of 32 bytes, 1 <= threshold <= shares, distinct positive x are needed")
    draws = (int.from_bytes(rng(_DRAW), "big") % PRIME for _ in range(threshold - 1))
    coefficients = [int.from_bytes(secret, "big"), *draws]
    return [_evaluate(coefficients, x).to_bytes(SHARE_BYTES, "big") for x in xs]


def _evaluate(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % PRIME
    return value


@lru_cache(maxsize=65_536)
def _inverse(value: int) -> int:
    return pow(value, -1, PRIME)


@lru_cache(maxsize=4096)
def _denominators(xs: tuple[int, ...]) -> tuple[int, ...]:
    """Return 1/Π(x − others) of every x: what all weights of one set share."""
    found = []
    for x in xs:
        below = 1
        for other in xs:
            if other != x:
                below = below * (x - other) % PRIME
        found.append(pow(below, -1, PRIME))
    return tuple(found)


@lru_cache(maxsize=65_536)
def weights(xs: tuple[int, ...], at: int = 0) -> tuple[int, ...]:
    """Return the Lagrange weights at `at`, which is none of the distinct points `xs`."""
    whole = 1
    for x in xs:
        whole = whole * (at - x) % PRIME
    return tuple(
        whole * _inverse(at - x) * below % PRIME for x, below in zip(xs, _denominators(xs), strict=True)
    )


def outliers(shares: Mapping[int, bytes], base: Sequence[int]) -> set[int]:
    """Return the x of the shares that do not lie on the polynomial through the shares at `base` (threshold many)."""
    xs = tuple(base)
    values = [int.from_bytes(shares[x], "big") for x in xs]
    found = set()
    for x, share in shares.items():
        if x not in xs:
            wanted = sum(weight * value for weight, value in zip(weights(xs, x), values, strict=True)) % PRIME
            if share != wanted.to_bytes(SHARE_BYTES, "big"):
                found.add(x)
    return found


def on_one_polynomial(secrets: Sequence[Mapping[int, bytes]], base: Sequence[int]) -> bool:
    """Say whether no secret's shares hold an outlier, for many secrets shared among the same x at once.

    One random combination of all secrets is checked in place of each. It is wrong with probability below 2^-127, as its
    coefficients are hashes of all shares.
    """
    xs, everybody = tuple(base), tuple(secrets[0])
    if any(secret.keys() != secrets[0].keys() for secret in secrets):
        return False
    shares = [secret[x] for secret in secrets for x in everybody]
    rows = [[int.from_bytes(secret[x], "big") for x in everybody] for secret in secrets]
    if set(map(len, shares)) != {SHARE_BYTES} or max(map(max, rows)) >= PRIME:
        return False
    seed = sha256(b"".join(shares))
    factors = [int.from_bytes(sha256(seed + at.to_bytes(4, "big"))[:16], "big") for at in range(len(secrets))]
    sums = {x: sum(map(mul, factors, at_x)) % PRIME for x, at_x in zip(everybody, zip(*rows, strict=True), strict=True)}
    values = [sums[x] for x in xs]
    return all(sums[x] == sum(map(mul, weights(xs, x), values)) % PRIME for x in sums if x not in xs)


def combine(shares: Mapping[int, bytes]) -> bytes:
    """Return the 32-byte secret of exactly `threshold` shares by x.

    Raises: ProtocolViolation when a share is not a field element or the value is no 32-byte secret.
    """
    xs = tuple(shares)
    values = [int.from_bytes(shares[x], "big") for x in xs]
    if not xs or any(len(share) != SHARE_BYTES for share in shares.values()) or max(values) >= PRIME:
        raise ProtocolViolation("A share is not an element of the field.", "Exclude it.", rule="shamir.range")
    secret: int = sum(map(mul, weights(xs), values)) % PRIME
    if secret >= 2**256:
        raise ProtocolViolation("The shares give no secret of 32 bytes.", "One is wrong.", rule="shamir.value")
    return secret.to_bytes(32, "big")
