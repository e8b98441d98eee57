"""What an algorithm is to everybody else: the step from a model and a round's published sums to the next model.

How to read it: `Algorithm` is the seam; secagg.learning.algorithms is the table of those there are, one file each.
Rules: a step is computed by the aggregator, by every node and by whoever audits, and all must get the same bytes. So it
is float64, elementwise, + − × ÷ √ max and sign alone, rounded once to each tensor's dtype. There is no dot product,
norm or sum over a vector (their last bits depend on the machine's library). There is no exp, log or power (no promise
of IEEE 754).
Leaves to others: lanes and codes (secagg.protocol.lanes), local training (node.training).
Source: docs/adr/0018-an-algorithm-is-a-file-and-a-line.md.

One contributor's update is the mean, so a step moves the model by exactly that:

>>> from secagg.learning.fedavg import FedAvg
>>> model = {"w": np.array([1.0, 2.0], dtype=np.float32)}
>>> following = FedAvg().step(model, {}, alone(np.array([0.5, -1.0], dtype=np.float32)))
>>> following.model["w"].tolist(), following.state
([1.5, 1.0], {})
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from secagg.errors import BadInput
from secagg.learning.layout import Arrays, Floats, Layout, flatten, require_finite, unflatten

Float64 = npt.NDArray[np.float64]


class Vector(NamedTuple):
    """What members send: a vector of the model's size; a `weighted` one travels as n_k/W times itself."""

    name: str
    weighted: bool


UPDATE = Vector("update", weighted=True)
"""The vector that most algorithms sum, and nothing else: what training changed."""


class Totals(NamedTuple):
    """What a round published, in clear values: the sum of each vector (1-D), Σ n_k, and W, the bound of a weight."""

    vectors: Mapping[str, Float64]
    examples: float
    weight_bound: int

    @property
    def mean(self) -> Float64:
        """Return Σ n_k Δ_k / Σ n_k (float64, 1-D). Raises: BadInput when there is no example to divide by."""
        return mean(self.vectors[UPDATE.name], self.examples, self.weight_bound)


State = Mapping[str, Floats]
"""What an algorithm keeps between rounds, by name: float64, 1-D, of the model's size each; empty when it keeps nothing.

Nobody sends it: it begins as a constant, and everybody computes the next one from what a round published.
"""


class Next(NamedTuple):
    """What a step gives: the next model, rounded once to its dtypes, and the next state, which is never rounded."""

    model: Arrays
    state: State


class Rule(NamedTuple):
    """What a member's training adds to a gradient g at w, where the round began at x: g + pull · (w − x)."""

    pull: float


class OneUpdate(Struct, frozen=True, forbid_unknown_fields=True):
    """An algorithm whose members send their update and nothing else."""

    vectors: ClassVar[tuple[Vector, ...]] = (UPDATE,)

    def contribute(self, delta: Floats) -> Mapping[str, Floats]:
        """Return the update as it is."""
        return {UPDATE.name: delta}


class Algorithm(Protocol):
    """One rule of federated learning: a frozen struct whose fields are its numbers, each with range and default."""

    __struct_fields__: ClassVar[tuple[str, ...]]
    at_members: ClassVar[bool]
    """Whether its numbers change what a member's update is; a step of the server's alone changes none."""

    keeps: ClassVar[tuple[str, ...]]
    """The names of its state, in order; none when it keeps nothing."""

    vectors: ClassVar[tuple[Vector, ...]]
    """What members send, one lane each, in this order."""

    def contribute(self, delta: Floats) -> Mapping[str, Floats]:
        """Return what a member sends of each vector (1-D) when its training changed the model by `delta` (1-D)."""
        ...

    def local(self) -> Rule | None:
        """Return the rule of local training, None when tasks train as they are."""
        ...

    def begin(self, size: int) -> State:
        """Return the state before the first round of a model of `size` values."""
        ...

    def step(self, model: Mapping[str, Floats], state: State, totals: Totals) -> Next:
        """Return the next model and state; the old ones stay as they are.

        Raises: BadInput when the totals do not fit the model, or a value of the next model is not finite.
        """
        ...


def alone(delta: npt.NDArray[np.float32]) -> Totals:
    """Return the totals of a round of one contributor: its update is the mean."""
    return Totals({UPDATE.name: delta.astype(np.float64)}, 1, 1)


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


def fitting(update: Float64, layout: Layout) -> Float64:
    """Return an update (1-D) that has a value for each of the model's. Raises: BadInput when it has not."""
    if update.shape != (layout.size,):
        raise BadInput(
            f"The mean update has shape {update.shape}, the model ({layout.size},).",
            "Run the task the job was made for.",
        )  # fmt: skip
    return update


def moved(model: Mapping[str, Floats], by: Float64, layout: Layout) -> Arrays:
    """Return the model plus `by` (1-D), rounded once to each tensor's dtype.

    Raises: BadInput when the lengths differ or a value of the next model is not finite.
    """
    following = flatten(model, layout).astype(np.float64) + fitting(by, layout)
    require_finite(following, layout, "next model")
    return unflatten(following, layout)
