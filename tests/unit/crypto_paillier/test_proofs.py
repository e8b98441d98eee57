"""Proofs of knowledge and of decryption: what is true passes, and everything that differs in anything does not."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from gmpy2 import invert, mpz
from msgspec.structs import replace

from secagg.crypto.paillier import decryption, knowledge
from secagg.crypto.paillier.decryption import prove_decryption, verify_decryption
from secagg.crypto.paillier.encrypt import encrypt, obfuscate
from secagg.crypto.paillier.keys import Profile
from secagg.crypto.paillier.knowledge import KnowledgeProof, prove_knowledge, verify_knowledge
from secagg.crypto.paillier.numbers import challenge, coefficients, random_below
from secagg.crypto.paillier.powers import public_power
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table
from secagg.errors import BadInput, ProtocolViolation
from support.paillier_keys import full, seeded, small

MANIFEST, CONTRIBUTORS = bytes(range(32)), bytes(range(32, 64))
CASES: list[tuple[Profile, int]] = [("provable", 1), ("provable", 2), ("provable", 3), ("fast", 1), ("fast", 2)]


class Vector:
    """An upload with everything its sender knows."""

    def __init__(self, ring: Ring, seed: str, count: int = 5) -> None:
        self.ring, self.rng = ring, seeded(seed)
        self.words = [random_below(ring.plain, self.rng) for _ in range(count)]
        self.obfuscators = obfuscate(Table.build(ring, 2**16), count, self.rng)
        self.ciphertexts = encrypt(ring, self.words, self.obfuscators)
        self.upload = ring.write(self.ciphertexts)

    def prove(self, sender: str = "north") -> KnowledgeProof:
        return prove_knowledge(
            self.ring, MANIFEST, sender, self.upload, self.words, self.obfuscators.exponents, self.rng
        )


RING = Ring(small().public)
WIDTH = RING.width
VECTOR = Vector(RING, "north")
PROOF = VECTOR.prove()


def refused(
    upload: bytes = VECTOR.upload, proof: KnowledgeProof = PROOF, *, sender: str = "north", manifest: bytes = MANIFEST
) -> str:
    with pytest.raises(ProtocolViolation) as caught:
        verify_knowledge(RING, manifest, sender, upload, proof)
    return caught.value.rule.removeprefix("paillier.")


@pytest.mark.parametrize(("profile", "s"), CASES)
@pytest.mark.parametrize("count", [1, 2, 40])
def test_who_knows_can_prove(profile: Profile, s: int, count: int) -> None:
    vector = Vector(Ring(small(profile).public, s), f"{profile}/{s}", count)
    verify_knowledge(vector.ring, MANIFEST, "north", vector.upload, vector.prove())


def test_threads_verify_too() -> None:
    vector = Vector(RING, "threads", 700)
    with ThreadPoolExecutor(2) as executor:
        verify_knowledge(RING, MANIFEST, "north", vector.upload, vector.prove(), executor)


def test_a_proof_hides_by_fresh_randomness() -> None:
    assert VECTOR.prove() != PROOF
    assert (len(PROOF.challenge), len(PROOF.message), len(PROOF.root)) == (16, WIDTH // 2, WIDTH // 2)


def test_a_proof_is_of_its_sender_and_manifest() -> None:
    assert refused(sender="south") == "knowledge"
    assert refused(sender="nort") == "knowledge"
    assert refused(manifest=MANIFEST[::-1]) == "knowledge"
    assert refused(manifest=MANIFEST + b"n", sender="orth") == "knowledge"


def test_a_related_upload_is_refused() -> None:
    """Row 19: a copy under another name, the inverse of the others' product, a shifted or re-randomised copy."""
    other = Vector(RING, "south")
    products = [one * two % RING.cipher for one, two in zip(VECTOR.ciphertexts, other.ciphertexts, strict=True)]
    related = [
        VECTOR.ciphertexts,
        [invert(one, RING.cipher) for one in products],
        [one * (1 + RING.n) % RING.cipher for one in VECTOR.ciphertexts],
        [one * RING.base % RING.cipher for one in VECTOR.ciphertexts],
        [one * one % RING.cipher for one in VECTOR.ciphertexts],
        products,
    ]
    for ciphertexts in related:
        for proof in (PROOF, other.prove("mallory")):
            assert refused(RING.write(ciphertexts), proof, sender="mallory") == "knowledge"


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


