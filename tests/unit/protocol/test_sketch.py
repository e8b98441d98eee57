"""A sketch tells two updates apart as well as the updates themselves do, and says nothing without its key."""

import numpy as np
import pytest

from secagg.crypto.secret import Secret
from secagg.protocol.sketch import COUNTERS, decode, encode, sine, sketch

KEY = Secret(bytes(range(32)))
DRAWN = np.random.Generator(np.random.Philox(7))


def drawn(size: int) -> np.ndarray:
    return DRAWN.standard_normal(size).astype(np.float32)


@pytest.mark.parametrize("size", [1, 15, 1_000, 131_072, 131_073, 400_001])
def test_it_is_what_a_plain_loop_makes_of_it(size: int) -> None:
    from secagg.crypto.prg import add

    update, words = drawn(size), np.zeros(-(-size // 8) * 8 // 4, dtype=np.uint64)
    add(words, KEY)
    places = words.view(np.uint16)[:size]
    wanted = np.zeros(COUNTERS)
    signs = np.where(places & 1_024, -1.0, 1.0)
    np.add.at(wanted, places & 1_023, signs * update)
    assert np.allclose(sketch(update, KEY), wanted, atol=1e-9)


@pytest.mark.parametrize("size", [100, 10_000, 300_000])
@pytest.mark.parametrize("change", [1e-6, 1e-4, 1 / 256, 1e-2])
def test_a_small_change_is_seen_as_large_as_it_is(size: int, change: float) -> None:
    update = drawn(size).astype(np.float64)
    away = drawn(size).astype(np.float64)
    away -= (away @ update) / (update @ update) * update
    other = update + change * np.linalg.norm(update) / np.linalg.norm(away) * away
    found = sine(sketch(update, KEY), sketch(other, KEY))
    assert 0.85 * change < found < 1.15 * change


def test_sign_and_length_do_not_count_and_strangers_are_far() -> None:
    update, other = sketch(drawn(50_000), KEY), sketch(drawn(50_000), KEY)
    assert sine(update, -3.0 * update) < 1e-12
    assert sine(update, other) > 0.9


def test_two_zero_updates_are_one_and_a_zero_is_far_from_all_others() -> None:
    zero, update = sketch(np.zeros(100, dtype=np.float32), KEY), sketch(drawn(100), KEY)
    assert sine(zero, zero) == 0.0
    assert sine(zero, update) == sine(update, zero) == 1.0


def test_another_key_makes_another_sketch() -> None:
    update = drawn(10_000)
    assert sine(sketch(update, KEY), sketch(update, Secret(bytes(32)))) > 0.9


def test_it_keeps_every_digit() -> None:
    found = sketch(drawn(3_000), KEY)
    assert len(encode(found)) == 8_192
    assert np.array_equal(decode(encode(found)), found)
