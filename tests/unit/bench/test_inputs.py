"""What measured rounds are fed with: values that fill their range, whatever the length, and the machine's own speed."""

import numpy as np
import pytest

from secagg.bench.inputs import AesRate, additions, update_of
from support.federation import counted_rng


@pytest.mark.parametrize("count", [1, 65_535, 65_536, 65_537, 200_001])
def test_an_update_is_uniform_between_minus_one_and_one(count: int) -> None:
    update = update_of(count, counted_rng(b"update"))
    assert update.shape == (count,)
    assert update.dtype == np.float32
    assert float(np.abs(update).max()) <= 1
    if count > 60_000:
        assert abs(float(update.mean())) < 0.02
        assert abs(float(update.std()) - 3**-0.5) < 0.02
        assert len(np.unique(update)) > 0.98 * count


def test_the_same_generator_gives_the_same_update_and_another_one_another() -> None:
    one, same = (update_of(1000, counted_rng(b"one")) for _ in range(2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, update_of(1000, counted_rng(b"two")))


def test_more_additions_take_longer_and_leave_the_words_alone() -> None:
    words = np.arange(1_000_000, dtype=np.uint32)
    few, many = (min(additions(words, count) for _ in range(3)) for count in (4, 40))
    assert 0 < few < many
    assert np.array_equal(words, np.arange(1_000_000, dtype=np.uint32))


def test_the_aes_rate_is_that_of_hardware() -> None:
    """From 0.1 GB/s of software to what no core does."""
    limit = AesRate()
    limit.sample()
    assert 1e8 < limit.rate < 1e11
