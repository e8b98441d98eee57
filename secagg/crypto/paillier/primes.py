"""Primes for keys: pairs (x, a·x + 1) that are both prime, found with one sieve for both.

Rules (protocol §8): a = 2 gives safe primes, a = 2·(secret prime) the primes of a hidden subgroup. The top two bits of
a·x + 1 are set, so that a product of two has exactly twice the bits. The search starts at a random odd x and takes the
first pair in a window of 2^17 odd numbers, then draws again. Accepting is left to many rounds of Miller-Rabin and a
Lucas test. Testing takes as long as it takes: keys are made where nobody measures, on an offline machine.
Source: Wiener, "Safe prime generation with a combined sieve" (eprint 2003/186).
"""

from collections.abc import Callable
from math import exp, log

import numpy as np
import numpy.typing as npt
from gmpy2 import gcd, invert, is_prime, mpz

from secagg.crypto.paillier.numbers import random_bits
from secagg.crypto.paillier.powers import public_power
from secagg.crypto.rng import Rng

ROUNDS = 40
Watch = Callable[[str, float], None]
"""Told what is being made, and how likely it was that it would be made by now (0 to 1): a search has no other end."""
_TOLD = 16
"""Candidates between two words to whoever watches."""
_WINDOW = 2**17
_SIEVE = 2**17


def probable_prime(value: int | mpz) -> bool:
    """Return whether a number is prime, up to an error nobody has found an example of."""
    return value > 1 and is_prime(value, ROUNDS)


def unwatched(what: str, done: float) -> None:
    """Tell nobody."""


def safe_prime(bits: int, rng: Rng, watch: Watch = unwatched) -> mpz:
    """Return a prime p of exactly `bits` bits, the top two set, with (p − 1)/2 prime."""
    return prime_pair(bits, mpz(2), rng, watch)[1]


def random_prime(bits: int, rng: Rng) -> mpz:
    """Return a prime of exactly `bits` bits."""
    while True:
        found = random_bits(bits, rng) | 1 << (bits - 1) | 1
        if probable_prime(found):
            return found


def prime_pair(bits: int, factor: mpz, rng: Rng, watch: Watch = unwatched) -> tuple[mpz, mpz]:
    """Return primes (x, factor·x + 1), the second of exactly `bits` bits with the top two set; factor is even."""
    expected, tested = _expected(bits, int(factor.bit_length())), 0
    low = (mpz(3) << (bits - 2)) // factor + 1
    high = ((mpz(1) << bits) - 2) // factor
    span = high - low - 2 * _WINDOW
    if span <= 0:
        raise ValueError(f"{bits} bits leave no room for a factor of {factor.bit_length()} bits")
    while True:
        start = (low + random_bits(int(span.bit_length()) + 128, rng) % span) | 1
        for offset in _survivors(start, factor):
            x = start + 2 * int(offset)
            tested += 1
            if tested % _TOLD == 0:
                watch("prime", 1 - exp(-tested / expected))
            if _fermat(x) and _fermat(factor * x + 1) and probable_prime(x) and probable_prime(factor * x + 1):
                return x, factor * x + 1


def _expected(bits: int, factor_bits: int) -> float:
    """Return how many candidates that survive the sieve are tested on average.

    A number without a divisor below B is prime with probability exp(0.577…)·ln B / ln x.
    """
    gain = exp(0.5772156649) * log(_SIEVE)
    return max(1.0, log(2) * (bits - factor_bits) / gain) * max(1.0, log(2) * bits / gain)


def _survivors(start: mpz, factor: mpz) -> npt.NDArray[np.intp]:
    """Return the offsets k below the window for which neither start + 2k nor factor·(start + 2k) + 1 has a divisor."""
    keep = np.ones(_WINDOW, dtype=bool)
    for prime in _SMALL:
        half = (prime + 1) // 2  # the inverse of 2
        residue = int(start % prime)
        keep[(-residue * half) % prime :: prime] = False
        step = int(factor % prime)
        if step:
            keep[((-int(invert(step, prime)) - residue) * half) % prime :: prime] = False
    return np.flatnonzero(keep)


def _fermat(value: mpz) -> bool:
    # Not in constant time, like every primality test of the library: nearly all candidates are thrown away.
    return bool(public_power(2, value - 1, value) == 1)


def _odd_primes(limit: int) -> list[int]:
    sieve = np.ones(limit, dtype=bool)
    sieve[:2] = False
    for value in range(2, int(limit**0.5) + 1):
        if sieve[value]:
            sieve[value * value :: value] = False
    return [int(value) for value in np.flatnonzero(sieve)[1:]]


_SMALL = _odd_primes(_SIEVE)


def coprime(value: int | mpz, modulus: int | mpz) -> bool:
    """Return whether two numbers have no common factor."""
    return bool(gcd(value, modulus) == 1)
