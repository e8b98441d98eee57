"""Proof of a single holder that it decrypted right: one root for a whole vector.

Rules (protocol §5, §8): e_j = SHAKE256(label, H(manifest), H(U), N, all C_j, all m_j, j), 128 bits. C = Π C_j^(e_j), E
= Σ e_j m_j. The proof is the N^s-th root ρ of C·(1 + N)^(−E). Verified: C = (1 + N)^E · ρ^(N^s). A wrong plaintext
survives with probability 2^−128 per hash trial when the modulus has no small factor (keys). The proof reveals one root
of a random combination of honest randomness, which opens no ciphertext; the threat model says so.
Leaves to others: threshold keys, where nobody can take roots (partial).
"""

from collections.abc import Sequence
from concurrent.futures import Executor

from gmpy2 import mpz

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.paillier.numbers import coefficients, write
from secagg.crypto.paillier.powers import long_power, product_of_powers
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.rng import Rng
from secagg.errors import ProtocolViolation

_LABEL = "secagg/v1/paillier/decryption"


def prove_decryption(
    key: PrivateKey, ring: Ring, manifest: bytes, contributors: bytes,
    ciphertexts: Sequence[mpz], words: Sequence[mpz], rng: Rng,
) -> bytes:  # fmt: skip
    """Return the proof, of the modulus' length, that `words` are the plaintexts of `ciphertexts`."""
    weights = _weights(ring, manifest, contributors, ciphertexts, words)
    reduced = [one % ring.n for one in ciphertexts]  # the root modulo N is all there is
    combined = product_of_powers(reduced, weights, ring.n)
    return key.root(combined, ring.s, rng).to_bytes(len(ring.key.modulus), "big")


def verify_decryption(
    ring: Ring, manifest: bytes, contributors: bytes, ciphertexts: Sequence[mpz], words: Sequence[mpz], proof: bytes,
    executor: Executor | None = None,
) -> None:  # fmt: skip
    """Check that `words` are the plaintexts of `ciphertexts`, which are in range; `contributors` is H(U).

    Raises: ProtocolViolation (paillier.decryption, paillier.gcd).
    """
    root = mpz.from_bytes(proof, "big")
    shaped = len(words) == len(ciphertexts) > 0 and len(proof) == len(ring.key.modulus) and 0 < root < ring.n
    if not shaped or min(words) < 0 or max(words) >= ring.plain:
        raise _wrong()
    weights = _weights(ring, manifest, contributors, ciphertexts, words)
    combined = ring.combine(ciphertexts, weights, executor)
    total = sum((weight * word for weight, word in zip(weights, words, strict=True)), mpz(0))
    if ring.embed(total) * long_power(root, ring.plain, ring.cipher) % ring.cipher != combined:
        raise _wrong()


def _weights(
    ring: Ring, manifest: bytes, contributors: bytes, ciphertexts: Sequence[mpz], words: Sequence[mpz]
) -> list[int]:
    plain = sha256(write(words, ring.s * len(ring.key.modulus)))
    context = fields(manifest, contributors, ring.key.modulus, sha256(ring.write(ciphertexts)), plain)
    return coefficients(_LABEL, context, len(ciphertexts))


def _wrong() -> ProtocolViolation:
    return ProtocolViolation(
        "The proof of decryption does not hold.", "Do not use the result; keep the evidence.",
        rule="paillier.decryption",
    )  # fmt: skip
