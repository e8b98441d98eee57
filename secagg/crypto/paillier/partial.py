"""Threshold decryption: a trustee's partial decryptions of a vector, their proof, and putting t of them together.

Rules (protocol §5): d_j = C_j^(2Δ·s_i), blinded, in constant time. One proof for the vector: e_j = SHAKE256(label,
H(manifest), U, trustee, v, v_i, all C_j, all d_j, j). X = (Π C_j^(e_j))^4, Y = (Π d_j^(e_j))^2. It shows knowledge of σ
= Δ·s_i with v_i = v^σ and Y = X^σ. The nonce is below 2^(|σ| + 256), and the response z = nonce + e·σ is over the
integers, never reduced, its length checked. All partials are hashed and the statement is on squares. So neither errors
that cancel between positions nor elements of order 2 pass (attack 37). Combined: Π d_i^(2λ_i) = C^(4Δ²·d), and the
plaintext is its logarithm divided by 4Δ². A wrong answer names its trustee; any t right ones give the sum.
Leaves to others: what a trustee may decrypt at all (only a product that it computed itself), one answer for a round.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from gmpy2 import invert, mpz
from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.paillier.numbers import challenge, coefficients, random_bits
from secagg.crypto.paillier.powers import (
    blinding,
    inverses,
    long_power,
    over_blocks,
    product,
    public_power,
    secret_power,
    secret_powers,
)  # fmt: skip
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.threshold import Share, ThresholdKey
from secagg.crypto.rng import Rng
from secagg.errors import ProtocolViolation
from secagg.ids import Digest, Name

_COEFFICIENT_LABEL = "secagg/v1/paillier/partial/coefficient"
_CHALLENGE_LABEL = "secagg/v1/paillier/partial/challenge"
_CHALLENGE_BYTES = 16
_SLACK = 256
"""128 bits of challenge, 128 bits that hide σ statistically."""


class Opening(Struct, frozen=True, forbid_unknown_fields=True):
    """What is opened: H(manifest) and the members whose uploads were multiplied, in the manifest's order."""

    manifest: Digest
    contributors: tuple[Name, ...]


class Partial(Struct, frozen=True, forbid_unknown_fields=True):
    """A trustee's answer: the partial decryptions as they travel, and the proof of all of them."""

    values: bytes
    challenge: bytes
    response: bytes


def decrypt_partially(
    key: ThresholdKey, share: Share, opening: Opening, products: Sequence[mpz], rng: Rng,
    executor: Executor | None = None,
) -> Partial:  # fmt: skip
    """Return one trustee's answer for a vector of products that it computed itself.

    Raises: ProtocolViolation, rule paillier.gcd.
    """
    ring = Ring(key.public)
    ring.check_units(products)
    exponent = 2 * key.delta * share.exponent
    draw = blinding(exponent, ring.cipher, rng)
    values = ring.write(secret_powers(products, exponent, ring.cipher, draw, executor))
    context = _context(key, ring, opening, share.index, products, values)
    weights = coefficients(_COEFFICIENT_LABEL, context, len(products))
    x = public_power(ring.combine(products, weights, executor), 4, ring.cipher)
    nonce = random_bits(_sigma_bits(key) + _SLACK, rng)
    e = _challenge(
        context, ring, secret_power(key.base, nonce, ring.cipher), secret_power(x, nonce, ring.cipher)
    )  # fmt: skip
    response = nonce + e * key.delta * share.exponent
    return Partial(values, e.to_bytes(_CHALLENGE_BYTES, "big"), response.to_bytes(_response_bytes(key), "big"))


