"""A model's tensors as one vector and back: the order, shapes and dtypes that everybody in a job agrees on.

Rules: tensors are ordered by name, whatever order a state dict had. Only float32 and float64 travel. A layout that does
not fit is refused by the name of the tensor. A model at rest or on the wire is safetensors, and its header is checked
against limits before anything is allocated for it.
Leaves to others: digests (secagg.learning.digest), which tensors of a torch module travel (node.training).
Source: docs/learning.md "A task, as an institution writes it".
"""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct
from safetensors.numpy import save

from secagg.errors import BadInput

Floats = npt.NDArray[np.floating]
Arrays = dict[str, Floats]

# The header of a model with 10,000 tensors is about 1 MB; safetensors itself stops at 100 MB, far above any need.
HEADER_LIMIT = 4 << 20
TENSORS_LIMIT = 20_000
DIMENSIONS_LIMIT = 8
# As many parameters as a job may have (protocol §1): the vector is then 8 GiB of float32.
PARAMETERS_LIMIT = 2**31 - 1

_DTYPES: dict[str, Literal["float32", "float64"]] = {"F32": "float32", "F64": "float64"}


class Tensor(Struct, frozen=True, forbid_unknown_fields=True):
    """Name, shape and dtype of one tensor; a scalar has the shape ()."""

    name: Annotated[str, Meta(min_length=1, max_length=512)]
    shape: tuple[Annotated[int, Meta(ge=0, lt=2**31)], ...]
    dtype: Literal["float32", "float64"]

    @property
    def size(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)

    def describe(self) -> str:
        """Return dtype and shape as a person reads them, for example `float32 (10, 14)`."""
        return f"{self.dtype} {self.shape}"


