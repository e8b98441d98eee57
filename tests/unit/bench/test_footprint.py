"""The memory figure: what was allocated since the baseline, also when it is gone again, and nothing from before."""

from pathlib import Path

import numpy as np
import pytest

from secagg.bench.footprint import Footprint

SIZE = 64 * 2**20
LINUX = Path("/proc/self/clear_refs").exists()


@pytest.mark.skipif(not LINUX, reason="peak memory is the Linux kernel's figure")
def test_the_peak_holds_what_is_gone_again_and_nothing_from_before() -> None:
    before = np.ones(SIZE, dtype=np.uint8)
    first = Footprint()
    assert first.peak() < SIZE // 8
    during = np.ones(SIZE, dtype=np.uint8)
    del during
    # The kernel counts pages in batches: a percent is within its error.
    assert SIZE * 0.98 <= first.peak() < SIZE * 9 // 8
    assert first.whole() >= first.baseline + SIZE * 0.98
    second = Footprint()
    assert second.peak() < SIZE // 8
    assert second.baseline > SIZE
    assert before[-1] == 1
