"""Two models share a digest only when they are the same model."""

import hashlib
import struct

import numpy as np
import pytest

from secagg.learning.digest import architecture_digest, model_digest
from secagg.learning.layout import Arrays, decode_model, encode_model, of_arrays


def model() -> Arrays:
    return {"b": np.array([[1.0, 2.0]], dtype=np.float32), "a": np.array([3.0], dtype=np.float64)}


def field(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def test_the_digest_is_the_one_written_down() -> None:
    a, b = field(b"a", b"float64", b"1", b"1"), field(b"b", b"float32", b"2", b"1", b"2")
    values = struct.pack("<d", 3.0), struct.pack("<ff", 1.0, 2.0)
    wanted = field(b"secagg/v1/model", b"2") + a + values[0] + b + values[1]
    assert model_digest(model()) == hashlib.sha256(wanted).digest()
    architecture = field(b"secagg/v1/architecture", b"2") + a + b
    assert architecture_digest(of_arrays(model())) == hashlib.sha256(architecture).digest()


def test_order_and_file_do_not_matter() -> None:
    assert model_digest(dict(reversed(model().items()))) == model_digest(model())
    assert model_digest(decode_model(encode_model(model()))) == model_digest(model())
    turned: Arrays = {**model(), "b": np.array([[1.0], [2.0]], dtype=np.float32).T}
    assert model_digest(turned) == model_digest(model())


@pytest.mark.parametrize(
    "other",
    [
        {"b": np.array([[1.0, np.nextafter(np.float32(2), np.float32(3))]], dtype=np.float32)},
        {"b": np.array([1.0, 2.0], dtype=np.float32)},
        {"b": np.array([[1.0, 2.0]], dtype=np.float64)},
        {"a": np.array([-3.0], dtype=np.float64)},
        {"c": np.array([3.0], dtype=np.float64)},
    ],
)
def test_every_difference_shows(other: Arrays) -> None:
    assert model_digest(model() | other) != model_digest(model())


def test_minus_zero_is_another_model() -> None:
    plus: Arrays = {"a": np.array([0.0], dtype=np.float32)}
    assert model_digest({"a": -plus["a"]}) != model_digest(plus)


def test_the_architecture_knows_no_values() -> None:
    doubled: Arrays = {name: value * 2 for name, value in model().items()}
    assert architecture_digest(of_arrays(doubled)) == architecture_digest(of_arrays(model()))
    renamed: Arrays = {"a": model()["a"], "c": model()["b"]}
    assert architecture_digest(of_arrays(renamed)) != architecture_digest(of_arrays(model()))
