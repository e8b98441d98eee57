"""FedProx: federated averaging whose members are pulled back to the model that they were given.

Rules: those of a step (secagg.learning.algorithm); the step is that of federated averaging, and with mu 0 the member's
is too. `mu` is at most 1. A job's number must not be able to make training explode at some members and not at others.
Their data would show in the sum by that.
Source: Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated Optimization in Heterogeneous Networks" (2020),
equation 2: the local loss has the term mu/2 · ‖w − x‖².
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from secagg.learning.algorithm import Next, OneUpdate, Rule, State, Totals, moved
from secagg.learning.layout import Floats, of_arrays


class FedProx(OneUpdate, frozen=True, forbid_unknown_fields=True):
    """The mean update is taken as it is; members train with gradient g + mu · (w − x)."""

    mu: Annotated[float, Meta(ge=0, le=1)] = 0.01
    at_members: ClassVar[bool] = True
    keeps: ClassVar[tuple[str, ...]] = ()

    def local(self) -> Rule:
        """Return the pull back to the model of the round."""
        return Rule(pull=self.mu)

    def begin(self, size: int) -> State:
        """Return nothing: nothing is kept."""
        return {}

    def step(self, model: Mapping[str, Floats], state: State, totals: Totals) -> Next:
        """Return the next model. Raises: BadInput when shapes differ or a value of it is not finite."""
        return Next(moved(model, totals.mean, of_arrays(model)), {})
