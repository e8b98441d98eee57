"""What a power with a secret exponent costs, and whether its time tells the exponent.

Rules (protocol §8, attack 30, ADR 14): the power that decryption takes of every ciphertext, modulo p^(s+1), by three
routines in one run. They are GMP's ordinary one, which tells the exponent to whoever measures time, GMP's constant-time
one, and OpenSSL's. The ratio beside each is to naive `phe`, as if nothing but two powers were left of decryption. No
decryption with that routine can do better. Timing is Welch's test between two exponents of the same length.
Leaves to others: everything else that decryption does (paillier.py).
"""

import math
import statistics
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from secagg.bench.rivals import timed
from secagg.crypto.paillier.keys import subgroup_bits
from secagg.crypto.paillier.libcrypto import LIBRARY
from secagg.crypto.paillier.numbers import random_bits
from secagg.crypto.paillier.powers import constant_time, public_power, secret_power
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.rng import Rng

_POWERS = 9
"""Powers by each routine, in turn; the least counts."""

_TIMINGS = 100


class Routine(Struct, frozen=True):
    """Microseconds of a power, and the most that decryption beside naive `phe` could be; zeros where there is none."""

    us: float = 0.0
    x: float = 0.0


class Powers(Struct, frozen=True):
    """One power of decryption by each routine; `used` is the one that the product runs with here."""

    ordinary: Routine
    gmp: Routine
    openssl: Routine
    used: str


class Timing(Struct, frozen=True):
    """Welch's |t| between a random exponent and one of two bits, the slowest tenth left out; 4.5 is the usual alarm.

    The public power is measured beside the secret one to show that the test sees a difference where there is one.
    """

    secret_t: float
    public_t: float


def powers(key: PrivateKey, s: int, naive_us: float, per_word: int, rng: Rng) -> Powers:
    """Time decryption's power; `naive_us` is what `phe` takes for a number, `per_word` how many a ciphertext holds."""
    bits = key.public.bits
    modulus = random_bits((s + 1) * bits // 2, rng) | 1 << ((s + 1) * bits // 2 - 1) | 1
    length = subgroup_bits(bits) // 2 if key.public.profile == "fast" else bits // 2
    drawn = random_bits(length, rng) | 1 << (length - 1)  # nobody's secret
    base = random_bits(bits, rng)
    with constant_time(drawn, modulus, None) as gmp, constant_time(drawn, modulus) as used:
        routines: list[Callable[[Any], Any]] = [lambda one: public_power(one, drawn, modulus), gmp, used]
        taken = [[timed(lambda r=routine: r(base))[0] for routine in routines] for _ in range(_POWERS)]  # type: ignore[misc]
    least = [min(column) for column in zip(*taken, strict=True)]
    ordinary, slow, fast = (Routine(us, naive_us * per_word / (2 * us)) for us in least)
    if LIBRARY is None:
        return Powers(ordinary, slow, Routine(), "gmp")
    return Powers(ordinary, slow, fast, "openssl")


def timing(key: PrivateKey, rng: Rng) -> Timing:
    """Time powers modulo N of two exponents of the same length in turn."""
    n, half = int(key.public.n), key.public.bits // 2
    random = int.from_bytes(rng(half // 8), "big") | 1 << (half - 1)
    sparse = (1 << (half - 1)) | 1
    base = int.from_bytes(rng(half // 8), "big")
    return Timing(*(_welch(power, base, (random, sparse), n) for power in (secret_power, public_power)))


def _welch(power: Callable[[int, int, int], object], base: int, exponents: tuple[int, int], modulus: int) -> float:
    taken = [[timed(lambda e=e: power(base, e, modulus))[0] for e in exponents] for _ in range(_TIMINGS)]  # type: ignore[misc]
    kept = [sorted(column)[: _TIMINGS * 9 // 10] for column in zip(*taken, strict=True)]
    spread = sum(statistics.variance(column) / len(column) for column in kept)
    apart: float = abs(statistics.mean(kept[0]) - statistics.mean(kept[1]))
    return apart / (math.sqrt(spread) or 1.0)