@pytest.mark.parametrize("at", range(0, len(VECTOR.upload), 5))
def test_every_byte_of_the_upload_counts(at: int) -> None:
    assert refused(flip(VECTOR.upload, at)) in ("knowledge", "range", "gcd")


@pytest.mark.parametrize("at", range(0, 16 + WIDTH, 3))
@pytest.mark.parametrize("part", ["challenge", "message", "root"])
def test_every_byte_of_the_proof_counts(part: str, at: int) -> None:
    data: bytes = getattr(PROOF, part)
    assert refused(proof=replace(PROOF, **{part: flip(data, at % len(data))})) == "knowledge"


N_BYTES = RING.n.to_bytes(WIDTH // 2, "big")
BAD_PROOFS = [
    replace(PROOF, challenge=b""), replace(PROOF, challenge=PROOF.challenge[1:]), replace(PROOF, challenge=bytes(16)),
    replace(PROOF, challenge=b"\0" + PROOF.challenge), replace(PROOF, message=b""), replace(PROOF, message=N_BYTES),
    replace(PROOF, message=b"\0" + PROOF.message), replace(PROOF, message=PROOF.message[1:]),
    replace(PROOF, message=b"\xff" * (WIDTH // 2)), replace(PROOF, root=b""), replace(PROOF, root=bytes(WIDTH // 2)),
    replace(PROOF, root=N_BYTES), replace(PROOF, root=b"\xff" * (WIDTH // 2)), replace(PROOF, root=PROOF.root[1:]),
    replace(PROOF, root=PROOF.root + b"\0"), replace(PROOF, message=PROOF.root, root=PROOF.message),
    replace(PROOF, root=small()._primes[0].to_bytes(WIDTH // 2, "big")), Vector(RING, "other").prove(),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(BAD_PROOFS)))
def test_a_malformed_proof_is_refused(index: int) -> None:
    assert refused(proof=BAD_PROOFS[index]) == "knowledge"


def test_an_upload_that_is_none_is_refused() -> None:
    assert refused(b"") == "knowledge"
    assert refused(VECTOR.upload[:-1]) == "length"
    assert refused(VECTOR.upload[WIDTH:]) == "knowledge"
    assert refused(bytes(WIDTH) + VECTOR.upload[WIDTH:]) == "range"
    assert refused(small()._primes[0].to_bytes(WIDTH, "big") + VECTOR.upload[WIDTH:]) == "gcd"


def test_order_of_ciphertexts_counts() -> None:
    assert refused(VECTOR.upload[WIDTH : 2 * WIDTH] + VECTOR.upload[:WIDTH] + VECTOR.upload[2 * WIDTH :]) == "knowledge"


def test_a_proof_needs_everything() -> None:
    for words, exponents in ((VECTOR.words[1:], VECTOR.obfuscators.exponents), (VECTOR.words, []), ([], [])):
        with pytest.raises(BadInput):
            prove_knowledge(RING, MANIFEST, "north", VECTOR.upload, words, exponents, seeded("x"))


def test_a_wrong_word_is_not_provable() -> None:
    words = [VECTOR.words[0] + 1, *VECTOR.words[1:]]
    proof = prove_knowledge(RING, MANIFEST, "north", VECTOR.upload, words, VECTOR.obfuscators.exponents, seeded("x"))
    assert refused(proof=proof) == "knowledge"


def moved(ciphertexts: list[mpz], weights: list[int]) -> list[mpz]:
    """Other ciphertexts with the same combination under these weights: c_0·t^(e_1), c_1·t^(−e_0)."""
    t = 1 + RING.n
    first = ciphertexts[0] * public_power(t, weights[1], RING.cipher) % RING.cipher
    second = ciphertexts[1] * public_power(t, -weights[0], RING.cipher) % RING.cipher
    changed = [first, second, *ciphertexts[2:]]
    assert RING.combine(changed, weights) == RING.combine(ciphertexts, weights)
    return changed


def test_changes_that_cancel_under_the_old_coefficients_are_refused() -> None:
    context = knowledge._context(MANIFEST, "north", VECTOR.upload)
    weights = coefficients(knowledge._COEFFICIENT_LABEL, context, len(VECTOR.words))
    assert refused(RING.write(moved(VECTOR.ciphertexts, weights))) == "knowledge"


def test_a_proof_has_one_form() -> None:
    """z + N^s and w + N verify as numbers, but a proof that can be written in two ways is another message."""
    width = WIDTH // 2
    seen: set[str] = set()
    while seen != {"message", "root"}:
        proof = VECTOR.prove()
        for part in ("message", "root"):
            more = mpz.from_bytes(getattr(proof, part), "big") + RING.n
            if more.bit_length() <= 8 * width:
                seen.add(part)
                assert refused(proof=replace(proof, **{part: more.to_bytes(width, "big")})) == "knowledge"


# --- a single holder's decryption


def decrypted(key: PrivateKey, s: int, count: int = 6) -> tuple[Ring, list[mpz], list[mpz], bytes]:
    vector = Vector(Ring(key.public, s), "decrypted", count)
    words = key.decrypt(vector.ring, vector.ciphertexts, seeded("x"))
    proof = prove_decryption(
        key, vector.ring, MANIFEST, CONTRIBUTORS, vector.ciphertexts, words, seeded("x")
    )  # fmt: skip
    return vector.ring, vector.ciphertexts, words, proof


@pytest.mark.parametrize(("profile", "s"), CASES)
@pytest.mark.parametrize("count", [1, 6, 50])
def test_a_right_decryption_is_proven(profile: Profile, s: int, count: int) -> None:
    ring, ciphertexts, words, proof = decrypted(small(profile), s, count)
    verify_decryption(ring, MANIFEST, CONTRIBUTORS, ciphertexts, words, proof)
    assert len(proof) == len(ring.key.modulus)


def test_a_full_keys_proof_is_256_bytes() -> None:
    ring, ciphertexts, words, proof = decrypted(full(), 1, 3)
    verify_decryption(ring, MANIFEST, CONTRIBUTORS, ciphertexts, words, proof)
    assert len(proof) == 256


_, CIPHERTEXTS, WORDS, ROOT = decrypted(small(), 1)
Change = Callable[[list[mpz], list[mpz], bytes], tuple[list[mpz], list[mpz], bytes]]


def wrong_word(at: int, by: int) -> Change:
    return lambda c, m, r: (c, [*m[:at], (m[at] + by) % RING.plain, *m[at + 1 :]], r)


CHANGES: list[Change] = [
    *(wrong_word(at, by) for at in range(6) for by in (1, -1, 2**20, 2**64)),
    lambda c, m, r: (c, m[::-1], r),
    lambda c, m, r: (c[::-1], m, r),
    lambda c, m, r: (c[::-1], m[::-1], r),
    lambda c, m, r: (c[:-1], m[:-1], r),
    lambda c, m, r: (c, m[:-1], r),
    lambda c, m, r: ([], [], r),
    lambda c, m, r: (c, [m[0] + RING.n, *m[1:]], r),
    lambda c, m, r: (c, [m[0] - RING.n, *m[1:]], r),
    lambda c, m, r: ([c[0] * (1 + RING.n) % RING.cipher, *c[1:]], m, r),
    lambda c, m, r: ([RING.cipher - c[0], *c[1:]], m, r),
    lambda c, m, r: (c, m, b""),
    lambda c, m, r: (c, m, bytes(len(r))),
    lambda c, m, r: (c, m, r[1:]),
    lambda c, m, r: (c, m, b"\0" + r),
    lambda c, m, r: (c, m, int(mpz.from_bytes(r, "big") + RING.n).to_bytes(len(r) + 1, "big")[-len(r) :]),
    *(lambda c, m, r, at=at: (c, m, flip(r, at)) for at in range(0, 64, 3)),
]


@pytest.mark.parametrize("index", range(len(CHANGES)))
def test_a_wrong_decryption_is_refused(index: int) -> None:
    ciphertexts, words, proof = CHANGES[index](CIPHERTEXTS, WORDS, ROOT)
    with pytest.raises(ProtocolViolation) as caught:
        verify_decryption(RING, MANIFEST, CONTRIBUTORS, ciphertexts, words, proof)
    assert caught.value.rule == "paillier.decryption"


def test_a_decryption_proof_is_of_its_round() -> None:
    for manifest, members in ((MANIFEST[::-1], CONTRIBUTORS), (MANIFEST, MANIFEST), (MANIFEST + b"x", CONTRIBUTORS)):
        with pytest.raises(ProtocolViolation):
            verify_decryption(RING, manifest, members, CIPHERTEXTS, WORDS, ROOT)


def test_errors_that_cancel_without_coefficients_do_not_pass() -> None:
    words = [WORDS[0] + 1, WORDS[1] - 1, *WORDS[2:]]
    proof = prove_decryption(small(), RING, MANIFEST, CONTRIBUTORS, CIPHERTEXTS, words, seeded("x"))
    with pytest.raises(ProtocolViolation):
        verify_decryption(RING, MANIFEST, CONTRIBUTORS, CIPHERTEXTS, words, proof)


def test_changes_that_cancel_under_the_proofs_coefficients_are_refused() -> None:
    weights = decryption._weights(RING, MANIFEST, CONTRIBUTORS, CIPHERTEXTS, WORDS)
    words = [WORDS[0] + weights[1], WORDS[1] - weights[0], *WORDS[2:]]
    assert min(words) >= 0
    assert max(words) < RING.plain
    for ciphertexts, claimed in ((CIPHERTEXTS, words), (moved(CIPHERTEXTS, weights), WORDS)):
        with pytest.raises(ProtocolViolation):
            verify_decryption(RING, MANIFEST, CONTRIBUTORS, ciphertexts, claimed, ROOT)


def test_a_decryption_proof_has_one_form() -> None:
    for index in range(100):
        manifest = index.to_bytes(32, "big")
        proof = prove_decryption(small(), RING, manifest, CONTRIBUTORS, CIPHERTEXTS, WORDS, seeded("form"))
        more = mpz.from_bytes(proof, "big") + RING.n
        if more.bit_length() <= 8 * len(proof):
            with pytest.raises(ProtocolViolation):
                verify_decryption(
                    RING, manifest, CONTRIBUTORS, CIPHERTEXTS, WORDS, more.to_bytes(len(proof), "big")
                )  # fmt: skip
            return
    pytest.fail("no root left room for the modulus")


def test_coefficients_are_the_specifications() -> None:
    """First 128 bits of SHAKE256 over length-prefixed fields with the position last; here written out by hand."""
    from hashlib import shake_256

    prefix = b"\0\0\0\5label" + b"\0\0\0\3abc"
    found = coefficients("label", b"\0\0\0\3abc", 12)
    for position in (0, 9, 11):
        digits = str(position).encode()
        text = prefix + len(digits).to_bytes(4, "big") + digits
        assert found[position] == int.from_bytes(shake_256(text).digest(16), "big")
    assert challenge("label", b"\0\0\0\3abc") == int.from_bytes(shake_256(prefix).digest(16), "big")
