"""Secrets, signatures, agreement, sealing and boxes: what must not open does not, and what is secret does not show."""

import copy
import json
import pickle

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.crypto.agree import AgreementKey
from secagg.crypto.box import decrypt, encrypt, stretch
from secagg.crypto.labels import fields
from secagg.crypto.rng import system_rng
from secagg.crypto.seal import SealingKey, seal
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey, verify
from secagg.errors import BadSignature, ProtocolViolation, SealBroken

RAW = b"thirty-two bytes that are secret"
SECRET = Secret(RAW)
SIGNING = SigningKey.from_private_bytes(RAW)
AGREEMENT = AgreementKey.from_private_bytes(RAW)
SEALING = SealingKey.from_private_bytes(RAW * 3)
SEALED = seal(SEALING.public, b"share", b"info")


@pytest.mark.parametrize(
    "shown",
    [repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET:>40}", f"{SECRET!r}", f"{SECRET:s}",
     str([SECRET]), str({"key": SECRET}), repr(SIGNING), repr(AGREEMENT), repr(SEALING)],
)  # fmt: skip
def test_a_secret_does_not_show(shown: str) -> None:
    assert not any(form in shown for form in ("thirty", "secret", RAW.hex(), RAW.hex()[:8], repr(RAW)[2:-1]))


@pytest.mark.parametrize(
    "leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, msgspec.msgpack.encode, bytes,
             hash, vars, list],
)  # fmt: skip
def test_a_secret_is_not_serialised(leak: object) -> None:
    assert callable(leak)
    with pytest.raises(TypeError):
        leak(SECRET)


def test_secrets_compare_by_value_and_never_with_bytes() -> None:
    assert Secret(RAW) == SECRET
    assert Secret(RAW[:-1]) != SECRET
    assert (SECRET == RAW) is False
    assert len(SECRET) == 32
    assert SECRET.reveal() == RAW


def test_a_secret_keeps_its_own_copy() -> None:
    data = bytearray(b"abc")
    kept = Secret(bytes(data))
    data[0] = 0
    assert kept.reveal() == b"abc"


@pytest.mark.parametrize("kind", [SigningKey, AgreementKey])
def test_private_bytes_give_the_key_back(kind: type[SigningKey] | type[AgreementKey]) -> None:
    key = kind.from_private_bytes(RAW)
    assert key.private_bytes() == SECRET
    assert kind.from_private_bytes(key.private_bytes().reveal()).public == key.public


def test_a_signature_covers_every_bit() -> None:
    signature = SIGNING.sign(b"message")
    for at in range(512):
        changed = bytearray(signature)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(BadSignature):
            verify(SIGNING.public, b"message", bytes(changed))


@pytest.mark.parametrize(
    ("public", "data", "signature"),
    [
        (SIGNING.public, b"messagE", SIGNING.sign(b"message")),
        (SigningKey.from_private_bytes(bytes(32)).public, b"message", SIGNING.sign(b"message")),
        (SIGNING.public[:-1], b"message", SIGNING.sign(b"message")),
        (b"", b"message", SIGNING.sign(b"message")),
        (SIGNING.public, b"message", b""),
        (SIGNING.public, b"message", SIGNING.sign(b"message") + b"\0"),
        (b"\xff" * 32, b"message", SIGNING.sign(b"message")),
    ],
)
def test_a_bad_signature_is_refused(public: bytes, data: bytes, signature: bytes) -> None:
    with pytest.raises(BadSignature):
        verify(public, data, signature)


P = 2**255 - 19
SMALL_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    *((P + delta).to_bytes(32, "little") for delta in (-1, 0, 1)),
    *((point + 2**255).to_bytes(32, "little") for point in (0, 1, P - 1, P)),
]


@pytest.mark.parametrize("peer", SMALL_ORDER, ids=lambda peer: peer.hex()[:8])
def test_a_small_order_point_is_refused(peer: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        AGREEMENT.agree(peer)
    assert caught.value.rule == "agree.small-order"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ProtocolViolation):
        AGREEMENT.agree(bytes([9] * length))


def test_what_is_sealed_opens_with_its_key_and_context_only() -> None:
    assert SEALING.open(SEALED, b"info") == b"share"
    assert len(SEALING.public) == 1216
    assert SealingKey.from_private_bytes(SEALING.private_bytes().reveal()).open(SEALED, b"info") == b"share"
    other = SealingKey.from_private_bytes(RAW * 2 + RAW[::-1])
    for key, info in ((SEALING, b"infO"), (SEALING, b""), (SEALING, b"info\0"), (other, b"info")):
        with pytest.raises(SealBroken):
            key.open(SEALED, info)


@pytest.mark.parametrize("at", range(0, len(SEALED), 31))
def test_a_changed_bit_does_not_open(at: int) -> None:
    changed = bytearray(SEALED)
    changed[at] ^= 1
    with pytest.raises(SealBroken):
        SEALING.open(bytes(changed), b"info")


@pytest.mark.parametrize("sealed", [b"", b"x", SEALED[:-1], SEALED + b"x", SEALED[:1120], bytes(len(SEALED))])
def test_a_piece_of_another_length_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        SEALING.open(sealed, b"info")


def test_sealing_twice_gives_two_texts() -> None:
    assert seal(SEALING.public, b"share", b"info") != SEALED


@pytest.mark.parametrize(
    "public", [b"", SEALING.public[:-1], SEALING.public + b"x", SEALING.public[1184:], b"\xff" * 1216]
)
def test_a_malformed_sealing_key_is_refused(public: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        seal(public, b"share", b"info")
    assert caught.value.rule == "seal.key"


BOX = encrypt(RAW, b"phase", b"round 3", lambda count: bytes(range(count)))


@pytest.mark.parametrize(
    ("key", "box", "aad"),
    [
        (RAW[::-1], BOX, b"round 3"),
        (RAW, BOX, b"round 4"),
        (RAW, BOX, b""),
        (RAW, BOX[:-1], b"round 3"),
        (RAW, BOX[1:], b"round 3"),
        (RAW, BOX[:12], b"round 3"),
        (RAW, b"", b"round 3"),
        *((RAW, BOX[:at] + bytes([BOX[at] ^ 1]) + BOX[at + 1 :], b"round 3") for at in range(len(BOX))),
    ],
)
def test_a_box_opens_whole_or_not_at_all(key: bytes, box: bytes, aad: bytes) -> None:
    assert decrypt(RAW, BOX, b"round 3") == b"phase"
    with pytest.raises(SealBroken):
        decrypt(key, box, aad)


def test_a_passphrase_is_stretched_with_its_salt() -> None:
    found = stretch(b"passphrase", b"0" * 16, n=2)
    assert len(found) == 32
    assert found != stretch(b"passphrase", b"1" * 16, n=2)
    assert found != stretch(b"passphrasf", b"0" * 16, n=2)


def test_randomness_has_the_length_asked_for() -> None:
    assert [len(system_rng(count)) for count in (0, 1, 32)] == [0, 1, 32]
    assert system_rng(32) != system_rng(32)


def test_fields_are_length_prefixed() -> None:
    assert fields("ab", b"\xff", 12) == b"\0\0\0\x02ab\0\0\0\x01\xff\0\0\0\x0212"
    assert fields() == b""


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=6), max_size=5), st.lists(st.binary(max_size=6), max_size=5))
def test_two_lists_of_fields_never_meet(one: list[bytes], other: list[bytes]) -> None:
    assert (fields(*one) == fields(*other)) is (one == other)
