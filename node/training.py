"""One round of local training of a task: model in, update out.

Rules: one thread per node, because nodes share machines and small models lose by more. Trainable parameters travel and
nothing else (buffers such as BatchNorm statistics, and frozen parameters, stay local as `Task.model` made them). What
leaves here is finite and has the job's shapes, or nothing leaves.
Leaves to others: an algorithm's rule (node.correcting), sums (node.summing), which executor runs it (node.work),
weights and quantising (secagg.protocol.lanes).
Source: docs/learning.md "A task, as an institution writes it".
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from node.task import Prepares, RoundContext, Task, Trained, declared, own_code, require_data
from secagg.errors import BadInput
from secagg.learning.layout import Arrays, Floats, Layout, flatten, of_arrays, require_finite, require_same

try:
    import torch
except ModuleNotFoundError as missing:
    raise BadInput(
        "This installation has no torch, which training needs.",
        "pip install 'secagg[torch]' into this environment; sums need none.", code="E-TORCH",
    ) from missing  # fmt: skip
else:
    from node.correcting import correcting


@dataclass(frozen=True)
class Update:
    """The result of local training: `delta` (float32, 1-D, new minus old), weight, metrics."""

    delta: npt.NDArray[np.float32]
    num_examples: int
    metrics: Mapping[str, float]


def initial_model(task: Task) -> Arrays:
    """Return the trainable tensors of a new model.

    Raises: BadInput when a tensor cannot travel or the task fails.
    """
    with own_code("model"):
        model = task.model()
    return trainable(model)


def trainable(model: torch.nn.Module) -> Arrays:
    """Return copies of the parameters that require a gradient, by name.

    Raises: BadInput on a dtype other than float32 and float64, by the tensor's name.
    """
    arrays: Arrays = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.dtype not in (torch.float32, torch.float64):
            raise BadInput(
                f"Tensor {name} has dtype {str(parameter.dtype).removeprefix('torch.')}.",
                "Only float32 and float64 can be averaged: convert it, or freeze it with requires_grad_(False).",
            )
        arrays[name] = parameter.detach().cpu().numpy().copy()
    of_arrays(arrays)
    return arrays


def run_training(task: Task, arrays: Mapping[str, Floats], data: Path, context: RoundContext) -> Update:
    """Train one round from the job's model and return the update.

    Raises: BadInput when shapes differ (naming the tensor), the data is missing, or the task fails. BadInput also when
    it trains in a way that the algorithm's rule cannot correct (`E-ALGORITHM`), or the update is not finite.
    """
    layout = of_arrays(arrays)
    model = _loaded(task, arrays, layout, context)
    require_data(data)
    with own_code("train"):
        trained = _train(task, model, data, context)
    _check(trained, declared(task))
    after, before = flatten(trainable(model), layout), flatten(arrays, layout)
    require_finite(after, layout, "update")
    # A difference that float32 cannot hold saturates, as it does in its lane, where it is counted.
    largest = np.finfo(np.float32).max
    with np.errstate(over="ignore"):
        delta = np.clip(after.astype(np.float64) - before.astype(np.float64), -largest, largest).astype(np.float32)
    return Update(delta, trained.num_examples, dict(trained.metrics))


def run_evaluation(task: Task, arrays: Mapping[str, Floats], data: Path, context: RoundContext) -> dict[str, float]:
    """Evaluate the job's model on the institution's own held-out data; the result never leaves the node.

    Raises: BadInput when shapes differ (naming the tensor), the data is missing or the task fails.
    """
    model = _loaded(task, arrays, of_arrays(arrays), context)
    require_data(data)
    with own_code("evaluate"):
        return dict(task.evaluate(model, data))


def check_shapes(task: Task, arrays: Mapping[str, Floats]) -> None:
    """Check that the task's model has the job's tensors.

    Raises: BadInput naming the first tensor that differs, or when the task fails.
    """
    with own_code("model"):
        model = task.model()
    require_same(of_arrays(trainable(model)), of_arrays(arrays))


def _train(task: Task, model: torch.nn.Module, data: Path, context: RoundContext) -> Trained:
    """Let the task train by the rule of the job's algorithm, if there is one."""
    if context.rule is None:
        return task.train(model, data, context)
    with correcting(model, context.rule) as correction:
        return task.train(model, data, replace(context, by_hand=correction.by_hand))


def _loaded(task: Task, arrays: Mapping[str, Floats], layout: Layout, context: RoundContext) -> torch.nn.Module:
    """Return a new module of the task that holds the job's tensors."""
    torch.set_num_threads(1)
    with own_code("model"):
        model = task.model()
    require_same(of_arrays(trainable(model)), layout)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, array in arrays.items():
            parameters[name].copy_(torch.from_numpy(np.array(array)))
    if isinstance(task, Prepares):
        with own_code("prepare"):
            task.prepare(model, context)
    return model


def _check(trained: Trained, ranges: Mapping[str, float] | None) -> None:
    """Hold what a task reports against its own word, whatever the job asks for. Raises: BadInput."""
    if not isinstance(trained, Trained) or type(trained.num_examples) is not int or trained.num_examples < 1:
        raise BadInput(
            "The task's train() did not return Trained with num_examples of at least 1.",
            "Return Trained(num_examples, metrics), and train on at least one example.",
        )
    for name, value in trained.metrics.items():
        if not math.isfinite(value):
            raise BadInput(f"The metric {name} is not finite.", "Leave it out or mend the task's train().")
    for name, largest in (ranges or {}).items():
        if not abs(trained.metrics.get(name, math.inf)) <= largest:
            raise BadInput(
                f"The metric {name} is missing, or beyond the {largest:g} that the task declares.",
                "Mend the task's train(), or its `metrics`.",
            )
