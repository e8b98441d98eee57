"""Write fedavg.json: server steps computed value by value with Python's own floats, no numpy. `--check` compares only.

A float32 is written as the hexadecimal of its four bytes, big-endian, a float64 as `float.hex()`.
"""

import hashlib
import json
import struct
import sys
from fractions import Fraction
from pathlib import Path

TARGET = Path(__file__).with_name("fedavg.json")
WEIGHT_BOUND = 212


def drawn(label: str, count: int, spread: float) -> list[float]:
    """Return float64 values in ±spread that follow from the label."""
    digests = [hashlib.sha256(f"{label}/{i}".encode()).digest() for i in range(count)]
    return [(int.from_bytes(digest[:7], "big") / 2**55 - 1) * spread for digest in digests]


def nearest32(value: float) -> bytes:
    """Return the float32 nearest to a float64, as four bytes."""
    return struct.pack(">f", value)


def case(label: str, size: int, examples: int) -> dict[str, object]:
    """Return one server step: model (float32), sum of weighted updates (float64), Σ n_k, and the next model."""
    model = [nearest32(value) for value in drawn(f"{label}/model", size, 3.0)]
    total = drawn(f"{label}/total", size, 1.5)
    # The factor is rounded once to float64, as the division of two floats rounds it.
    factor = float(Fraction(WEIGHT_BOUND, examples))
    following = [
        nearest32(struct.unpack(">f", old)[0] + value * factor) for old, value in zip(model, total, strict=True)
    ]
    return {
        "label": label,
        "weight_bound": WEIGHT_BOUND,
        "examples": examples,
        "model": [value.hex() for value in model],
        "total": [value.hex() for value in total],
        "next": [value.hex() for value in following],
    }


def vectors() -> str:
    """Return the file's text."""
    cases = [case("heart", 140, 640), case("one", 1, 1), case("odd", 33, 7919)]
    return json.dumps({"cases": cases}, indent=1) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(TARGET.read_text() != vectors())
    TARGET.write_text(vectors())
