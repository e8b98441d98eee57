"""Modular powers and products of many: secret exponents in one place, constant time and blinded.

Rules (protocol §5, §8): every power with a secret exponent goes through `secret_power` or `secret_powers`. Both take it
with a constant-time routine (`constant_time`: OpenSSL's, or GMP's where OpenSSL cannot be reached). The second, whose
exponent lives longer than one use, also blinds the base. No other module takes powers. What a caller passes to
`public_power` may be known to everyone who can measure time. Vectors are worked on in blocks on a
`concurrent.futures.Executor`; both libraries give up the interpreter's lock there. A thread that finds the lock taken
sleeps for longer than one product takes: many products are reduced in one call.
Leaves to others: what the exponents mean. Source of products of powers: de Rooij, Eurocrypt '94 (Bos and Coster).
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from operator import mul
from typing import TypeVar

import gmpy2
from gmpy2 import mpz

from secagg.crypto.paillier.libcrypto import LIBRARY, Libcrypto, Library
from secagg.crypto.paillier.numbers import random_unit
from secagg.crypto.rng import Rng
from secagg.crypto.spread import spread

Number = int | mpz
Blinding = Callable[[], tuple[mpz, mpz]]
"""Draws (b, b^−e): a base and what its power is multiplied with to vanish."""

BLOCK = 64
_PARTS = 4
"""Into how many products one is divided for an executor, when each still has as many factors as `_FEWEST`."""

_FEWEST = 512
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def public_power(base: Number, exponent: Number, modulus: Number) -> mpz:
    """Return base^exponent mod modulus; the exponent (possibly negative) is no secret."""
    return gmpy2.powmod(base, exponent, modulus)


@contextmanager
def constant_time(
    exponent: Number, modulus: Number, library: Library | None = LIBRARY
) -> Iterator[Callable[[mpz], mpz]]:
    """Give what raises bases from 0 to an odd modulus, in one thread, in time that depends on lengths only (ADR 14).

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


def long_power(base: Number, public: Number, modulus: Number) -> mpz:
    """Return base^public mod an odd modulus by the faster routine for long positive exponents, which are no secret.

    Raises: ValueError when the exponent is not positive or the modulus is not odd.
    """
    return public_power(base, public, modulus) if LIBRARY is None else secret_power(base, public, modulus)


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

    def unlocked(part: Sequence[_In]) -> list[_Out]:
        context = gmpy2.get_context()
        before, context.allow_release_gil = context.allow_release_gil, True
        try:
            return work(part)
        finally:
            # The caller is one of those who work: alone it would pay for a lock that nobody waits for.
            context.allow_release_gil = before

    return in_blocks(unlocked, items, executor, block)


def in_blocks(
    work: Callable[[Sequence[_In]], list[_Out]], items: Sequence[_In], executor: Executor | None, block: int
) -> list[_Out]:
    """Return the results of `work` that gives up the lock by itself, on blocks of `items`, in order."""
    blocks = [items[start : start + block] for start in range(0, len(items), block)]
    found = map(work, blocks) if executor is None else spread(work, blocks, executor)
    return [result for results in found for result in results]


def products(ones: Iterable[mpz], others: Iterable[mpz], modulus: Number) -> list[mpz]:
    """Return one·other mod modulus for every pair; the lock is given up once, for all remainders (1 is their power)."""
    return gmpy2.powmod_base_list(list(map(mul, ones, others)), 1, modulus)


def product_of_powers(
    bases: Sequence[mpz], exponents: Sequence[int], modulus: Number, executor: Executor | None = None
) -> mpz:
    """Return Π base^exponent mod modulus for public exponents; 1,000 of 128 bits take 16 products each."""
    pairs = list(zip(exponents, bases, strict=True))
    block = max(_FEWEST, -(-len(pairs) // _PARTS))
    return product(over_blocks(lambda part: [_merged(part, modulus)], pairs, executor, block), modulus)


def product(factors: Iterable[mpz], modulus: Number) -> mpz:
    """Return the product of the factors mod modulus."""
    found = mpz(1)
    for factor in factors:
        found = found * factor % modulus
    return found


def _merged(pairs: Sequence[tuple[int, mpz]], modulus: Number) -> mpz:
    """Return Π base^exponent: x^a · y^b = x^(a − b) · (x·y)^b for the two largest exponents, again and again.

    Among many exponents the two largest hardly differ: one product takes as many bits off as their number has. The heap
    holds position − exponent · 2^w, whose least is the largest exponent; positions without exponent end it.
    """
    bases = [base for _, base in pairs]
    width = len(bases).bit_length()
    heap = [at - (exponent << width) for at, (exponent, _) in enumerate(pairs)] + [len(bases)] * 3
    mask = (1 << width) - 1
    heapq.heapify(heap)
    while (second := min(heap[1], heap[2])) < 0:
        largest = heap[0]
        at, other = largest & mask, second & mask
        rest, base = largest - second + other, bases[at]
        if rest <= second:  # the largest is at least twice the second
            times, left = divmod(largest - at, second - other)
            rest, base = left + at, public_power(base, times, modulus)
        bases[other] = bases[other] * base % modulus
        heapq.heapreplace(heap, rest)
    return public_power(bases[heap[0] & mask], -(heap[0] >> width), modulus) if heap[0] < 0 else mpz(1) % modulus


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
