"""One vector of a task that only sums; needs no torch, so a node without it can still contribute counts and moments.

Rules: what leaves here is one-dimensional and finite, or nothing leaves. Leaves to others: fixing it at 24 fractional
bits (secagg.protocol.lanes). Source: docs/learning.md "A task, as an institution writes it".
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from node.task import RoundContext, SumTask, own_code, require_data
from secagg.errors import BadInput


def run_vector(task: SumTask, data: Path, context: RoundContext) -> npt.NDArray[np.float64]:
    """Return the vector that the task contributes (float64, 1-D).

    Raises: BadInput when the data is missing, the task fails, or the vector is not 1-D and finite.
    """
    require_data(data)
    with own_code("vector"):
        vector = np.asarray(task.vector(data, context), dtype=np.float64)
    if vector.ndim != 1:
        raise BadInput(f"The task's vector has shape {vector.shape}.", "Return a vector with one dimension.")
    bad = np.flatnonzero(~np.isfinite(vector))
    if bad.size:
        raise BadInput(
            f"The task's vector is not finite at index {int(bad[0])}.", "Look for missing values in the data."
        )
    return vector
