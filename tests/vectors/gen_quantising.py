"""Write quantising.json: codes by exact fractions with a given generator, and values of sums. `--check` compares.

A float is written as `float.hex()`; a float32 value is one that four bytes hold.
"""

import struct
from fractions import Fraction
from math import floor, log2

from vectors.plain.aes import key_stream
from vectors.plain.cohort import SCALARS, manifest
from vectors.plain.forms import drawn, msgpack
from vectors.plain.writing import Vectors, finish

SETTINGS = {"8 bits": (8, 1.0), "16 bits": (16, 1.0), "16 bits, clip 3/4": (16, 0.75), "20 bits": (20, 2.0**-6)}
NAN, INFINITY = float("nan"), float("inf")


def codes_of(values: list[float], bits: int, clip: float, key: bytes) -> tuple[list[int], int]:
    """Return floor(x·S + u) + 2^(b−1) clipped to b bits, and how many were clipped; u = stream word / 2^32."""
    scale = Fraction(2) ** floor(log2(2.0 ** (bits - 1) / clip))
    stream, codes, clipped = key_stream(key, 4 * len(values)), [], 0
    for at, value in enumerate(values):
        u = Fraction(int.from_bytes(stream[4 * at : 4 * at + 4], "little"), 2**32)
        code = floor(Fraction(value) * scale + u) + 2 ** (bits - 1)
        clipped += not 0 <= code < 2**bits
        codes.append(min(max(code, 0), 2**bits - 1))
    return codes, clipped


def values_of(label: str, count: int, spread: float) -> list[float]:
    """Return float32 values in ±spread that follow from the label."""
    drawn_values = [
        (int.from_bytes(drawn(f"{label}/{at}", 4), "big") / 2**31 - 1) * spread for at in range(count)
    ]
    return [float(struct.unpack(">f", struct.pack(">f", value))[0]) for value in drawn_values]


def quantised(to: Vectors) -> None:
    """Add values and their codes."""
    for name, (bits, clip) in SETTINGS.items():
        key = drawn(f"generator/{name}", 16)
        ends = [0.0, -0.0, clip, -clip, clip * 1.5, -clip * 1.5, 2.0**-40, clip / 2]
        values = [*ends, *values_of(name, 12, clip)]
        codes, clipped = codes_of(values, bits, clip, key)
        for dtype in ("float32", "float64"):
            given = {"bits": bits, "clip": clip, "dtype": dtype, "values": values, "generator": key}
            to.accept(f"{name}, {dtype}", "quantise", given, {"codes": codes, "saturated": clipped})
    key = drawn("generator/huge", 16)
    codes, clipped = codes_of([1e300, -1e300, 1.0], 16, 1.0, key)
    given = {"bits": 16, "clip": 1.0, "dtype": "float64", "values": [1e300, -1e300, 1.0], "generator": key}
    to.accept("far beyond the clip", "quantise", given, {"codes": codes, "saturated": clipped})


def not_finite(to: Vectors) -> None:
    """Add values that are no numbers."""
    for name, values in {
        "NaN first": [NAN, 0.0], "NaN last": [0.0, 1.0, NAN], "infinity": [0.0, INFINITY],
        "minus infinity": [-INFINITY],
    }.items():  # fmt: skip
        for dtype in ("float32", "float64"):
            given = {"bits": 16, "clip": 1.0, "dtype": dtype, "values": values, "generator": bytes(16)}
            to.refuse(f"{name}, {dtype}", "quantise", given, "BadInput")


def summed(to: Vectors) -> None:
    """Add sums of codes."""
    for bits, clip, contributors in ((16, 1.0, 4), (8, 1.0, 1), (20, 2.0**-6, 3)):
        scale = 2.0 ** floor(log2(2.0 ** (bits - 1) / clip))
        half = contributors * 2 ** (bits - 1)
        codes = [0, half, half + 1, half - 1, contributors * (2**bits - 1)]
        out = [float(Fraction(code - half) / Fraction(scale)) for code in codes]
        given = {"bits": bits, "clip": clip, "contributors": contributors, "codes": codes}
        to.accept(f"sum of {contributors} at {bits} bits", "decode-sum", given, out)


def training(to: Vectors) -> None:
    """Add a member's whole contribution: the update weighted by examples over W, with its scalars."""
    key, update = drawn("generator/training", 16), [0.5, -0.25, 0.125, 1.0, -1.0, 0.0, 0.75]
    given: dict[str, object] = {
        "update": update, "examples": 250, "metrics": {"loss": 0.5}, "generator": key,
    }  # fmt: skip
    codes, clipped = codes_of(update, 16, 1.0, key)
    slots = {"scalars": [1, 100, clipped, 2**23], "update": [1, *codes]}
    to.accept("contribution, weight capped at W", "contribution", given, slots)
    half = {**given, "examples": 50}
    codes, clipped = codes_of([entry / 2 for entry in update], 16, 1.0, key)
    slots = {"scalars": [1, 50, clipped, 2**23], "update": [1, *codes]}
    to.accept("contribution, half the weight", "contribution", half, slots)
    cases: dict[str, dict[str, object]] = {
        "one value too few": {"update": update[1:]}, "one value too many": {"update": [*update, 0.0]},
        "a metric is missing": {"metrics": {}}, "a metric is no number": {"metrics": {"loss": NAN}},
        "a metric is out of its range": {"metrics": {"loss": 2.0**17}},
        "a metric is infinite": {"metrics": {"loss": INFINITY}}, "the update holds NaN": {"update": [NAN, *update[1:]]},
    }  # fmt: skip
    for name, change in cases.items():
        to.refuse(name, "contribution", {**given, **change}, "BadInput")


def opened(to: Vectors) -> None:
    """Add clear sums of a round."""
    slots = {"scalars": [3, 250, 1, 2**24], "update": [3, *(3 * 2**15 + step for step in range(-3, 4))]}
    out = {
        "scalars": {"examples": 250.0, "saturated": 1.0, "loss": 1.0},
        "update": [step / 2**15 for step in range(-3, 4)],
    }
    given: dict[str, object] = {"slots": slots, "contributors": 3}
    to.accept("sums of three", "sums", given, out)
    assert len(SCALARS) == len(out["scalars"])
    cases: dict[str, dict[str, object]] = {
        "canary of scalars": {"slots": {**slots, "scalars": [4, *slots["scalars"][1:]]}},
        "canary of update": {"slots": {**slots, "update": [2, *slots["update"][1:]]}},
        "canary is nothing": {"slots": {**slots, "update": [0, *slots["update"][1:]]}},
        "another number of contributors": {"contributors": 4},
    }
    for name, change in cases.items():
        to.refuse(name, "sums", {**given, **change}, "ProtocolViolation", rule="lanes.canary")


def text() -> str:
    """Return the file's text."""
    to = Vectors(
        "Quantising with a given generator (the AES-128 key that it draws), sums of codes, and scalars.",
        manifest=msgpack(manifest()),
    )
    for add in (quantised, not_finite, summed, training, opened):
        add(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
