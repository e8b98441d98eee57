"""Masks on an array: the same words whatever the number of workers, and gone when applied with the other sign."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from secagg.crypto.secret import Secret
from secagg.protocol.lanes import LEAF_WORDS, Words
from secagg.protocol.masks.masking import WORKERS, Mask, apply

MASKS = tuple(Mask(Secret(bytes([number]) * 16), added=number % 2 == 0) for number in range(4))
INVERSE = tuple(Mask(mask.key, added=not mask.added) for mask in MASKS)


@pytest.mark.parametrize("count", [5, WORKERS * LEAF_WORDS - 1, WORKERS * LEAF_WORDS, 3 * LEAF_WORDS + 11, 100_003])
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_workers_change_nothing(count: int, dtype: type) -> None:
    clear: Words = np.arange(count, dtype=dtype)
    alone, shared = clear.copy(), clear.copy()
    apply(alone, MASKS, LEAF_WORDS)
    with ThreadPoolExecutor(WORKERS) as workers:
        apply(shared, MASKS, LEAF_WORDS, workers)
        assert np.array_equal(alone, shared)
        assert not np.array_equal(alone, clear)
        apply(shared, INVERSE, LEAF_WORDS, workers)
    assert np.array_equal(shared, clear)
