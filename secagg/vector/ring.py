"""Exact modular sums of word arrays in place; shapes and dtypes must agree, numpy wraps natively."""

import numpy as np
import numpy.typing as npt

from secagg.errors import BadInput

Words = npt.NDArray[np.unsignedinteger]


def add_into(total: Words, words: Words) -> None:
    """Add `words` to `total` in place, modulo the word width.

    Raises: BadInput when shape or dtype differ.
    """
    _check(total, words)
    np.add(total, words, out=total)


def subtract_into(total: Words, words: Words) -> None:
    """Subtract `words` from `total` in place, modulo the word width.

    Raises: BadInput when shape or dtype differ.
    """
    _check(total, words)
    np.subtract(total, words, out=total)


def _check(total: Words, words: Words) -> None:
    if total.shape != words.shape or total.dtype != words.dtype:
        raise BadInput(
            f"Words of shape {words.shape} and {words.dtype} cannot join a sum of {total.shape} and {total.dtype}.",
            "Use the layout of the manifest.",
        )
