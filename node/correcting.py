"""An algorithm's rule for local training, without a change to the institution's own loop: gradients are corrected in
the moment before an optimiser uses them.

How to read it: `correcting` stands around a task's train(). Its hook sees every optimiser's step in this process and
takes those on the model's own parameters. Who steps by hand calls `RoundContext.correct` before the step instead.
Rules: what trained without the correction never leaves. That is when no step was seen, a tensor moved otherwise, or the
correction does not fit an optimiser or a gradient. A tensor without a gradient is left alone, as optimisers do.
Clipping that the task does itself comes before the correction.
Leaves to others: which rule (secagg.learning.algorithms), one training at a time (node.work).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from secagg.errors import BadInput
from secagg.learning.algorithm import Rule

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""What an optimiser's step was called with; torch says no more of it."""


@contextmanager
def correcting(model: torch.nn.Module, rule: Rule) -> Iterator["Correction"]:
    """Correct what optimisers do to a model for the while, and check at the end that they were seen.

    Raises: BadInput (`E-ALGORITHM`) when something trained without the correction.
    """
    correction = Correction(model, rule)
    hook = register_optimizer_step_pre_hook(correction.before_step)
    try:
        yield correction
    finally:
        hook.remove()
    correction.check(model)


class Correction:
    """What one training has to be corrected by, and what was seen of it."""

    def __init__(self, model: torch.nn.Module, rule: Rule) -> None:
        """The model holds what the round begins from."""
        self._rule = rule
        self._parameters = {name: one for name, one in model.named_parameters() if one.requires_grad}
        self._began = {id(one): one.detach().clone() for one in self._parameters.values()}
        self._seen: set[int] = set()
        self._optimiser = self._hand = False
        self._wrong: BadInput | None = None

    def by_hand(self, model: torch.nn.Module) -> None:
        """Correct the gradients of a model whose task steps itself. Raises: BadInput when it is another model."""
        mine = [one for one in model.parameters() if id(one) in self._began]
        if not mine:
            raise _refused("correct() was given a model that holds no tensor of the round's", "Give it train()'s own.")
        self._hand = True
        self._add(mine)

    def before_step(self, optimiser: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        """Correct before an optimiser steps, or each time that its closure has made new gradients."""
        mine = [one for group in optimiser.param_groups for one in group["params"] if id(one) in self._began]
        if not mine:
            return None
        self._optimiser = True
        if isinstance(optimiser, torch.optim.LBFGS):
            self._remember("LBFGS measures the loss, which has no correction", "Use another optimiser.")
        if getattr(optimiser, "grad_scale", None) is not None:
            self._remember("the optimiser gets scaled gradients", "Call scaler.unscale_(optimizer) before its step.")
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._add(mine)
            return None
        corrected = self._around(closure, mine)
        if len(args) > 1:
            return (args[0], corrected, *args[2:]), kwargs
        return args, {**kwargs, "closure": corrected}

    def check(self, model: torch.nn.Module) -> None:
        """Raises: BadInput (`E-ALGORITHM`) when something of the model trained without the correction."""
        if self._wrong is not None:
            raise self._wrong
        if self._hand and self._optimiser:
            raise _refused("correct() was called and an optimiser steps: it counts twice", "Leave one of them out.")
        if not self._seen:
            raise _refused("no step of an optimiser was seen", _REMEDY)
        for name, one in model.named_parameters():
            before = self._parameters.get(name)
            if before is None or (one is before and id(one) in self._seen):
                continue
            began = self._began[id(before)]
            if not torch.equal(one.detach().to(began), began):
                raise _refused(f"tensor {name} moved without a step that was seen", _REMEDY)

    def _around(self, closure: Callable[[], object], mine: list[torch.nn.Parameter]) -> Callable[[], object]:
        def corrected() -> object:
            loss = closure()
            self._add(mine)
            return loss

        return corrected

    def _add(self, parameters: list[torch.nn.Parameter]) -> None:
        with torch.no_grad():
            for one in parameters:
                if one.grad is None:
                    continue
                if one.grad.layout is not torch.strided:
                    self._remember("a gradient is sparse", "Make the layer with sparse=False.")
                    continue
                # Two roundings, as when autograd adds the gradient of mu/2 · ‖w − x‖² to that of the loss.
                one.grad.add_((one.detach() - self._began[id(one)].to(one)).mul_(self._rule.pull))
                self._seen.add(id(one))

    def _remember(self, why: str, remedy: str) -> None:
        """Keep what is wrong: raised here, it would be the task's to catch."""
        self._wrong = self._wrong or _refused(why, remedy)


_REMEDY = "Step with a torch optimiser on the model of train(), or call round.correct(model) before each step by hand."


def _refused(why: str, remedy: str) -> BadInput:
    return BadInput(f"The job's algorithm cannot correct this task: {why}.", remedy, code="E-ALGORITHM")
