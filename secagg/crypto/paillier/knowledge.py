"""Proof that an uploader knows what is in its ciphertexts, one for the whole upload.

Ciphertexts are malleable. Without this, an aggregator with one node could upload the inverse of the product of the
others'. It would have a single update opened (attack 19).

Rules (protocol §5): e_j = SHAKE256(label ‖ H(manifest) ‖ sender ‖ H(all c) ‖ j), 128 bits. C = Π c_j^(e_j) = (1 + N)^E
· R^(N^s) with E = Σ e_j m_j, R = Π r_j^(e_j). The proof has a first message a = (1 + N)^x · u^(N^s). The challenge e is
over the same fields and a, 128 bits. Then z = x + e·E mod N^s and w = u·R^e mod N. Verified: (1 + N)^z · w^(N^s) = a ·
C^e, with a recomputed from (e, z, w). Verifying multiplies everything and therefore finds a factor of the modulus too.
The batched form awaits external review; a proof for each ciphertext alone (an upload of one) is the conservative
setting.
Leaves to others: that the manifest names the key, that each seat uploads once.
"""

from collections.abc import Sequence
from concurrent.futures import Executor

from gmpy2 import mpz
from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.paillier.numbers import challenge, coefficients, random_below, random_unit
from secagg.crypto.paillier.powers import long_power, public_power, secret_power
from secagg.crypto.paillier.primes import coprime
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.rng import Rng
from secagg.errors import BadInput, ProtocolViolation

_COEFFICIENT_LABEL = "secagg/v1/paillier/knowledge/coefficient"
_CHALLENGE_LABEL = "secagg/v1/paillier/knowledge/challenge"
CHALLENGE_BYTES = 16


class KnowledgeProof(Struct, frozen=True, forbid_unknown_fields=True):
    """Challenge (16 bytes) and responses: z below N^s, w below N, big-endian in full width."""

    challenge: bytes
    message: bytes
    root: bytes


def prove_knowledge(
    ring: Ring, manifest: bytes, sender: str, upload: bytes, words: Sequence[mpz], exponents: Sequence[mpz], rng: Rng
) -> KnowledgeProof:
    """Prove knowledge of the words and exponents behind the ciphertexts in `upload`.

    Raises: BadInput when they are not one for each ciphertext.
    """
    if not words or not len(words) == len(exponents) == len(upload) // ring.width:
        raise BadInput("A proof needs a word and an exponent for each ciphertext.", "Prove the whole upload.")
    context = _context(manifest, sender, upload)
    weights = coefficients(_COEFFICIENT_LABEL, context, len(words))
    total = sum((weight * word for weight, word in zip(weights, words, strict=True)), mpz(0)) % ring.plain
    exponent = sum((weight * r for weight, r in zip(weights, exponents, strict=True)), mpz(0))
    x, u = random_below(ring.plain, rng), random_unit(ring.n, rng)
    first = ring.embed(x) * long_power(u, ring.plain, ring.cipher) % ring.cipher
    e = _challenge(context, ring, first)
    z = (x + e * total) % ring.plain
    w = u * secret_power(ring.generator, e * exponent, ring.n) % ring.n
    width = len(ring.key.modulus)
    return KnowledgeProof(
        e.to_bytes(CHALLENGE_BYTES, "big"), z.to_bytes(ring.s * width, "big"), w.to_bytes(width, "big")
    )


def verify_knowledge(
    ring: Ring, manifest: bytes, sender: str, upload: bytes, proof: KnowledgeProof, executor: Executor | None = None
) -> None:
    """Check an upload's ciphertexts and that its sender knows what is in them.

    Raises: ProtocolViolation (paillier.length, range, gcd, knowledge).
    """
    ciphertexts = ring.read(upload)
    width = len(ring.key.modulus)
    z, w = mpz.from_bytes(proof.message, "big"), mpz.from_bytes(proof.root, "big")
    lengths = (len(proof.challenge), len(proof.message), len(proof.root))
    if not ciphertexts or lengths != (CHALLENGE_BYTES, ring.s * width, width):
        raise _wrong(sender)
    if z >= ring.plain or w >= ring.n or not coprime(w, ring.n):
        raise _wrong(sender)
    context, e = _context(manifest, sender, upload), int.from_bytes(proof.challenge, "big")
    combined = ring.combine(ciphertexts, coefficients(_COEFFICIENT_LABEL, context, len(ciphertexts)), executor)
    first = ring.embed(z) * long_power(w, ring.plain, ring.cipher) % ring.cipher
    first = first * public_power(combined, -e, ring.cipher) % ring.cipher
    if _challenge(context, ring, first) != e:
        raise _wrong(sender)


def _context(manifest: bytes, sender: str, upload: bytes) -> bytes:
    return fields(manifest, sender, sha256(upload))


def _challenge(context: bytes, ring: Ring, first: mpz) -> int:
    return challenge(_CHALLENGE_LABEL, context + fields(first.to_bytes(ring.width, "big")))


def _wrong(sender: str) -> ProtocolViolation:
    return ProtocolViolation(
        f"The proof of knowledge of {sender} does not hold.", "Do not count its upload.", rule="paillier.knowledge"
    )
