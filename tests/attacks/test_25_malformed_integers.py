"""Row 25 for Paillier: a corpus of malformed ciphertexts, proofs, answers and shares, each refused with its reason."""

from collections.abc import Iterator

import pytest
from msgspec import Struct
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.knowledge import KnowledgeProof
from secagg.crypto.paillier.partial import Partial
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.threshold import Share, check_share
from secagg.crypto.secret import Secret
from secagg.errors import ProtocolViolation
from secagg.protocol.paillier.messages import Answer, EncryptedInput, Plain
from secagg.protocol.paillier.opening import open_sum
from secagg.wire.codec import decode
from support.entrusted import alone, dealt
from support.malice import Scene, listed, stop_before

MEMBER = "node-01"
SCENE = stop_before("Freeze", entrusted=alone(4, seed=b"malformed"))
SHARED = stop_before("Freeze")
ASKED = SHARED.witnessed(listed(*SHARED.headers().values()))
ANSWERS = {name: SHARED.opens(name, ASKED, SHARED.played.uploads) for name in ("ana", "ben", "cyd")}

Case = tuple[str, bytes, str]


def factor(scene: Scene) -> int:
    """Return a factor of the modulus, which whoever made the key knows."""
    secret = scene.entrusted.secrets["ana"]
    assert isinstance(secret, PrivateKey)
    return int(secret.primes[0])


def numbers(scene: Scene) -> dict[str, tuple[int, str]]:
    """Return numbers that are no ciphertexts, with the reason."""
    n, cipher, p = int(scene.layout.ring.n), int(scene.layout.ring.cipher), factor(scene)
    top = (1 << 8 * scene.layout.ring.width) - 1
    return {
        "0": (0, "range"), "N^2": (cipher, "range"), "N^2 + 1": (cipher + 1, "range"), "all ones": (top, "range"),
        "N": (n, "gcd"), "2N": (2 * n, "gcd"), "p": (p, "gcd"), "p^2": (p * p, "gcd"), "N^2 - N": (cipher - n, "gcd"),
        "p + N": (p + n, "gcd"), "p(N - 1)": (p * (n - 1), "gcd"), "1": (1, "knowledge"), "2": (2, "knowledge"),
        "N - 1": (n - 1, "knowledge"), "N + 1": (n + 1, "knowledge"), "N^2 - 1": (cipher - 1, "knowledge"),
    }  # fmt: skip


