"""Checkpoints and co-signatures: the examples of other implementations, and everything that is not one is refused."""

import base64

import pytest

from secagg.crypto.sign import SigningKey, verify
from secagg.errors import VerificationFailed
from secagg.log.checkpoint import (
    Checkpoint,
    add_cosignatures,
    cosign,
    open_checkpoint,
    read_checkpoint,
    sign_checkpoint,
    verify_cosignature,
)
from secagg.log.note import ED25519, key_id, parse, signature_of

KEY = SigningKey.from_private_bytes(b"\x01" * 32)
WITNESS = SigningKey.from_private_bytes(b"\x02" * 32)
ORIGIN = "trial/rounds"
ROOT = bytes(range(32))
STATE = Checkpoint(origin=ORIGIN, size=7, root=ROOT)
NOTE = sign_checkpoint(STATE, ORIGIN, KEY)
TEXT, LINE = NOTE.split(b"\n\n")
ROOT64 = base64.b64encode(ROOT)


def test_the_key_id_of_the_go_package() -> None:
    """golang.org/x/mod/sumdb/note: verifier PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW."""
    packed = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert key_id("PeterNeumann", packed[:1], packed[1:]).hex() == "c74f20a3"


def test_a_note_of_the_go_package_verifies() -> None:
    """The signed note in the documentation of golang.org/x/mod/sumdb/note."""
    note = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    ).encode()
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    text, lines = parse(note)
    verify(public, text, signature_of(lines, "PeterNeumann", ED25519, public))


def test_a_checkpoint_is_three_lines_and_a_signature() -> None:
    assert TEXT == b"trial/rounds\n7\n" + ROOT64
    assert LINE.startswith("— trial/rounds ".encode())
    assert open_checkpoint(NOTE, ORIGIN, KEY.public) == STATE


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"trial/rounds",
        b"trial/rounds\n7",
        b"\n7\n" + ROOT64,
        b"trial/rounds\n07\n" + ROOT64,
        b"trial/rounds\n+7\n" + ROOT64,
        b"trial/rounds\n-7\n" + ROOT64,
        b"trial/rounds\n 7\n" + ROOT64,
        b"trial/rounds\n7.0\n" + ROOT64,
        b"trial/rounds\n0x7\n" + ROOT64,
        "trial/rounds\n\u0667\n".encode() + ROOT64,
        b"trial/rounds\n\n" + ROOT64,
        b"trial/rounds\n9007199254740992\n" + ROOT64,
        b"trial/rounds\n" + b"9" * 5000 + b"\n" + ROOT64,
        b"trial/rounds\n7\n" + ROOT64[:-1],
        b"trial/rounds\n7\n" + ROOT64 + b" ",
        b"trial/rounds\n7\n " + ROOT64,
        b"trial/rounds\n7\n" + base64.b64encode(ROOT[:31]),
        b"trial/rounds\n7\n" + base64.b64encode(ROOT + b"x"),
        b"trial/rounds\n7\n" + ROOT64[:-2] + b"9=",
        b"trial/rounds\n7\n" + base64.urlsafe_b64encode(b"\xff" * 32),
        b"trial/rounds\n7\n" + ROOT64 + b"\nmore",
        b"trial/rounds\r\n7\r\n" + ROOT64 + b"\r",
        b"trial/\x07rounds\n7\n" + ROOT64,
        b"trial/\xff\n7\n" + ROOT64,
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused(text: bytes) -> None:
    with pytest.raises(VerificationFailed):
        read_checkpoint(text + b"\n\n" + LINE)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        TEXT + b"\n",
        TEXT + b"\n\n",
        TEXT + b"\n" + LINE,
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace("—".encode(), b"-"),
        NOTE.replace("— ".encode(), "—".encode()),
        NOTE.replace("— trial/rounds".encode(), "— trial+rounds".encode()),
        NOTE.replace("— trial/rounds".encode(), "— trial\u00a0rounds".encode()),
        NOTE.replace("— trial/rounds ".encode(), "—  ".encode()),
        TEXT + "\n\n— trial/rounds AAAA\n".encode(),
        TEXT + "\n\n— trial/rounds !!!!\n".encode(),
        NOTE[:-1] + b" \n",
        NOTE + b"junk\n",
        NOTE + b"\n\n" + LINE,
        b"x" * 1_000_001,
    ],
)
def test_a_note_that_is_malformed_is_refused(note: bytes) -> None:
    with pytest.raises(VerificationFailed):
        read_checkpoint(note)


