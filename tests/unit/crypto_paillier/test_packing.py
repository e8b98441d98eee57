"""Slots: sums are exact for every number of summands and extreme values; what no honest sum is is refused."""

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from secagg.crypto.paillier.packing import WordLayout, pack_rows, unpack_rows
from secagg.errors import BadInput, ProtocolViolation
from support.paillier_keys import seeded


def drawn(layout: WordLayout, seed: str) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    raw = np.frombuffer(seeded(seed)(8 * layout.count), dtype=np.uint64)
    return raw >> np.uint64(64 - layout.value_bits)


@given(
    st.integers(40, 6200), st.integers(1, 40), st.integers(1, 2**24), st.integers(1, 700), st.integers(0, 2**32)
)  # fmt: skip
def test_slots_come_back_and_are_where_the_specification_says(
    capacity: int, bits: int, summands: int, count: int, seed: int
) -> None:
    if bits + (summands - 1).bit_length() > min(64, capacity):
        with pytest.raises(ValueError, match=r"slot|layout"):
            WordLayout(capacity, bits, summands, count)
        return
    layout = WordLayout(capacity, bits, summands, count)
    codes = drawn(layout, str(seed))
    words = layout.pack(codes)
    assert len(words) == layout.words
    assert max(words).bit_length() <= capacity
    per = layout.per_word
    for index in {0, len(words) - 1}:
        part = codes[index * per : (index + 1) * per]
        assert words[index] == sum(int(code) << layout.slot_bits * at for at, code in enumerate(part))
    assert (layout.unpack(words, 1) == codes).all()


@pytest.mark.parametrize("summands", [1, 2, 3, 4, 5, 7, 8, 9, 10, 16, 17, 100, 1000])
@pytest.mark.parametrize("bits", [1, 2, 8, 16, 21, 32])
def test_extreme_sums_are_exact_for_every_number_of_summands(summands: int, bits: int) -> None:
    layout = WordLayout(2047, bits, summands, 211)
    top = np.full(211, (1 << bits) - 1, dtype=np.uint64)
    zero = np.zeros(211, dtype=np.uint64)
    mixed = np.where(np.arange(211) % 2 == 0, top, zero)
    for codes in (top, zero, mixed):
        words = layout.pack(codes)
        for contributors in {1, summands // 2 or 1, summands}:
            total = [word * contributors for word in words]
            assert (layout.unpack(total, contributors) == codes * np.uint64(contributors)).all()


def test_counts_of_the_specification() -> None:
    """protocol §2: at 21 bits 97 (2048) and 146 (3072) at s = 1, 194 at 2048 and s = 2."""
    assert [WordLayout(capacity, 17, 16, 1).per_word for capacity in (2047, 3071, 4094)] == [97, 146, 194]
    assert WordLayout(2047, 16, 10, 10**5).per_word == 102


@pytest.mark.parametrize("codes", [(0, 256), (-1, 0), (0, 2**63 - 1), (2**16, 0)])
def test_a_code_that_does_not_fit_is_refused(codes: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="fit"):
        WordLayout(2047, 8, 3, 2).pack(np.array(codes))


@pytest.mark.parametrize("shape", [(3,), (1,), (0,), (2, 1)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="belong"):
        WordLayout(2047, 8, 3, 2).pack(np.zeros(shape, dtype=np.uint64))


LAYOUT = WordLayout(511, 8, 10, 100)
ONES = LAYOUT.pack(np.full(100, 255, dtype=np.uint64))


@pytest.mark.parametrize("contributors", [0, -1, 11, 2**40])
def test_more_summands_than_slots_have_room_for_are_refused(contributors: int) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        LAYOUT.unpack(ONES, contributors)
    assert caught.value.rule == "paillier.summands"


@pytest.mark.parametrize("at", [0, 1, 41, 42, 82, 99])
@pytest.mark.parametrize("excess", [1, 2, 1000])
def test_a_slot_above_its_bound_is_refused(at: int, excess: int) -> None:
    words = list(ONES)
    words[at // LAYOUT.per_word] += mpz(excess) << LAYOUT.slot_bits * (at % LAYOUT.per_word)
    with pytest.raises(ProtocolViolation) as caught:
        LAYOUT.unpack(words, 1)
    assert caught.value.rule == "paillier.slots"


def test_bits_above_the_last_slot_are_refused() -> None:
    assert LAYOUT.per_word == 42
    for index, slots in ((0, 42), (1, 42), (2, 16)):
        words = list(ONES)
        words[index] = mpz(1) << slots * LAYOUT.slot_bits
        with pytest.raises(ProtocolViolation) as caught:
            LAYOUT.unpack(words, 10)
        assert caught.value.rule == "paillier.slots"


def test_another_number_of_words_is_refused() -> None:
    with pytest.raises(BadInput):
        LAYOUT.unpack(ONES[:-1], 1)


@pytest.mark.parametrize("width", [1, 3, 8, 21, 32, 33, 63, 64])
def test_rows_pack_and_unpack(width: int) -> None:
    slots = np.frombuffer(seeded("rows")(8 * 77 * 3), dtype=np.uint64).reshape(3, 77) >> np.uint64(64 - width)
    assert (unpack_rows(pack_rows(slots, width), width, 77) == slots).all()
