"""The mask generator: one stream per key, whatever the block, the offset or the array it is added to."""

import threading

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.crypto.prg import BLOCK, Keystream, Sums, Words, add, combine, subtract
from secagg.crypto.secret import Secret

KEY = bytes(range(16))
LONG = bytes(range(32))


def stream(key: bytes, length: int) -> bytes:
    """Return the key stream as the library gives it in one call."""
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(length))


def masks(key: bytes, count: int, dtype: type[np.unsignedinteger]) -> Words:
    return np.frombuffer(stream(key, count * np.dtype(dtype).itemsize), dtype=dtype)


@pytest.mark.parametrize("key", [KEY, LONG], ids=["aes128", "aes256"])
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("extra", [-1, 0, 1, 5])
def test_the_stream_goes_on_over_blocks(key: bytes, dtype: type[np.unsignedinteger], extra: int) -> None:
    count = 2 * BLOCK // np.dtype(dtype).itemsize + extra
    words = np.zeros(count, dtype=dtype)
    add(words, Secret(key))
    assert np.array_equal(words, masks(key, count, dtype))


@settings(max_examples=30)
@given(st.integers(0, 3 * BLOCK // 16), st.integers(0, 300), st.sampled_from([np.uint32, np.uint64]))
def test_any_part_is_the_same_as_in_the_whole(at: int, count: int, dtype: type[np.unsignedinteger]) -> None:
    size = np.dtype(dtype).itemsize
    part = np.zeros(count, dtype=dtype)
    add(part, KEY, 16 * at)
    assert part.tobytes() == stream(KEY, 16 * at + count * size)[16 * at :]


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_adding_wraps_and_subtracting_undoes_it(dtype: type[np.unsignedinteger]) -> None:
    words = np.full(1000, np.iinfo(dtype).max, dtype=dtype)
    add(words, KEY)
    modulus = 2 ** (8 * np.dtype(dtype).itemsize)
    wanted = [(int(mask) - 1) % modulus for mask in masks(KEY, 1000, dtype)]
    assert [int(word) for word in words] == wanted
    subtract(words, KEY)
    assert np.array_equal(words, np.full(1000, np.iinfo(dtype).max, dtype=dtype))


def test_two_keys_give_two_streams() -> None:
    one, other = np.zeros(64, dtype=np.uint64), np.zeros(64, dtype=np.uint64)
    add(one, KEY)
    add(other, KEY[::-1])
    assert not np.any(one == other)


@pytest.mark.parametrize("offset", [1, 8, 15, 17])
def test_an_offset_inside_a_cipher_block_is_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        add(np.zeros(4, dtype=np.uint64), KEY, offset)


def test_an_empty_array_stays_empty() -> None:
    words = np.zeros(0, dtype=np.uint32)
    add(words, KEY)
    assert words.size == 0


def test_threads_do_not_share_a_buffer() -> None:
    keys = [bytes([number]) * 16 for number in range(4)]
    arrays = [np.zeros(100_000, dtype=np.uint64) for _ in keys]
    threads = [threading.Thread(target=add, args=pair) for pair in zip(arrays, keys, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(array, masks(key, 100_000, np.uint64)) for array, key in zip(arrays, keys, strict=True))


def test_filling_writes_no_further_than_asked() -> None:
    out = np.full(64, 7, dtype=np.uint8)
    Keystream(KEY).fill(out.data, 20)
    assert out[:20].tobytes() == stream(KEY, 20)
    assert set(out[20:].tolist()) == {7}


@pytest.mark.parametrize("count", [1, 7, 40_000, 200_000])
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_many_streams_at_once_are_the_streams_one_by_one(count: int, dtype: type) -> None:
    keys = [(bytes([number]) * 16, number % 3 != 0) for number in range(5)]
    together: Words = np.arange(count, dtype=dtype)
    apart = together.copy()
    combine(together, keys, 64)
    for key, added in keys:
        (add if added else subtract)(apart, key, 64)
    assert np.array_equal(together, apart)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3 * BLOCK // 16), st.integers(0, 300)), min_size=1, max_size=6))
def test_streams_that_are_lent_again_stand_where_they_are_asked_for(parts: list[tuple[int, int]]) -> None:
    keys = [(KEY, True), (LONG, False)]
    lent = Sums(keys)
    for at, count in parts:
        found, wanted = np.zeros(count, dtype=np.uint32), np.zeros(count, dtype=np.uint32)
        with lent.at(16 * at) as streams:
            streams.combine(found)
        combine(wanted, keys, 16 * at)
        assert np.array_equal(found, wanted)


def test_streams_are_lent_to_one_at_a_time() -> None:
    lent = Sums([(KEY, True)])
    with lent.at(0) as one, lent.at(0) as other:
        assert one is not other
    with lent.at(0) as again:
        assert again in (one, other)


def test_streams_are_not_lent_at_half_a_block() -> None:
    lent = Sums([(KEY, True)])
    with lent.at(0):
        pass
    with pytest.raises(ValueError, match="multiple of 16"), lent.at(8):
        pass
