"""Federated averaging: model + Σ n_k Δ_k / Σ n_k, from sums alone.

Rules: float64, elementwise + − × ÷ only, no BLAS and no reduction over a vector, rounded once to each tensor's dtype;
so the aggregator, every node and an auditor get the same bytes and the same digest (architecture "The path of an
update"). Known answers stand in tests/vectors/fedavg.json.
Leaves to others: quantising the weighted update (secagg.protocol.lanes), local training (node.training).
Source: McMahan, Moore, Ramage, Hampson, Agüera y Arcas, "Communication-Efficient Learning of Deep Networks from
Decentralized Data" (2017), algorithm 1, with one common bound W so that n_k travels inside the value.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from secagg.errors import BadInput
from secagg.learning.layout import Arrays, Floats, Layout, flatten, require_finite, unflatten

Float64 = npt.NDArray[np.float64]


class FedAvg:
    """The server step of federated averaging; it keeps no state between rounds."""

    name = "fedavg"

    def server_step(self, model: Mapping[str, Floats], update_mean: Float64, layout: Layout) -> Arrays:
        """Return the next model: every value plus its mean update (1-D, `layout.size` values).

        Raises: BadInput when shapes differ or a value of the next model is not finite.
        """
        mean = np.asarray(update_mean, dtype=np.float64)
        if mean.shape != (layout.size,):
            raise BadInput(
                f"The mean update has shape {mean.shape}, the model ({layout.size},).",
                "Run the task the job was made for.",
            )
        following = flatten(model, layout).astype(np.float64) + mean
        require_finite(following, layout, "next model")
        return unflatten(following, layout)


def weighted(update: Floats, examples: int, weight_bound: int) -> Float64:
    """Return n_k/W · Δ (float64, 1-D), with n_k capped at W so that the sum cannot overflow.

    Raises: BadInput when either count is below 1.
    """
    if examples < 1 or weight_bound < 1:
        raise BadInput(
            f"{examples} examples under a bound of {weight_bound} give no weight.", "Train on at least one example."
        )
    return np.asarray(update, dtype=np.float64) * (min(examples, weight_bound) / weight_bound)


def mean(total: Float64, examples: float, weight_bound: int) -> Float64:
    """Return Σ n_k Δ_k / Σ n_k (float64, 1-D) from Σ n_k/W · Δ_k, Σ n_k and W.

    Raises: BadInput when there is no example to divide by.
    """
    if not examples >= 1:
        raise BadInput(f"The contributors trained on {examples:g} examples together.", "Check the tasks' num_examples.")
    return np.asarray(total, dtype=np.float64) * (weight_bound / examples)
