"""Work of a task on this machine alone: the first model of a job, and the trainings a federation is measured against.

Rules: "alone" is one institution's own file, "centralised" is several files pooled, which real institutions may not do.
Both take the federation's path: sums first, then rounds of `train` from one model. Rounds and local steps are as many,
so that only the data differs. Files are linked into a directory of their own for the while, so that a task's reports of
this work replace none of the federation's.
Leaves to others: the command line (node.commands.node), federated rounds (node.service).
Source: docs/learning.md "Algorithms" (on one node FedAvg equals centralised training).
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from node.summing import run_vector
from node.task import RoundContext, SumTask, Task, load_task, require_data
from node.training import initial_model, run_evaluation, run_training
from secagg.errors import BadInput
from secagg.learning import algorithms
from secagg.learning.algorithm import alone
from secagg.learning.algorithms import Chosen
from secagg.learning.digest import architecture_digest, model_digest
from secagg.learning.layout import encode_model, of_arrays

JOB = "local"


def write_model(spec: str, out: Path, options: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Write the task's first model as safetensors and return what a job pins of it, digests as hex.

    Raises: BadInput when the task is none, a tensor cannot travel or the file cannot be written.
    """
    arrays = initial_model(_training_task(spec, options))
    layout = of_arrays(arrays)
    unfinished = out.with_name(out.name + ".new")
    try:
        unfinished.write_bytes(encode_model(arrays))
        unfinished.replace(out)
    except OSError as error:
        raise BadInput(f"Model {out} cannot be written: {error.strerror}.", "Choose another path with -o.") from error
    return {
        "model": str(out),
        "parameters": layout.size,
        "tensors": {tensor.name: f"{tensor.dtype}{list(tensor.shape)}" for tensor in layout.tensors},
        "architecture": architecture_digest(layout).hex(),
        "digest": model_digest(arrays).hex(),
    }


def train(
    spec: str, files: Sequence[Path], rounds: int = 10, options: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Train on one file (alone) or on several pooled (centralised) and evaluate on each file by itself.

    Returns one object: `rounds`, `examples`, `metrics` by file stem and name, `auc` by file stem when the task has it.
    Raises: BadInput when a file is missing, two share a name, or the task fails.
    """
    if not files or rounds < 1:
        raise BadInput("There is nothing to train on.", "Name at least one data file and at least one round.")
    task = _training_task(spec, options)
    with _apart(files) as (pooled, links):
        published = _sums(task, pooled)
        arrays, examples, algorithm = initial_model(task), 0, algorithms.algorithm_of(Chosen())
        state = algorithm.begin(of_arrays(arrays).size)
        for number in range(1, rounds + 1):
            update = run_training(task, arrays, pooled, RoundContext(JOB, number, published))
            arrays, state = algorithm.step(arrays, state, alone(update.delta))
            examples = update.num_examples
        last = RoundContext(JOB, rounds, published)
        metrics = {link.stem: run_evaluation(task, arrays, link, last) for link in links}
    found = {stem: values["auc"] for stem, values in metrics.items() if "auc" in values}
    return {"rounds": rounds, "examples": examples, "metrics": metrics} | ({"auc": found} if found else {})


def _training_task(spec: str, options: Mapping[str, object] | None) -> Task:
    task = load_task(spec, options)
    if not isinstance(task, Task):
        raise BadInput(f"Task {spec} only sums; it has no model.", "Name a class with model, train and evaluate.")
    return task


def _sums(task: Task, data: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Return what the sum jobs that the task declares (`sums`: job name to SumTask) give on this data alone."""
    declared: Mapping[str, SumTask] = getattr(task, "sums", {})
    return {job: run_vector(one, data, RoundContext(job, 1)) for job, one in declared.items()}


@contextmanager
def _apart(files: Sequence[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """Give what to train on (one link, or the directory of all links) and the links one by one."""
    if len({file.name for file in files}) != len(files):
        raise BadInput("Two of the data files have the same name.", "Rename one: results are listed by file name.")
    with tempfile.TemporaryDirectory(prefix="secagg-train-") as place:
        links = [Path(place) / file.name for file in files]
        for file, link in zip(files, links, strict=True):
            link.symlink_to(require_data(file).resolve())
        yield (links[0] if len(links) == 1 else Path(place)), links