def ciphertexts(scene: Scene) -> Iterator[Case]:
    """Yield uploads with one malformed ciphertext, and of malformed lengths."""
    good, width = scene.played.uploads[MEMBER], scene.layout.ring.width
    for position in range(scene.layout.ciphertexts):
        for name, (number, reason) in numbers(scene).items():
            start = position * width
            yield f"{name} at {position}", good[:start] + number.to_bytes(width, "big") + good[start + width :], reason
    for name, data in {
        "empty": b"", "one byte less": good[:-1], "one byte more": good + b"\0", "a ciphertext less": good[width:],
        "a ciphertext more": good + good[:width], "half": good[: len(good) // 2],
    }.items():  # fmt: skip
        yield name, data, "length"


def bent(struct: Struct, field: str) -> Iterator[tuple[str, bytes]]:
    """Yield malformed forms of one field of a proof."""
    good: bytes = getattr(struct, field)
    yield "empty", b""
    yield "shorter", good[1:]
    yield "cut", good[:-1]
    yield "longer", b"\0" + good
    yield "padded", good + b"\0"
    yield "zero", bytes(len(good))
    yield "all ones", b"\xff" * len(good)
    for at in range(0, len(good), max(1, len(good) // 12)):
        yield f"bit of byte {at}", good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]


def refused(scene: Scene, upload: bytes, proof: KnowledgeProof) -> str:
    """Let a trustee meet an upload that a member signed for, and return its reason."""
    fresh = stop_before("Freeze", entrusted=scene.entrusted)
    u = listed(*{**fresh.headers(), MEMBER: fresh.forge(MEMBER, upload, proof)}.values())
    with pytest.raises(ProtocolViolation, match=MEMBER) as caught:
        fresh.opens("ana", fresh.witnessed(u), {**fresh.played.uploads, MEMBER: upload})
    return caught.value.rule.partition(".")[2]


def proof_of(scene: Scene) -> KnowledgeProof:
    return decode(EncryptedInput, scene.headers()[MEMBER].body).proof


CIPHERTEXTS = list(ciphertexts(SCENE))
PROOF = proof_of(SCENE)
PROOFS = [(field, name, data) for field in ("challenge", "message", "root") for name, data in bent(PROOF, field)]


@pytest.mark.parametrize("case", CIPHERTEXTS, ids=[case[0] for case in CIPHERTEXTS])
def test_a_malformed_ciphertext(case: Case) -> None:
    assert refused(SCENE, case[1], PROOF) == case[2]


@pytest.mark.parametrize("case", PROOFS, ids=[f"{field}: {name}" for field, name, _ in PROOFS])
def test_a_malformed_proof_of_knowledge(case: tuple[str, str, bytes]) -> None:
    field, _, data = case
    assert refused(SCENE, SCENE.played.uploads[MEMBER], replace(PROOF, **{field: data})) == "knowledge"


def opens(scene: Scene, answers: dict[str, Answer]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (used, wrong) of an honest aggregator or auditor."""
    ring, names = scene.layout.ring, tuple(scene.headers())
    products = [1] * scene.layout.ciphertexts
    for name in names:
        upload = ring.read(scene.played.uploads[name])
        products = [a * b % ring.cipher for a, b in zip(products, upload, strict=True)]  # type: ignore[misc]
    u = sha256(listed(*scene.headers().values()))
    opened = open_sum(scene.played.manifest, scene.scope, names, u, products, answers)  # type: ignore[arg-type]
    return opened.used, opened.wrong


PARTIAL = ANSWERS["ana"].partial or Partial(b"", b"", b"")
PARTIALS = [(field, name, data) for field in ("values", "challenge", "response") for name, data in bent(PARTIAL, field)]


@pytest.mark.parametrize("case", PARTIALS, ids=[f"{field}: {name}" for field, name, _ in PARTIALS])
def test_a_malformed_partial_decryption(case: tuple[str, str, bytes]) -> None:
    field, _, data = case
    bad = replace(ANSWERS["ana"], partial=replace(PARTIAL, **{field: data}))
    assert opens(SHARED, {**ANSWERS, "ana": bad}) == (("ben", "cyd"), ("ana",))


def test_answers_of_the_wrong_kind() -> None:
    assert opens(SHARED, ANSWERS) == (("ana", "ben"), ())
    for bad in (
        Answer(ANSWERS["ana"].u), replace(ANSWERS["ana"], u=bytes(32)), Answer(ANSWERS["ana"].u, plain=Plain(b"", b""))
    ):  # fmt: skip
        assert opens(SHARED, {**ANSWERS, "ana": bad}) == (("ben", "cyd"), ("ana",))


SINGLE = stop_before("Freeze", entrusted=alone(4, seed=b"single"))
PLAIN = SINGLE.opens("ana", SINGLE.witnessed(listed(*SINGLE.headers().values())), SINGLE.played.uploads)
WORDS = PLAIN.plain or Plain(b"", b"")
PLAINS = [(field, name, data) for field in ("words", "proof") for name, data in bent(WORDS, field)]


@pytest.mark.parametrize("case", PLAINS, ids=[f"{field}: {name}" for field, name, _ in PLAINS])
def test_a_malformed_answer_of_a_single_holder(case: tuple[str, str, bytes]) -> None:
    field, _, data = case
    bad = replace(PLAIN, plain=replace(WORDS, **{field: data}))
    assert opens(SINGLE, {"ana": bad}) == ((), ("ana",))


KEY, SHARES = dealt(3, 2)
_GOOD = SHARES[0].secret.reveal()
BAD_SHARES = [
    Share(0, SHARES[0].secret), Share(2, SHARES[0].secret), Share(4, SHARES[0].secret), Share(-1, SHARES[0].secret),
    *(Share(1, Secret(data)) for data in (
        b"", _GOOD[1:], _GOOD + b"\0", bytes(len(_GOOD)), b"\xff" * len(_GOOD), SHARES[1].secret.reveal(),
        (int.from_bytes(_GOOD, "big") + 1).to_bytes(len(_GOOD), "big"),
        *(_GOOD[:at] + bytes([_GOOD[at] ^ 1]) + _GOOD[at + 1 :] for at in range(0, len(_GOOD), 4)),
    )),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(BAD_SHARES)))
def test_a_malformed_share(index: int) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        check_share(KEY, BAD_SHARES[index])
    assert caught.value.rule == "paillier.share"


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    """More of it, at every other door: test_25_corpus.py."""
    assert len(CIPHERTEXTS) + len(PROOFS) + len(PARTIALS) + len(PLAINS) + len(BAD_SHARES) >= 200
