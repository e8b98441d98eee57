"""What an institution writes: a task that trains a model, or one that gives a vector to be summed.

Rules: there is no base class to inherit. A task is any class with these methods, imported from the institution's own
installation, because code never travels over the network. A task is made anew for every job of a node and sees only the
path of its own data. What goes wrong once it saw them (`on_data`) is for the institution's own people. What stays
constant between rounds it may keep on itself. A restart makes it anew, so `prepare` gives it what earlier sum jobs of
the federation published before every use.
Leaves to others: weighting, quantising and protecting what it returns (node.training, secagg.protocol).
Source: docs/learning.md "A task, as an institution writes it".

A task that counts, and what a node asks of it in round 1 of job `counts`:

>>> class Counts:
...     def vector(self, data, round):
...         return np.array(data.read_text().split(), dtype=np.float64)
>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place:
...     _ = Path(place, "counts.txt").write_text("120 48")
...     Counts().vector(Path(place, "counts.txt"), RoundContext("counts", 1)).tolist()
[120.0, 48.0]
>>> isinstance(Counts(), SumTask), isinstance(Counts(), Task)
(True, False)
"""

import hashlib
import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from secagg.daemon.faults import fault
from secagg.errors import BadInput, SecaggError
from secagg.learning.algorithm import Rule

if TYPE_CHECKING:  # torch takes a second to import, and a node that only sums vectors needs none
    import torch


@dataclass(frozen=True)
class RoundContext:
    """What a task may know about a round: job, number (from 1), and the sums that earlier jobs published, by job.

    `rule` is what the job's algorithm adds to gradients, None when it trains as the task does. `by_hand` is for
    `correct`, and the node gives it.
    """

    job: str
    round: int
    published: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    rule: Rule | None = None
    by_hand: "Callable[[torch.nn.Module], None] | None" = field(default=None, repr=False, compare=False)

    def correct(self, model: "torch.nn.Module") -> None:
        """Correct the gradients of train()'s model by the job's algorithm; before each step that is made by hand.

        Steps of torch optimisers are corrected without a call, and an algorithm without a rule corrects nothing.
        Raises: BadInput outside train(), or for another model.
        """
        if self.rule is None:
            return
        if self.by_hand is None:
            raise BadInput(
                "There is nothing to correct outside train().", "Call round.correct(model) with train()'s round.",
                code="E-ALGORITHM",
            )  # fmt: skip
        self.by_hand(model)

    def sums(self, job: str) -> npt.NDArray[np.float64]:
        """Return the vector (float64, 1-D) that the sum job `job` published.

        Raises: BadInput when this job does not use it.
        """
        if job not in self.published:
            raise BadInput(
                f"The task needs the sums of job {job}, and job {self.job} does not bring them.",
                f'Add uses = ["{job}"] to the job and run job {job} first.',
            )
        return self.published[job]


@dataclass(frozen=True)
class Trained:
    """What training reports: the number of examples (at least 1) and metrics by lane name, all of them secret."""

    num_examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Task(Protocol):
    """A task that trains; parameters that require a gradient travel, everything else in the module stays local."""

    def model(self) -> "torch.nn.Module":
        """Return the module as it is before round 1; the shapes must be the same at every institution."""

    def train(self, model: "torch.nn.Module", data: Path, round: RoundContext) -> Trained:
        """Train `model` in place on the institution's data for one round."""

    def evaluate(self, model: "torch.nn.Module", data: Path) -> dict[str, float]:
        """Return metrics of `model` on the institution's own held-out data; they never leave the node."""


@runtime_checkable
class Prepares(Protocol):
    """A task whose model needs sums of earlier jobs, for example means and variances for standardisation."""

    def prepare(self, model: "torch.nn.Module", round: RoundContext) -> None:
        """Set what stays local in `model`; called before every `train` and `evaluate`."""


@runtime_checkable
class Declares(Protocol):
    """A task that says which metrics its `train` returns, and how large each may be. A job cannot ask for others, nor
    give them less room, so that no bound of a job's choice tells anything of the data."""

    metrics: Mapping[str, float]


@runtime_checkable
class SumTask(Protocol):
    """A task that gives one vector of fixed length, to be summed exactly: counts, moments, histograms."""

    def vector(self, data: Path, round: RoundContext) -> npt.NDArray[np.float64]:
        """Return the vector (float64, 1-D); 24 bits after the binary point survive exactly."""


