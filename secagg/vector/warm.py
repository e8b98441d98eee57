"""Arrays that are warm: memory for the work of a block that stays with its thread.

Rule: what is in such an array holds until the same thread asks for the same use again. Memory fresh from the operating
system is cleared page by page when it is touched. That costs more than most of what is done with it.
Leaves to others: what goes into a result (that is never warm memory).
"""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from secagg.crypto.prg import aligned

_local = threading.local()


def warm(use: str, length: int, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return a 1-D array of `length` items for one use, with whatever it held before."""
    size = length * np.dtype(dtype).itemsize
    kept: dict[str, npt.NDArray[np.uint8]] = _local.__dict__
    if use not in kept or len(kept[use]) < size:
        kept[use] = aligned(size)
    return kept[use][:size].view(dtype)