def verify_partial(
    key: ThresholdKey, trustee: str, opening: Opening, products: Sequence[mpz], answer: Partial,
    executor: Executor | None = None,
) -> list[mpz]:  # fmt: skip
    """Check a trustee's answer for a vector and return its partial decryptions.

    Raises: ProtocolViolation (paillier.partial, length, range, gcd, trustee); the text names the trustee.
    """
    ring, index = Ring(key.public), key.index(trustee)
    lengths = (len(answer.values), len(answer.challenge), len(answer.response))
    if not products or lengths != (len(products) * ring.width, _CHALLENGE_BYTES, _response_bytes(key)):
        raise _wrong(trustee)
    z, e = mpz.from_bytes(answer.response, "big"), int.from_bytes(answer.challenge, "big")
    if not 0 < z.bit_length() <= _sigma_bits(key) + _SLACK + 1:
        raise _wrong(trustee)
    try:
        partials = ring.read(answer.values)
        context = _context(key, ring, opening, index, products, answer.values)
        weights = coefficients(_COEFFICIENT_LABEL, context, len(products))
        y = public_power(ring.combine(partials, weights, executor), 2, ring.cipher)
    except ProtocolViolation as error:
        raise ProtocolViolation(f"{trustee}: {error.cause}", "Use another trustee.", rule=error.rule) from None
    x = public_power(ring.combine(products, weights, executor), 4, ring.cipher)
    first = _recomputed(key.base, key.verification(index), z, e, ring)
    if _challenge(context, ring, first, _recomputed(x, y, z, e, ring)) != e:
        raise _wrong(trustee)
    return partials


def combine(key: ThresholdKey, partials: Mapping[int, Sequence[mpz]], executor: Executor | None = None) -> list[mpz]:
    """Return the plaintexts from exactly `threshold` trustees' verified partial decryptions, by index.

    Raises: ProtocolViolation, rule paillier.combine, when they are no partial decryptions of one vector.
    """
    if len(partials) != key.threshold:
        raise ValueError(f"exactly {key.threshold} answers are combined")
    ring, powers = Ring(key.public), [2 * weight for weight in _lagrange(tuple(partials), key.delta)]
    scale = invert(mpz(4 * key.delta**2), ring.n)

    def work(rows: Sequence[tuple[mpz, ...]]) -> list[mpz]:
        above, below = [], []
        for row in rows:
            pairs = list(zip(row, powers, strict=True))
            above.append(product((public_power(one, e, ring.cipher) for one, e in pairs if e > 0), ring.cipher))
            below.append(product((public_power(one, -e, ring.cipher) for one, e in pairs if e < 0), ring.cipher))
        return [one * other % ring.cipher for one, other in zip(above, inverses(below, ring.cipher), strict=True)]

    found = over_blocks(work, list(zip(*partials.values(), strict=True)), executor)
    if any(one % ring.n != 1 for one in found):
        raise ProtocolViolation(
            "The partial decryptions do not combine.", "Verify them and the key.", rule="paillier.combine"
        )
    return [(one - 1) // ring.n * scale % ring.n for one in found]


def _context(
    key: ThresholdKey, ring: Ring, opening: Opening, index: int, products: Sequence[mpz], values: bytes
) -> bytes:
    base, own = (one.to_bytes(ring.width, "big") for one in (key.base, key.verification(index)))
    who = key.trustees[index - 1]
    members = fields(*opening.contributors)
    return fields(opening.manifest, members, who, base, own, sha256(ring.write(products)), sha256(values))


def _challenge(context: bytes, ring: Ring, *first: mpz) -> int:
    return challenge(_CHALLENGE_LABEL, context + fields(*(one.to_bytes(ring.width, "big") for one in first)))


def _recomputed(base: mpz, power: mpz, z: mpz, e: int, ring: Ring) -> mpz:
    """Return base^z · power^(−e), the first message of an honest prover."""
    return long_power(base, z, ring.cipher) * public_power(power, -e, ring.cipher) % ring.cipher


def _sigma_bits(key: ThresholdKey) -> int:
    """Return the length that Δ·s_i has at most: a bound that everybody knows, not the length of this one."""
    return 2 * key.public.bits - 2 + key.delta.bit_length()


def _response_bytes(key: ThresholdKey) -> int:
    return -(-(_sigma_bits(key) + _SLACK + 1) // 8)


def _lagrange(indices: tuple[int, ...], delta: int) -> list[int]:
    """Return Δ·Π j/(j − i) for each index i; Δ makes them whole numbers."""
    found = []
    for i in indices:
        above, below = delta, 1
        for j in indices:
            if j != i:
                above, below = above * j, below * (j - i)
        found.append(above // below)
    return found


def _wrong(trustee: str) -> ProtocolViolation:
    return ProtocolViolation(
        f"The partial decryptions of {trustee} are not proven.", "Use another trustee's answer, and keep this one.",
        rule="paillier.partial",
    )  # fmt: skip
