"""Digests of models: the bytes that a manifest pins, a node compares and an auditor recomputes.

Rules: a digest covers exact bytes (little-endian), order, dtype and shape of every tensor. Each field is led by its
length, so that no two models share an encoding. The safetensors file itself is not hashed, because its padding and its
metadata are no part of the model.
Leaves to others: comparing digests (secagg.protocol.acceptance), making models (node.local).
Source: docs/protocol.md §1, docs/learning.md "A task, as an institution writes it".
"""

import hashlib
from collections.abc import Mapping

import numpy as np

from secagg.crypto.labels import fields
from secagg.ids import NO_DIGEST
from secagg.learning.layout import Floats, Layout, Tensor, of_arrays

MODEL = "secagg/v1/model"
ARCHITECTURE = "secagg/v1/architecture"
STATE = "secagg/v1/state"


def model_digest(arrays: Mapping[str, Floats]) -> bytes:
    """Return SHA-256 (32 bytes) over label, layout and values of a model.

    Raises: BadInput on a dtype other than float32 and float64.
    """
    return _digest(MODEL, arrays)


def state_digest(state: Mapping[str, Floats]) -> bytes:
    """Return SHA-256 (32 bytes) over label, layout and values of what an algorithm keeps, zeros for nothing."""
    return _digest(STATE, state) if state else NO_DIGEST


def architecture_digest(layout: Layout) -> bytes:
    """Return SHA-256 (32 bytes) over label, names, dtypes and shapes; the values do not enter."""
    running = hashlib.sha256(fields(ARCHITECTURE, len(layout.tensors)))
    for tensor in layout.tensors:
        running.update(_describe(tensor))
    return running.digest()


def _describe(tensor: Tensor) -> bytes:
    return fields(tensor.name, tensor.dtype, len(tensor.shape), *tensor.shape)


def _digest(label: str, arrays: Mapping[str, Floats]) -> bytes:
    layout = of_arrays(arrays)
    running = hashlib.sha256(fields(label, len(layout.tensors)))
    for tensor in layout.tensors:
        running.update(_describe(tensor))
        width = "<f8" if tensor.dtype == "float64" else "<f4"
        running.update(np.ascontiguousarray(arrays[tensor.name], dtype=width).data)
    return running.digest()
