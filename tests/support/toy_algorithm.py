"""Algorithm `toy`: two vectors, the update and its square. For tests: what a new algorithm has to be, and no more.

Whoever adds an algorithm writes a file like this one and a line in the table (secagg.learning.algorithms).
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta, Struct

from secagg.learning.algorithm import UPDATE, Next, State, Totals, Vector, fitting, moved
from secagg.learning.layout import Floats, of_arrays

SQUARE = Vector("square", weighted=False)


class Toy(Struct, frozen=True, forbid_unknown_fields=True):
    """x += rate · δ/(√s + 1): δ is the mean update, s the greatest sum of squared updates of any round so far."""

    rate: Annotated[float, Meta(gt=0, le=1)] = 0.5
    at_members: ClassVar[bool] = False
    keeps: ClassVar[tuple[str, ...]] = ("s",)
    vectors: ClassVar[tuple[Vector, ...]] = (UPDATE, SQUARE)

    def contribute(self, delta: Floats) -> Mapping[str, Floats]:
        return {UPDATE.name: delta, SQUARE.name: delta * delta}

    def local(self) -> None:
        return

    def begin(self, size: int) -> State:
        return {"s": np.zeros(size)}

    def step(self, model: Mapping[str, Floats], state: State, totals: Totals) -> Next:
        layout = of_arrays(model)
        summed = fitting(totals.vectors[SQUARE.name], layout)
        s = np.maximum(np.asarray(state["s"], dtype=np.float64), summed)
        change = fitting(totals.mean, layout) * self.rate / (np.sqrt(np.maximum(s, 0.0)) + 1.0)
        return Next(moved(model, change, layout), {"s": s})
