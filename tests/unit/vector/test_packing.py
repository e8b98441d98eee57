"""Packing: the extremes of every layout, summed as words, equal the sums of integers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.crypto.prg import add, subtract
from secagg.errors import BadInput, WireError
from secagg.vector.packing import LAYOUTS, Packing, cheapest, slot_bits
from secagg.vector.ring import add_into, subtract_into
from secagg.wire.codec import decode, encode

Array = Any
CASES = [  # layout, bits of a value, the most nodes whose sum fits its slot
    ("3x21", 16, 32), ("3x21", 20, 2), ("3x21", 12, 512), ("3x21", 21, 1),
    ("3bytes", 16, 256), ("3bytes", 20, 16), ("3bytes", 23, 2),
    ("lane32", 16, 65_536), ("lane32", 24, 256), ("lane32", 31, 2), ("lane32", 32, 1),
]  # fmt: skip
COUNTS = (1, 2, 3, 4, 7, 300)


def codes(kind: str, top: int, count: int) -> Array:
    """Return `count` codes: all 0, all the highest, or the two in turn, so that a carry would be seen next door."""
    highest = np.full(count, top, dtype=np.uint64)
    return {"low": highest * np.uint64(0), "high": highest, "turns": highest * (np.arange(count) % 2 == 0)}[kind]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["low", "high", "turns"])
@pytest.mark.parametrize(("layout", "bits", "most"), CASES)
def test_sums_of_the_most_nodes_equal_the_integers(layout: str, bits: int, most: int, kind: str, count: int) -> None:
    packing = Packing(layout=layout, slot_bits=slot_bits(bits, most), count=count)
    slots = codes(kind, 2**bits - 1, count)
    words = packing.pack(slots)
    total = np.zeros_like(words)
    nodes = min(most, 600)
    for _ in range(nodes):
        add_into(total, packing.from_wire(packing.to_wire(words)))
    total += words * np.asarray(most - nodes, dtype=words.dtype)  # the rest at once, modulo the word as well
    assert packing.unpack(total).tolist() == [most * int(slot) for slot in slots]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_that_cancel_leave_the_sum(layout: str) -> None:
    packing = Packing(layout=layout, slot_bits=20 if layout != "lane64" else 64, count=1000)
    slots = np.arange(1000, dtype=np.uint64 if layout != "lane64" else np.int64)
    one, other = packing.pack(slots), packing.pack(slots)
    add(one, b"k" * 16)
    subtract(other, b"k" * 16)
    packing.reduce(one)
    packing.reduce(other)
    total = packing.from_wire(packing.to_wire(one))
    add_into(total, packing.from_wire(packing.to_wire(other)))
    assert packing.unpack(total).tolist() == [2 * slot for slot in range(1000)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_adding_a_wire_form_is_adding_its_words(layout: str, count: int) -> None:
    """Random words on both sides: whatever a neighbour leaves in a lane carries into none."""
    packing = Packing(layout=layout, slot_bits=64 if layout == "lane64" else 21, count=count)
    total, added = np.zeros((2, packing.words), dtype=packing.dtype)
    for seed in range(8):
        words = np.zeros(packing.words, dtype=packing.dtype)
        add(words, bytes([seed]) * 16)
        data = packing.to_wire(words)
        packing.add_wire(memoryview(data), total)
        add_into(added, packing.from_wire(data))
    packing.reduce(total)
    packing.reduce(added)
    assert total.tolist() == added.tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", [-1, 1])
def test_adding_a_wire_form_of_another_length_changes_nothing(layout: str, change: int) -> None:
    packing = Packing(layout=layout, slot_bits=64 if layout == "lane64" else 21, count=10)
    total = np.zeros(packing.words, dtype=packing.dtype)
    with pytest.raises(WireError):
        packing.add_wire(b"\xff" * (packing.wire_bytes + change), total)
    assert not total.any()


def test_lane64_is_twos_complement() -> None:
    packing = Packing(layout="lane64", slot_bits=64, count=4)
    values = np.array([-(2**63), -1, 0, 2**63 - 1], dtype=np.int64)
    words = packing.pack(values)
    assert packing.unpack(words).tolist() == values.tolist()
    assert packing.to_wire(words) == values.astype("<i8").tobytes()
    total = packing.pack(np.array([-5, -5, 5, 7], dtype=np.int64))
    add_into(total, packing.pack(np.array([3, -3, -9, 0], dtype=np.int64)))
    assert packing.unpack(total).tolist() == [-2, -8, -4, 7]


@pytest.mark.parametrize(
    ("layout", "words", "wire"), [("3x21", 3, 24), ("3bytes", 7, 21), ("lane32", 7, 28), ("lane64", 7, 56)]
)
def test_sizes(layout: str, words: int, wire: int) -> None:
    packing = Packing(layout=layout, slot_bits=20, count=7)
    assert (packing.words, packing.wire_bytes) == (words, wire)
    slots = np.arange(7, dtype=np.uint64).astype(np.int64 if layout == "lane64" else np.uint64)
    made = packing.pack(slots)
    assert made.dtype == packing.dtype
    assert (made.shape, len(packing.to_wire(made))) == ((words,), wire)


def test_the_wire_is_little_endian() -> None:
    slots = np.array([1, 2, 3, 0x1F_FFFF], dtype=np.uint64)
    wide = Packing(layout="3x21", slot_bits=21, count=4)
    assert wide.to_wire(wide.pack(slots)) == (1 | 2 << 21 | 3 << 42).to_bytes(8, "little") + b"\xff\xff\x1f" + bytes(5)
    narrow = Packing(layout="3bytes", slot_bits=24, count=4)
    assert narrow.to_wire(narrow.pack(slots)) == b"\1\0\0\2\0\0\3\0\0\xff\xff\x1f"


@settings(max_examples=40)
@given(st.sampled_from(["3x21", "3bytes", "lane32"]), st.data())
def test_drawn_slots_come_back(layout: str, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, {"3x21": 21, "3bytes": 24, "lane32": 32}[layout]))
    slots = data.draw(st.lists(st.integers(0, 2**width - 1), min_size=1, max_size=40))
    packing = Packing(layout=layout, slot_bits=width, count=len(slots))
    words = packing.pack(np.array(slots, dtype=np.uint64))
    assert packing.unpack(packing.from_wire(packing.to_wire(words))).tolist() == slots


@pytest.mark.parametrize("layout", ["3x21", "3bytes", "lane32"])
@pytest.mark.parametrize("bad", [2**20, 2**40, -1])
def test_a_value_outside_its_slot_is_refused(layout: str, bad: int) -> None:
    packing = Packing(layout=layout, slot_bits=20, count=4)
    with pytest.raises(BadInput, match="does not fit its slot of 20 bits"):
        packing.pack(np.array([0, 1, bad, 2], dtype=np.int64))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_shape_is_refused(layout: str) -> None:
    packing = Packing(layout=layout, slot_bits=20, count=6)
    with pytest.raises(BadInput):
        packing.pack(np.zeros(5, dtype=np.int64))
    with pytest.raises(BadInput):
        packing.pack(np.zeros((2, 3), dtype=np.int64))
    wrong = np.uint32 if packing.dtype is np.uint64 else np.uint64
    bad: list[Array] = [np.zeros(packing.words + 1, dtype=packing.dtype), np.zeros(packing.words, dtype=wrong)]
    for words in bad:
        with pytest.raises(BadInput):
            packing.unpack(words)
        with pytest.raises(BadInput):
            packing.to_wire(words)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_a_wire_form_of_another_length_is_refused(layout: str, change: int) -> None:
    packing = Packing(layout=layout, slot_bits=20, count=6)
    with pytest.raises(WireError, match="bytes, not"):
        packing.from_wire(bytes(packing.wire_bytes + change))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_words_from_the_wire_are_our_own(layout: str) -> None:
    packing = Packing(layout=layout, slot_bits=20, count=6)
    data = bytes(packing.wire_bytes)
    words = packing.from_wire(memoryview(data))
    words += np.asarray(1, dtype=words.dtype)
    assert data == bytes(packing.wire_bytes)


@pytest.mark.parametrize(
    ("bits", "most", "wanted"), [(16, 1, 16), (16, 2, 17), (16, 3, 18), (16, 32, 21), (16, 33, 22), (20, 10, 24)]
)
def test_slot_bits_leave_room_for_the_sum(bits: int, most: int, wanted: int) -> None:
    assert slot_bits(bits, most) == wanted
    assert most * (2**bits - 1) < 2**wanted


@pytest.mark.parametrize(
    ("width", "layout"),
    [(1, "3x21"), (21, "3x21"), (22, "3bytes"), (24, "3bytes"), (25, "lane32"), (32, "lane32")],
)
def test_cheapest(width: int, layout: str) -> None:
    assert cheapest(width) == layout


def test_nothing_holds_33_bits() -> None:
    with pytest.raises(BadInput, match="33 bits fits no word"):
        cheapest(33)


@pytest.mark.parametrize(
    ("layout", "width", "count"),
    [("3x21", 22, 5), ("3bytes", 25, 5), ("lane32", 33, 5), ("lane64", 65, 5), ("lane16", 8, 5), ("", 8, 5),
     ("3x21", 0, 5), ("3x21", -1, 5), ("3x21", 8, 0), ("3x21", 8, -3)],
)  # fmt: skip
def test_a_packing_that_cannot_be_is_refused(layout: str, width: int, count: int) -> None:
    with pytest.raises(ValueError, match="are no packing"):
        Packing(layout=layout, slot_bits=width, count=count)
    good = {"layout": layout, "slot_bits": width, "count": count}
    with pytest.raises(WireError):
        decode(Packing, encode(good))


@pytest.mark.parametrize("change", [add_into, subtract_into])
def test_sums_join_equal_shapes_only(change: Any) -> None:
    total = np.zeros(4, dtype=np.uint64)
    for words in (np.zeros(5, dtype=np.uint64), np.zeros(4, dtype=np.uint32), np.zeros((4, 1), dtype=np.uint64)):
        with pytest.raises(BadInput, match="cannot join a sum"):
            change(total, words)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_ring_arithmetic_wraps(dtype: Any) -> None:
    top = int(np.iinfo(dtype).max)
    total = np.array([top, 5, 0], dtype=dtype)
    words = np.array([2, top, top], dtype=dtype)
    add_into(total, words)
    assert total.tolist() == [1, 4, top]
    subtract_into(total, words)
    assert total.tolist() == [top, 5, 0]