def load_task(spec: str, options: Mapping[str, object] | None = None) -> Any:
    """Return a new task from `path/to/file.py:Class` or `module:Class`, made with `options` as keyword arguments.

    Raises: BadInput when the file, the class or a method is missing, or the code fails.
    """
    place, colon, name = spec.rpartition(":")
    if not colon or not name.isidentifier() or not place:
        raise BadInput(f"Task {spec!r} is not FILE:CLASS.", "Write for example /srv/hospital/task.py:HeartRisk.")
    module = _from_file(Path(place)) if place.endswith(".py") else _from_module(place)
    made = getattr(module, name, None)
    if not isinstance(made, type):
        raise BadInput(f"{place} has no class {name}.", f"Classes there: {', '.join(_classes(module)) or 'none'}.")
    try:
        task = made(**(options or {}))
    except Exception as error:
        raise BadInput(
            f"Task {spec} cannot be made: {_brief(error)}.", "Check its options in the configuration.", code="E-TASK"
        ) from error
    if not isinstance(task, Task | SumTask):
        raise BadInput(
            f"Class {name} is no task: it has neither model, train and evaluate, nor vector.",
            "See node.task.Task and node.task.SumTask for the methods.",
        )
    return task


def require_data(data: Path) -> Path:
    """Check that the institution's data can be read, and return its path.

    Raises: BadInput when there is no such file or directory.
    """
    try:
        if not data.is_dir():
            data.open("rb").close()
    except OSError as error:
        raise BadInput(
            f"Data {data} cannot be read: {error.strerror}.",
            "Set `data` of the task in node.toml to a file that the node's user can read.",
            code="E-DATA",
        ) from error
    return data


def declared(task: object) -> dict[str, float] | None:
    """Return the metrics that a task declares, with the largest absolute value of each; None when it declares none.

    Raises: BadInput when that is no table of positive numbers.
    """
    if not isinstance(task, Declares):
        return None
    try:
        found = {str(name): float(value) for name, value in task.metrics.items()}
    except (AttributeError, TypeError, ValueError):
        found = {"metrics": math.nan}
    wrong = [name for name, value in found.items() if not 0 < value < math.inf]
    if wrong:
        raise BadInput(
            f"The task's `metrics` declares no largest value for {wrong[0]}.",
            'Write for example metrics = {"loss": 16.0}, or leave it out.', code="E-TASK",
        )  # fmt: skip
    return found


class FailedOnData(SecaggError):
    """What went wrong after the task saw the data; cause, remedy and code are those of what it was."""


@contextmanager
def on_data() -> Iterator[None]:
    """Mark whatever goes wrong from here on as something that may have been wrong because of the data.

    Raises: FailedOnData; the fault of a disk as it is, because the work is done again once the disk is back.
    """
    try:
        yield
    except Exception as error:
        if fault(error):
            raise
        if isinstance(error, SecaggError):
            raise FailedOnData(error.cause, error.remedy, code=error.code) from error
        raise FailedOnData(f"{type(error).__name__}: {error}", "A bug.") from error


@contextmanager
def own_code(method: str) -> Iterator[None]:
    """Turn a failure of the institution's own code into one of ours, so that the round ends and the node lives."""
    try:
        yield
    except SecaggError:
        raise
    except Exception as error:
        raise BadInput(
            f"The task's {method}() failed with {_brief(error)}.", "Mend the task or its data; nothing was sent.",
            code="E-TASK",
        ) from error  # fmt: skip


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"Task file {path} does not exist.", "Check the path of the task in node.toml.")
    # One name per path, so that two institutions' tasks on one machine do not replace each other.
    name = f"secagg_task_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"Task file {path} is not Python.", "Name a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _import_failed(str(path), error) from error
    return module


def _from_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise _import_failed(name, error) from error


def _import_failed(place: str, error: Exception) -> BadInput:
    remedy = "Install what it needs into the node's environment"
    extra = ", for example `pip install 'secagg[torch]'`." if "torch" in str(error) else ", or mend the file."
    return BadInput(f"Task {place} cannot be imported: {_brief(error)}.", remedy + extra, code="E-TASK")


def _classes(module: ModuleType) -> list[str]:
    return sorted(
        name for name, value in vars(module).items() if isinstance(value, type) and value.__module__ == module.__name__
    )


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