class Layout(Struct, frozen=True, forbid_unknown_fields=True):
    """The tensors of a model in the order of the flat vector."""

    tensors: tuple[Tensor, ...]

    @property
    def size(self) -> int:
        """Return the length of the flat vector."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def dtype(self) -> npt.DTypeLike:
        """Return the dtype of the flat vector: float64 when any tensor is, else float32."""
        return np.float64 if any(tensor.dtype == "float64" for tensor in self.tensors) else np.float32

    def locate(self, index: int) -> str:
        """Return the name of the tensor that holds position `index` (0-based) of the flat vector.

        Raises: IndexError beyond the end.
        """
        for tensor in self.tensors:
            if index < tensor.size:
                return tensor.name
            index -= tensor.size
        raise IndexError(index)


def of_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Layout:
    """Return the layout of named arrays, ordered by name.

    Raises: BadInput on an empty model or a dtype other than float32 and float64, by the tensor's name.
    """
    if not arrays:
        raise BadInput("The model has no tensor to train.", "Give it at least one parameter that requires a gradient.")
    return Layout(tuple(_tensor(name, arrays[name]) for name in sorted(arrays)))


def require_same(found: Layout, wanted: Layout) -> None:
    """Check that a model has the job's layout.

    Raises: BadInput naming the first tensor that is missing, left over, or of another shape or dtype.
    """
    have = {tensor.name: tensor for tensor in found.tensors}
    want = {tensor.name: tensor for tensor in wanted.tensors}
    for name in sorted(have.keys() | want.keys()):
        if have.get(name) != want.get(name):
            ours = have[name].describe() if name in have else "missing"
            theirs = want[name].describe() if name in want else "no such tensor"
            raise BadInput(
                f"Tensor {name} is {ours} here, and the job says {theirs}.",
                "Run the task the job was made for, or submit the job again with this task's model.",
                code="E-SHAPES",
            )


def flatten(arrays: Mapping[str, npt.NDArray[Any]], layout: Layout) -> Floats:
    """Return the tensors as one new 1-D vector of `layout.size` values and `layout.dtype`.

    Raises: BadInput naming the tensor that does not fit.
    """
    require_same(of_arrays(arrays), layout)
    return np.concatenate([arrays[tensor.name].ravel() for tensor in layout.tensors]).astype(layout.dtype, copy=False)


def unflatten(vector: Floats, layout: Layout) -> Arrays:
    """Return the tensors of a 1-D vector as new arrays, rounded once to each tensor's dtype.

    Raises: BadInput when the length differs from the layout's.
    """
    if vector.shape != (layout.size,):
        raise BadInput(
            f"The vector has shape {vector.shape}, the model ({layout.size},).", "Run the task the job was made for."
        )
    arrays, start = {}, 0
    for tensor in layout.tensors:
        piece = vector[start : start + tensor.size]
        arrays[tensor.name] = piece.reshape(tensor.shape).astype(tensor.dtype)
        start += tensor.size
    return arrays


def require_finite(vector: Floats, layout: Layout, what: str) -> None:
    """Check that a flat vector holds neither NaN nor infinity; `what` names it, for example "update".

    Raises: BadInput naming the tensor of the first value that is not finite.
    """
    bad = np.flatnonzero(~np.isfinite(vector))
    if bad.size:
        raise BadInput(
            f"The {what} is not finite: {bad.size} values, the first in tensor {layout.locate(int(bad[0]))}.",
            "Lower the learning rate and look for missing values in the data; nothing was sent.",
            code="E-NAN",
        )


def encode_model(arrays: Mapping[str, Floats]) -> bytes:
    """Return a model as safetensors bytes.

    Raises: BadInput on a dtype other than float32 and float64.
    """
    layout = of_arrays(arrays)
    return bytes(save({tensor.name: np.ascontiguousarray(arrays[tensor.name]) for tensor in layout.tensors}))


def decode_model(data: bytes | memoryview, layout: Layout | None = None) -> Arrays:
    """Return the tensors of a safetensors file as arrays of their own, and check them against `layout` when given.

    Raises: BadInput on anything that is not a model within the limits, or naming the tensor that does not fit.
    """
    view = memoryview(data)
    found, begins = _header(view)
    if layout is not None:
        require_same(found, layout)
    return {
        tensor.name: np.frombuffer(view, dtype=f"<f{_width(tensor)}", count=tensor.size, offset=begin)
        .reshape(tensor.shape)
        .astype(tensor.dtype)
        for tensor, begin in zip(found.tensors, begins, strict=True)
    }


def _tensor(name: str, array: npt.NDArray[Any]) -> Tensor:
    dtype = array.dtype.name
    if dtype not in ("float32", "float64"):
        raise BadInput(
            f"Tensor {name} has dtype {dtype}.", "Only float32 and float64 can be averaged: convert or freeze it."
        )
    return Tensor(name, tuple(array.shape), "float64" if dtype == "float64" else "float32")


def _width(tensor: Tensor) -> int:
    return 8 if tensor.dtype == "float64" else 4


def _header(view: memoryview) -> tuple[Layout, tuple[int, ...]]:
    """Return the layout and the absolute offset of every tensor, after checking that they tile the data exactly."""
    length = int.from_bytes(view[:8], "little") if len(view) >= 8 else 0
    if not 2 <= length <= min(HEADER_LIMIT, len(view) - 8):
        raise _not_a_model("its header is missing or too long")
    try:
        header = json.loads(bytes(view[8 : 8 + length]))
        entries = sorted((name, value) for name, value in header.items() if name != "__metadata__")
        spans = [_entry(name, value) for name, value in entries]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _not_a_model("its header does not describe tensors of float32 or float64") from error
    if not 1 <= len(spans) <= TENSORS_LIMIT or sum(tensor.size for tensor, _ in spans) > PARAMETERS_LIMIT:
        raise _not_a_model("it holds no tensor, or more than a job may have")
    end = 0
    for tensor, begin in sorted(spans, key=lambda span: (span[1], span[0].size)):
        if begin != end:
            raise _not_a_model("its tensors overlap or leave gaps")
        end = begin + tensor.size * _width(tensor)
    if 8 + length + end != len(view):
        raise _not_a_model("it is cut short or has bytes left over")
    return Layout(tuple(tensor for tensor, _ in spans)), tuple(8 + length + begin for _, begin in spans)


def _entry(name: str, value: Any) -> tuple[Tensor, int]:
    shape, (begin, end) = tuple(value["shape"]), value["data_offsets"]
    integers = (*shape, begin, end)
    if not all(type(item) is int and 0 <= item < 2**48 for item in integers) or len(shape) > DIMENSIONS_LIMIT:
        raise ValueError(name)
    if not 0 < len(name) <= 512:
        raise ValueError(name)
    tensor = Tensor(name, shape, _DTYPES[value["dtype"]])
    if end - begin != tensor.size * _width(tensor):
        raise ValueError(name)
    return tensor, begin


def _not_a_model(why: str) -> BadInput:
    return BadInput(
        f"The file is not a model: {why}.", "Make it with `secagg node model TASK -o FILE`.", code="E-MODEL"
    )
