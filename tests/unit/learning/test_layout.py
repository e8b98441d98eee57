"""A model is one vector in one order, and bytes that are no model are refused before anything is allocated."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from secagg.errors import BadInput
from secagg.learning.layout import (
    Arrays,
    Layout,
    Tensor,
    decode_model,
    encode_model,
    flatten,
    of_arrays,
    require_finite,
    require_same,
    unflatten,
)


def model() -> Arrays:
    return {
        "head.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "head.bias": np.array([7.5, -1.0], dtype=np.float32),
        "temperature": np.array(0.25, dtype=np.float32),
    }


def raw(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(shape: object = (1,), offsets: object = (0, 4), dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_the_order_is_by_name_whatever_the_dictionary() -> None:
    arrays = model()
    backwards = dict(reversed(arrays.items()))
    assert [tensor.name for tensor in of_arrays(arrays).tensors] == ["head.bias", "head.weight", "temperature"]
    assert of_arrays(backwards) == of_arrays(arrays)
    assert flatten(backwards, of_arrays(arrays)).tolist() == [7.5, -1, 0, 1, 2, 3, 4, 5, 0.25]


def test_flatten_and_back_is_exact() -> None:
    arrays, layout = model(), of_arrays(model())
    back = unflatten(flatten(arrays, layout), layout)
    assert layout.size == 9
    assert {name: (value.tobytes(), value.shape, value.dtype) for name, value in back.items()} == {
        name: (value.tobytes(), value.shape, value.dtype) for name, value in arrays.items()
    }


def test_one_float64_tensor_makes_the_vector_float64() -> None:
    arrays: Arrays = {"a": np.array([0.1], dtype=np.float32), "b": np.array([0.1], dtype=np.float64)}
    layout = of_arrays(arrays)
    vector = flatten(arrays, layout)
    assert vector.dtype == np.float64
    assert vector.tolist() == [float(np.float32(0.1)), 0.1]
    assert unflatten(vector, layout)["a"].dtype == np.float32


def test_the_vector_is_a_copy() -> None:
    arrays: Arrays = {"a": np.zeros(3, dtype=np.float32)}
    flatten(arrays, of_arrays(arrays))[0] = 1
    unflatten(arrays["a"], of_arrays(arrays))["a"][0] = 1
    assert arrays["a"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head.bias": np.zeros(3, dtype=np.float32)}, ["head.bias", "float32 (3,) here", "float32 (2,)"]),
        ({"head.bias": np.zeros(2, dtype=np.float64)}, ["head.bias", "float64 (2,) here", "float32 (2,)"]),
        ({"extra": np.zeros(2, dtype=np.float32)}, ["extra", "no such tensor"]),
        ({"head.bias": None}, ["head.bias is missing"]),
    ],
)
def test_another_shape_is_refused_by_name(change: Arrays, words: list[str]) -> None:
    other = {name: value for name, value in (model() | change).items() if value is not None}
    with pytest.raises(BadInput) as caught:
        flatten(other, of_arrays(model()))
    assert all(word in caught.value.cause for word in words)
    assert caught.value.remedy


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(BadInput, match=r"\(8,\).*\(9,\)"):
        unflatten(np.zeros(8), of_arrays(model()))


def test_integers_and_an_empty_model_cannot_be_averaged() -> None:
    with pytest.raises(BadInput, match="counter has dtype int64"):
        of_arrays({"counter": np.zeros(1, dtype=np.int64)})
    with pytest.raises(BadInput, match="no tensor"):
        of_arrays({})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_found_by_tensor(value: float) -> None:
    layout = of_arrays(model())
    vector = flatten(model(), layout)
    require_finite(vector, layout, "update")
    vector[2] = value
    with pytest.raises(BadInput, match=r"update is not finite: 1 values, the first in tensor head\.weight"):
        require_finite(vector, layout, "update")


def test_locate_covers_every_position() -> None:
    layout = of_arrays(model())
    assert [layout.locate(i) for i in range(9)] == ["head.bias"] * 2 + ["head.weight"] * 6 + ["temperature"]
    with pytest.raises(IndexError):
        layout.locate(9)


def test_our_files_are_safetensors_and_theirs_are_ours() -> None:
    arrays = model()
    theirs = load(encode_model(arrays))
    ours = decode_model(save(dict(arrays), metadata={"by": "hand"}), of_arrays(arrays))
    for found in (theirs, ours):
        assert {name: value.tobytes() for name, value in found.items()} == {n: v.tobytes() for n, v in arrays.items()}


def test_an_array_out_of_order_in_memory_is_written_by_its_values() -> None:
    square = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert decode_model(encode_model({"a": square.T}))["a"].tolist() == square.T.tolist()


def test_empty_tensors_keep_their_shape() -> None:
    arrays: Arrays = {"a": np.zeros((0, 3), dtype=np.float32), "b": np.ones(2, dtype=np.float64)}
    back = decode_model(encode_model(arrays))
    assert back["a"].shape == (0, 3)
    assert back["b"].tolist() == [1, 1]


def test_decoded_arrays_can_be_changed() -> None:
    arrays = decode_model(encode_model(model()))
    arrays["head.bias"][0] = 1
    assert arrays["head.bias"].flags.owndata or arrays["head.bias"].base is not None


def test_a_file_of_another_layout_is_refused_by_name() -> None:
    wanted = Layout((Tensor("head.bias", (2,), "float32"),))
    with pytest.raises(BadInput, match=r"head\.weight"):
        decode_model(encode_model(model()), wanted)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 8,
        (2**40).to_bytes(8, "little") + b"{}",
        raw([1, 2]),
        raw({}),
        raw({"__metadata__": {"a": "b"}}),
        raw({"a": 3}),
        raw({"": entry()}, bytes(4)),
        raw({"a": entry(dtype="I64", offsets=(0, 8))}, bytes(8)),
        raw({"a": entry(shape=(-1,))}, bytes(4)),
        raw({"a": entry(shape=(1.0,))}, bytes(4)),
        raw({"a": entry(shape=(True,))}, bytes(4)),
        raw({"a": entry(shape=(1,) * 9)}, bytes(4)),
        raw({"a": entry(shape=(2**31, 2**31, 2**31), offsets=(0, 4))}, bytes(4)),
        raw({"a": entry(offsets=(0, 8))}, bytes(8)),
        raw({"a": entry(offsets=(4, 8))}, bytes(8)),
        raw({"a": entry(), "b": entry()}, bytes(4)),
        raw({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)),
        raw({"a": entry()}, bytes(3)),
        raw({"a": entry()}, bytes(5)),
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
        (60_000).to_bytes(8, "little") + b"[" * 60_000,
    ],
)
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="not a model"):
        decode_model(data)


def test_every_cut_of_a_model_is_refused() -> None:
    data = encode_model(model())
    for length in range(len(data)):
        with pytest.raises(BadInput):
            decode_model(data[:length])


def test_same_layouts_are_accepted() -> None:
    require_same(of_arrays(model()), of_arrays(model()))
