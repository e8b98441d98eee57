"""Modular powers and products of many: secret exponents in one place, constant time and blinded.

Rules (protocol §5, §8): every power with a secret exponent goes through `secret_power` or `secret_powers`; both take
it with a constant-time routine (`constant_time`: OpenSSL's, or GMP's where OpenSSL cannot be reached), and the second,
whose exponent lives longer than one use, also blinds the base. No other module takes powers. What a caller passes to
`public_power` may be known to everyone who can measure time.
Vectors are worked on in blocks on a `concurrent.futures.Executor`; both libraries give up the interpreter's lock there.
Leaves to others: what the exponents mean. Source: Pippenger 1976 (products of powers).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeVar

import gmpy2
from gmpy2 import mpz

from secagg.crypto.paillier.libcrypto import LIBRARY, Libcrypto, Library
from secagg.crypto.paillier.numbers import random_unit
from secagg.crypto.rng import Rng

Number = int | mpz
Blinding = Callable[[], tuple[mpz, mpz]]
"""Draws (b, b^−e): a base and what its power is multiplied with to vanish."""

BLOCK = 64
_WINDOWS = range(1, 13)
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def public_power(base: Number, exponent: Number, modulus: Number) -> mpz:
    """Return base^exponent mod modulus; the exponent (possibly negative) is no secret."""
    return gmpy2.powmod(base, exponent, modulus)


@contextmanager
def constant_time(
    exponent: Number, modulus: Number, library: Library | None = LIBRARY
) -> Iterator[Callable[[mpz], mpz]]:
    """Give what raises bases from 0 to an odd modulus, in one thread, in time that depends on lengths only (ADR 13).

    Raises: ValueError when the exponent is not positive or the modulus is not odd.
    """
    if exponent <= 0 or not modulus & 1:
        raise ValueError("a secret exponent is positive and its modulus odd")
    if library is None:
        yield lambda base: gmpy2.powmod_sec(base, exponent, modulus)
    else:
        with Libcrypto(library, exponent, modulus) as power:
            yield power.raised


def secret_power(base: Number, exponent: Number, modulus: Number) -> mpz:
    """Return base^exponent mod an odd modulus in time that depends on lengths only; for exponents used once.

    Raises: ValueError when the exponent is not positive or the modulus is not odd.
    """
    with constant_time(exponent, modulus) as raised:
        return raised(mpz(base) % modulus)


def blinding(exponent: Number, modulus: Number, rng: Rng) -> Blinding:
    """Return what draws a unit b and b^−exponent, for groups whose order nobody knows."""

    def draw() -> tuple[mpz, mpz]:
        unit = random_unit(modulus, rng)
        return unit, gmpy2.invert(secret_power(unit, exponent, modulus), modulus)

    return draw


def secret_powers(
    bases: Sequence[mpz], exponent: Number, modulus: Number, draw: Blinding, executor: Executor | None = None
) -> list[mpz]:
    """Return base^exponent mod an odd modulus for every base, each multiplied with a fresh blinding first.

    Raises: ValueError when the exponent is not positive or the modulus is not odd.
    """

    def work(block: Sequence[mpz]) -> list[mpz]:
        blind, unblind = draw()
        found = []
        with constant_time(exponent, modulus) as raised:
            for base in block:
                found.append(raised(base * blind % modulus) * unblind % modulus)
                blind, unblind = blind * blind % modulus, unblind * unblind % modulus
        return found

    return over_blocks(work, bases, executor)


def over_blocks(
    work: Callable[[Sequence[_In]], list[_Out]], items: Sequence[_In], executor: Executor | None, block: int = BLOCK
) -> list[_Out]:
    """Return the results of `work` on consecutive blocks of `items`, in order; without an executor in this thread."""
    if executor is None:
        return work(items)
    blocks = [items[start : start + block] for start in range(0, len(items), block)]

    def unlocked(part: Sequence[_In]) -> list[_Out]:
        gmpy2.get_context().allow_release_gil = True
        return work(part)

    return [result for results in executor.map(unlocked, blocks) for result in results]


def product_of_powers(
    bases: Sequence[mpz], exponents: Sequence[int], modulus: Number, bits: int, executor: Executor | None = None
) -> mpz:
    """Return Π base^exponent mod modulus for public exponents below 2^bits, with buckets instead of single powers."""
    pairs = list(zip(bases, exponents, strict=True))
    parts = over_blocks(lambda part: [_buckets(part, modulus, bits)], pairs, executor, max(512, -(-len(pairs) // 4)))
    return product(parts, modulus)


def product(factors: Iterable[mpz], modulus: Number) -> mpz:
    """Return the product of the factors mod modulus."""
    found = mpz(1)
    for factor in factors:
        found = found * factor % modulus
    return found


def _buckets(pairs: Sequence[tuple[mpz, int]], modulus: Number, bits: int) -> mpz:
    window = min(_WINDOWS, key=lambda w: -(-bits // w) * (len(pairs) + 2 * 2**w))
    mask, found = (1 << window) - 1, mpz(1)
    for shift in range((-(-bits // window) - 1) * window, -1, -window):
        for _ in range(window):
            found = found * found % modulus
        buckets: list[mpz | None] = [None] * (mask + 1)
        for base, exponent in pairs:
            if digit := exponent >> shift & mask:
                held = buckets[digit]
                buckets[digit] = base if held is None else held * base % modulus
        found = found * _weighted(buckets, modulus) % modulus
    return found


def _weighted(buckets: Sequence[mpz | None], modulus: Number) -> mpz:
    """Return Π bucket_d^d: the running product from above is multiplied in once for every step down."""
    running, found = mpz(1), mpz(1)
    for held in reversed(buckets[1:]):
        if held is not None:
            running = running * held % modulus
        found = found * running % modulus
    return found


def inverses(values: Sequence[mpz], modulus: Number) -> list[mpz]:
    """Return the inverse of every value with one inversion for all.

    Raises: ZeroDivisionError when one has none.
    """
    before, running = [], mpz(1)
    for value in values:
        before.append(running)
        running = running * value % modulus
    inverse = gmpy2.invert(running, modulus)
    found = []
    for value, prefix in zip(reversed(values), reversed(before), strict=True):
        found.append(inverse * prefix % modulus)
        inverse = inverse * value % modulus
    return found[::-1]
