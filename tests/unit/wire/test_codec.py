"""The door for bytes: whatever arrives, a valid struct or a WireError, and nothing is read beyond a limit."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.errors import WireError
from secagg.ids import RoundId
from secagg.log.witness import LogProof
from secagg.protocol.manifest import Manifest
from secagg.vector.packing import Packing
from secagg.wire.chunks import ChunkHeader
from secagg.wire.codec import decode, encode
from secagg.wire.limits import (
    CHUNK,
    LIMIT_BULK,
    LIMIT_CONTROL,
    LIMIT_ENROL,
    LIMIT_HEADER,
    LIMIT_ROUTING,
    LIMIT_SPLIT,
)
from secagg.wire.signed import Scope, Signed

ROUND = RoundId(federation="trial", job="heart", round=3, attempt=1, group=0)
HEADER = ChunkHeader(round=ROUND, node="node-a", index=2, size=100, total=250, hash=b"h" * 32)
SIGNED = Signed(kind="chunk", sender="node-a", receiver="aggregator", body=encode(HEADER), signature=b"s" * 64)
PROOF = LogProof(index=1, checkpoint=b"note", inclusion=(b"a" * 32,), old_size=1, consistency=(b"b" * 32, b"c" * 32))
VALUES = [ROUND, HEADER, SIGNED, PROOF, Scope(round=ROUND, manifest=bytes(32)), Packing("3x21", 20, 7)]
KINDS = [*(type(value) for value in VALUES), Manifest, tuple[Signed, ...], int, str]


def attempt(kind: type[object], data: bytes) -> None:
    """Decode; any exception but WireError fails the test."""
    try:
        found = decode(kind, data)
    except WireError as error:
        assert error.cause  # noqa: PT017 - both outcomes are right
        return
    assert decode(kind, encode(found)) == found


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_struct_comes_back(value: object) -> None:
    assert decode(type(value), encode(value)) == value
    assert decode(type(value), memoryview(encode(value))) == value


@settings(max_examples=300)
@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_random_bytes(kind: type[object], data: bytes) -> None:
    attempt(kind, data)


@settings(max_examples=400)
@given(st.sampled_from(VALUES), st.data())
def test_mutated_messages(value: object, data: st.DataObject) -> None:
    raw = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        change = data.draw(st.sampled_from(["flip", "cut", "insert", "double"]))
        if change == "flip":
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "cut":
            del raw[at : at + data.draw(st.integers(1, 4))]
        elif change == "insert":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            raw[at:at] = raw[at : at + 16]
        if not raw:
            break
    attempt(type(value), bytes(raw))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_shorter_message_is_refused(value: object) -> None:
    raw = encode(value)
    for stop in range(len(raw)):
        with pytest.raises(WireError):
            decode(type(value), raw[:stop])
    with pytest.raises(WireError):
        decode(type(value), raw + b"\xc0")


def fields_of(value: object) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(value, builtin_types=(bytes,))
    return found


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("node", "Node"), ("node", ""), ("node", "a" * 65), ("node", "node-a\n"), ("node", b"node-a"), ("node", 1),
        ("index", -1), ("index", 2**24), ("index", 1.0), ("index", "1"), ("index", True), ("index", None),
        ("size", 0), ("size", 2**40), ("total", 0), ("hash", b"h" * 31), ("hash", b"h" * 33), ("hash", "h" * 32),
        ("round", None), ("round", {"federation": "trial"}), ("extra", 1),
    ],
)  # fmt: skip
def test_a_field_of_another_form_is_refused(name: str, bad: object) -> None:
    assert decode(ChunkHeader, encode(fields_of(HEADER))) == HEADER
    with pytest.raises(WireError):
        decode(ChunkHeader, encode({**fields_of(HEADER), name: bad}))


@pytest.mark.parametrize("name", ["round", "node", "index", "size", "total", "hash"])
def test_a_missing_field_is_refused(name: str) -> None:
    with pytest.raises(WireError):
        decode(ChunkHeader, encode({key: value for key, value in fields_of(HEADER).items() if key != name}))


@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * 5000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xa2\xff\xfe",
        b"\xc1",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xcf" + b"\xff" * 8,
    ],
    ids=["nested", "array", "map", "binary", "text", "not-utf8", "unused", "time", "highest"],
)
@pytest.mark.parametrize("kind", [Signed, Manifest, tuple[Signed, ...], str, RoundId])
def test_bytes_made_to_hurt(kind: type[object], data: bytes) -> None:
    with pytest.raises(WireError):
        decode(kind, data)


def test_nesting_in_what_takes_anything_is_refused() -> None:
    with pytest.raises(WireError):
        decode(list, b"\x91" * 60_000 + b"\xc0")


def test_a_limit_is_compared_before_decoding() -> None:
    raw = encode(b"x" * 100)
    assert decode(bytes, raw, limit=len(raw)) == b"x" * 100
    with pytest.raises(WireError, match=f"{len(raw)} bytes exceeds the limit of {len(raw) - 1}"):
        decode(bytes, raw, limit=len(raw) - 1)
    with pytest.raises(WireError, match="exceeds the limit of 65536"):
        decode(bytes, bytes(LIMIT_CONTROL + 1))


def test_an_error_never_shows_what_arrived() -> None:
    with pytest.raises(WireError) as caught:
        decode(RoundId, encode({**fields_of(ROUND), "job": "Sensitive-Value"}))
    assert "Sensitive" not in str(caught.value)
    assert caught.value.remedy


def test_limits_nest() -> None:
    assert LIMIT_ROUTING < LIMIT_HEADER < LIMIT_ENROL < LIMIT_SPLIT < LIMIT_CONTROL < CHUNK < LIMIT_BULK
    header = Signed(kind="chunk", sender="n" * 64, receiver="a" * 64, body=encode(HEADER), signature=bytes(64))
    assert len(encode(header)) <= LIMIT_HEADER
    assert 1_048_576 + LIMIT_HEADER <= LIMIT_BULK