def test_every_changed_bit_is_refused() -> None:
    for at in range(8 * len(NOTE)):
        changed = bytearray(NOTE)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(VerificationFailed):
            open_checkpoint(bytes(changed), ORIGIN, KEY.public)


def test_another_key_name_or_origin_is_refused() -> None:
    for note, origin, public in (
        (NOTE, ORIGIN, WITNESS.public),
        (NOTE, "trial/directory", KEY.public),
        (sign_checkpoint(STATE, "trial/directory", KEY), ORIGIN, KEY.public),
        (sign_checkpoint(STATE, ORIGIN, WITNESS), ORIGIN, KEY.public),
    ):
        with pytest.raises(VerificationFailed):
            open_checkpoint(note, origin, public)


def test_a_cosignature_holds_for_exactly_one_checkpoint() -> None:
    line = cosign(NOTE, "trial/a", WITNESS, 1_700_000_000)
    assert verify_cosignature(STATE, line, "trial/a", WITNESS.public) == 1_700_000_000
    for state in (
        Checkpoint(origin=ORIGIN, size=8, root=ROOT),
        Checkpoint(origin=ORIGIN, size=7, root=bytes(32)),
        Checkpoint(origin="trial/directory", size=7, root=ROOT),
    ):
        with pytest.raises(VerificationFailed):
            verify_cosignature(state, line, "trial/a", WITNESS.public)
    for name, public in (("trial/b", WITNESS.public), ("trial/a", KEY.public)):
        with pytest.raises(VerificationFailed):
            verify_cosignature(STATE, line, name, public)


def test_a_cosignature_signs_its_time() -> None:
    line = cosign(NOTE, "trial/a", WITNESS, 1_700_000_000)
    dash, name, packed = line.split(b" ")
    raw = bytearray(base64.b64decode(packed))
    raw[4 + 7] ^= 1
    with pytest.raises(VerificationFailed):
        verify_cosignature(STATE, b" ".join((dash, name, base64.b64encode(raw) + b"\n")), "trial/a", WITNESS.public)


def test_a_log_signature_is_no_cosignature() -> None:
    with pytest.raises(VerificationFailed):
        verify_cosignature(STATE, LINE, ORIGIN, KEY.public)
    with pytest.raises(VerificationFailed):
        open_checkpoint(TEXT + b"\n\n" + cosign(NOTE, ORIGIN, KEY, 1), ORIGIN, KEY.public)


def test_cosignatures_leave_the_checkpoint_readable() -> None:
    lines = tuple(cosign(NOTE, f"trial/{name}", WITNESS, 5) for name in "abc")
    note = add_cosignatures(NOTE, lines)
    assert open_checkpoint(note, ORIGIN, KEY.public) == STATE
    assert [name for name, _ in parse(note)[1]] == [ORIGIN, "trial/a", "trial/b", "trial/c"]
    assert cosign(note, "trial/a", WITNESS, 5) == lines[0]


@pytest.mark.parametrize("before", [b"junk\n\n", b"\n\n", "— trial/b AAAAAAAA\n".encode()])
def test_a_cosignature_is_one_line(before: bytes) -> None:
    """More than one line would change what the note says once it is appended to it."""
    line = cosign(NOTE, "trial/a", WITNESS, 5)
    for bad in (before + line, line + before, line + line, line[:-1]):
        with pytest.raises(VerificationFailed):
            verify_cosignature(STATE, bad, "trial/a", WITNESS.public)
