"""Numbers from bytes: random and hashed elements, challenges, fixed-width vectors.

Rules: randomness comes from an `Rng`, 128 bits longer than needed, so that reduction leaves a bias below 2^−128. What
is hashed is bound through `fields`. Challenge coefficients are the first 128 bits of SHAKE256 over the label, the
context and the position (protocol §5). Numbers travel big-endian in fixed width.
"""

from collections.abc import Sequence
from hashlib import shake_256
from struct import iter_unpack

import gmpy2
from gmpy2 import mpz

from secagg.crypto.labels import fields
from secagg.crypto.rng import Rng
from secagg.errors import ProtocolViolation

COEFFICIENT_BITS = 128
_EXTRA = 16

Numbers = list[mpz]
"""What vectors of plaintexts and ciphertexts are; rooms that only pass them on need no gmpy2."""


def random_bits(bits: int, rng: Rng) -> mpz:
    """Return a number of at most `bits` bits, uniform."""
    return mpz.from_bytes(rng(-(-bits // 8)), "big") >> (-bits % 8)


def random_below(limit: int | mpz, rng: Rng) -> mpz:
    """Return a number below `limit`, with a bias below 2^−128."""
    return mpz.from_bytes(rng(-(-limit.bit_length() // 8) + _EXTRA), "big") % limit


def random_unit(modulus: int | mpz, rng: Rng) -> mpz:
    """Return a random element that has an inverse mod modulus."""
    while True:
        found = random_below(modulus, rng)
        if gmpy2.gcd(found, modulus) == 1:
            return found


def hashed(label: str, modulus: mpz, index: int) -> mpz:
    """Return the element mod modulus that the label, the modulus and the index fix."""
    width = -(-modulus.bit_length() // 8)
    digest = shake_256(fields(label, modulus.to_bytes(width, "big"), index)).digest(width + _EXTRA)
    return mpz.from_bytes(digest, "big") % modulus


def coefficients(label: str, context: bytes, count: int) -> list[int]:
    """Return `count` coefficients of 128 bits; `context` is made with `fields` and each position is appended to it."""
    start, found = shake_256(fields(label) + context), []
    for position in range(count):
        one = start.copy()
        one.update(fields(position))
        found.append(int.from_bytes(one.digest(COEFFICIENT_BITS // 8), "big"))
    return found


def challenge(label: str, context: bytes) -> int:
    """Return the challenge of 128 bits for a context made with `fields`."""
    return int.from_bytes(shake_256(fields(label) + context).digest(COEFFICIENT_BITS // 8), "big")


def write(values: Sequence[mpz], width: int) -> bytes:
    """Return the numbers one after the other, big-endian, `width` bytes each."""
    return b"".join([value.to_bytes(width, "big") for value in values])


def read(data: bytes | memoryview, width: int, below: int | mpz, what: str) -> list[mpz]:
    """Return the numbers of `width` bytes in `data`, each at least 1 and smaller than `below`.

    Big-endian is what mpz.from_bytes takes when it is not told; telling it costs a tenth of reading.

    Raises: ProtocolViolation when the length is no multiple of the width (rule paillier.length) or a number is out of
    range (paillier.range). `what` names the things, in the plural.
    """
    if len(data) % width:
        raise ProtocolViolation(
            f"{len(data)} bytes are no whole {what} of {width} bytes.", "Send whole numbers.", rule="paillier.length"
        )
    from_bytes = mpz.from_bytes
    found = [from_bytes(one) for (one,) in iter_unpack(f"{width}s", data)]
    if found and (max(found) >= below or not all(found)):
        raise ProtocolViolation(f"One of the {what} is out of range.", "Refuse its sender.", rule="paillier.range")
    return found
