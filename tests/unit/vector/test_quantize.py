"""Quantising: the error is below one step, exactly; what does not fit is counted; NaN is named."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.crypto.rng import Rng
from secagg.errors import BadInput
from secagg.vector.quantize import Quantizer, decode_sum, encode

Array = Any


def keyed(seed: int) -> Rng:
    return lambda count: seed.to_bytes(count, "big")


def exact(codes: Array, quantizer: Quantizer) -> list[Fraction]:
    """Return the values that codes stand for, as fractions."""
    return [Fraction(int(code) - 2 ** (quantizer.bits - 1)) / Fraction(quantizer.scale) for code in codes]


@pytest.mark.parametrize(
    ("bits", "clip", "scale"),
    [(16, 1.0, 2.0**15), (16, 0.9, 2.0**15), (16, 1.1, 2.0**14), (16, 4.0, 2.0**13), (8, 0.001, 2.0**16),
     (32, 3e5, 2.0**12)],
)  # fmt: skip
def test_the_scale_is_the_power_of_two_below(bits: int, clip: float, scale: float) -> None:
    assert Quantizer(bits=bits, clip=clip).scale == scale


@settings(max_examples=150)
@given(st.integers(2, 32), st.integers(-20, 20), st.data())
def test_the_error_is_below_one_step(bits: int, exponent: int, data: st.DataObject) -> None:
    quantizer = Quantizer(bits=bits, clip=2.0**exponent)
    inside = quantizer.clip * (1 - 2.0 ** (1 - bits))
    values = np.array(data.draw(st.lists(st.floats(-inside, inside), min_size=1, max_size=20)))
    codes, saturated = encode(values, quantizer, keyed(data.draw(st.integers(0, 1000))))
    assert saturated == 0
    step = 1 / Fraction(quantizer.scale)
    for value, found in zip(values, exact(codes, quantizer), strict=True):
        assert abs(found - Fraction(float(value))) < step


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_a_whole_number_of_steps_is_kept_exactly(bits: int) -> None:
    """Also near the ends of 32 bits, where x·S + u has more bits than a float64 holds.

    The generator of this seed draws a u within 2^-24 of 1 among its first 65,536.
    """
    quantizer = Quantizer(bits=bits, clip=1.0)
    half = 2 ** (bits - 1)
    for step in (-half, 1 - half, -1, 0, 1, half - 2, half - 1):
        codes, saturated = encode(np.full(65_536, step / quantizer.scale), quantizer, keyed(102))
        assert saturated == 0
        assert set(codes.tolist()) == {step + half}


def test_rounding_is_unbiased() -> None:
    quantizer = Quantizer(bits=16, clip=1.0)
    for part in (0.1, 0.25, 0.5, 0.9):
        values = np.full(200_000, (7 + part) / quantizer.scale)
        codes, _ = encode(values, quantizer, keyed(9))
        assert set(codes.tolist()) == {2**15 + 7, 2**15 + 8}
        # Six standard deviations of a Bernoulli mean over 200,000 draws.
        mean = float(np.mean(codes.astype(np.float64))) - 2**15 - 7
        assert abs(mean - part) < 6 * (part * (1 - part) / 200_000) ** 0.5


def test_what_does_not_fit_saturates_and_is_counted() -> None:
    quantizer = Quantizer(bits=8, clip=1.0)
    values = np.array([-1e300, -1.5, -1.0, 0.0, 127 / 128, 1.0, 2.0, 1e300, 1.7e308])
    codes, saturated = encode(values, quantizer, keyed(1))
    assert codes.tolist() == [0, 0, 0, 128, 255, 255, 255, 255, 255]
    assert saturated == 6


def test_saturation_is_counted_over_all_blocks() -> None:
    values = np.zeros(3 * 65_536 + 7)
    values[[0, 65_535, 65_536, 3 * 65_536 + 6]] = 5.0
    codes, saturated = encode(values, Quantizer(bits=12, clip=1.0), keyed(1))
    assert saturated == 4
    assert np.flatnonzero(codes == 4095).tolist() == [0, 65_535, 65_536, 3 * 65_536 + 6]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("index", [0, 65_535, 65_536, 100_000])
def test_the_first_value_that_is_no_number_is_named(bad: float, index: int) -> None:
    values = np.zeros(100_002, dtype=np.float32)
    values[index] = bad
    values[100_001] = np.nan
    with pytest.raises(BadInput, match=rf"holds {bad} at index {index}\."):
        encode(values, Quantizer(bits=16, clip=1.0), keyed(1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_float_types_are_taken_and_left_alone(dtype: Any) -> None:
    values = np.linspace(-1, 1, 1001).astype(dtype)
    before = values.copy()
    codes, _ = encode(values, Quantizer(bits=20, clip=2.0), keyed(3))
    assert codes.dtype == np.uint64
    assert np.array_equal(values, before)


def test_the_rounding_depends_on_the_generator_only() -> None:
    values, quantizer = np.linspace(-0.9, 0.9, 5000), Quantizer(bits=10, clip=1.0)
    one, again, other = (encode(values, quantizer, keyed(seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_nothing_gives_nothing() -> None:
    codes, saturated = encode(np.zeros(0), Quantizer(bits=16, clip=1.0), keyed(1))
    assert (codes.size, saturated) == (0, 0)


@pytest.mark.parametrize("nodes", [1, 3, 50])
def test_the_sum_of_codes_is_the_sum_of_values(nodes: int) -> None:
    quantizer = Quantizer(bits=16, clip=1.0)
    values = np.linspace(-0.9, 0.9, 100)
    made = [encode(values * (1 + seed) / nodes, quantizer, keyed(seed))[0] for seed in range(nodes)]
    total: Array = np.sum(made, axis=0, dtype=np.uint64)
    wanted = [sum(column) for column in zip(*(exact(codes, quantizer) for codes in made), strict=True)]
    assert [Fraction(float(value)) for value in decode_sum(total, nodes, quantizer)] == wanted


def test_sums_at_the_ends_decode_exactly() -> None:
    quantizer = Quantizer(bits=32, clip=1.0)
    ends = np.array([0, 1000 * (2**32 - 1)], dtype=np.uint64)
    assert decode_sum(ends, 1000, quantizer).tolist() == [-1000.0, 1000.0 - 1000 / 2**31]
