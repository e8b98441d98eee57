"""The comparison is fair: everybody sums the same numbers, exactly where they can, and who is missing is said to be."""

import importlib.util
import sys

import numpy as np
import pytest

from secagg.bench import rivals

CODES = np.arange(9_000, dtype=np.uint64) * np.uint64(7)
PACKAGES = ("paillier", "tenseal")


def test_who_is_not_installed_is_named_and_nobody_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    found = rivals.rivals(CODES, 2048, 20)
    assert [one.name for one in found] == ["pypaillier", "pypaillier, packed", "TenSEAL BFV", "TenSEAL CKKS"]
    notes = [f"{package} is not installed" for package in ("paillier", "paillier", "tenseal", "tenseal")]
    assert [one.note for one in found] == notes
    assert all(one.encrypt_us == 0 for one in found)


@pytest.mark.skipif(importlib.util.find_spec("tenseal") is None, reason="the extra `compare` is not installed")
def test_tenseal_sums_the_same_numbers() -> None:
    exact, rounded = rivals.rivals(CODES, 2048, 20)[2:]
    assert exact.exact
    assert rounded.note.startswith("approximate")
    for one in (exact, rounded):
        assert min(one.encrypt_us, one.add_us, one.decrypt_us) > 0
        assert one.bytes_per_param > 10
