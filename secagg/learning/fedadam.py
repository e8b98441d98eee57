"""FedAdam: the published mean update is the gradient of an adaptive step that every party takes with the same state.

Rules: those of a step (secagg.learning.algorithm). Values m start at 0 and v at tau², and neither is corrected for its
start. Flower's FedAdam starts v at 0 and multiplies by √(1 − beta2^r)/(1 − beta1^r), which gives other numbers.
Source: Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan, "Adaptive Federated Optimization" (2021),
algorithm 2. Known answers stand in tests/vectors/algorithms.json.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from secagg.learning.algorithm import Next, OneUpdate, State, Totals, fitting, moved
from secagg.learning.layout import Floats, of_arrays

Share = Annotated[float, Meta(ge=0, lt=1)]


class FedAdam(OneUpdate, frozen=True, forbid_unknown_fields=True):
    """m = beta1·m + (1 − beta1)·δ; v = beta2·v + (1 − beta2)·δ²; x += rate·m/(√v + tau); δ is the mean update."""

    rate: Annotated[float, Meta(gt=0, le=1)] = 0.03
    beta1: Share = 0.9
    beta2: Share = 0.99
    tau: Annotated[float, Meta(ge=1e-9, le=1)] = 1e-3
    at_members: ClassVar[bool] = False
    keeps: ClassVar[tuple[str, ...]] = ("m", "v")

    def local(self) -> None:
        """Return None: tasks train as they are."""
        return

    def begin(self, size: int) -> State:
        """Return m = 0 and v = tau²."""
        return {"m": np.zeros(size), "v": np.full(size, self.tau * self.tau)}

    def step(self, model: Mapping[str, Floats], state: State, totals: Totals) -> Next:
        """Return the next model and state. Raises: BadInput when sizes differ or a value is not finite."""
        layout = of_arrays(model)
        mean = fitting(totals.mean, layout)
        m, v = (np.asarray(state[name], dtype=np.float64) for name in self.keeps)
        m = m * self.beta1 + mean * (1 - self.beta1)
        v = v * self.beta2 + mean * mean * (1 - self.beta2)
        return Next(moved(model, m * self.rate / (np.sqrt(v) + self.tau), layout), {"m": m, "v": v})
