"""Federated averaging: model + Σ n_k Δ_k / Σ n_k, from sums alone.

Rules: those of a step (secagg.learning.algorithm). Known answers stand in tests/vectors/fedavg.json.
Source: McMahan, Moore, Ramage, Hampson, Agüera y Arcas, "Communication-Efficient Learning of Deep Networks from
Decentralized Data" (2017), algorithm 1, with one common bound W so that n_k travels inside the value.
"""

from collections.abc import Mapping
from typing import ClassVar

from secagg.learning.algorithm import Next, OneUpdate, State, Totals, moved
from secagg.learning.layout import Floats, of_arrays


class FedAvg(OneUpdate, frozen=True, forbid_unknown_fields=True):
    """Every value plus its mean update; no numbers, and nothing is kept between rounds."""

    at_members: ClassVar[bool] = False
    keeps: ClassVar[tuple[str, ...]] = ()

    def local(self) -> None:
        """Return None: tasks train as they are."""
        return

    def begin(self, size: int) -> State:
        """Return nothing: nothing is kept."""
        return {}

    def step(self, model: Mapping[str, Floats], state: State, totals: Totals) -> Next:
        """Return the next model. Raises: BadInput when shapes differ or a value of it is not finite."""
        return Next(moved(model, totals.mean, of_arrays(model)), {})
