"""Small torch tasks for tests, loaded by path as an institution's own code is."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from node.task import RoundContext, Trained


class Line:
    """y = slope · x + offset by gradient descent; the data is text, one `x y` per line."""

    def __init__(self, steps: int = 1, rate: float = 0.1) -> None:
        self.steps, self.rate = steps, rate

    def model(self) -> torch.nn.Module:
        model = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(model.weight)
        torch.nn.init.zeros_(model.bias)
        model.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        return model

    def train(self, model: torch.nn.Module, data: Path, round: RoundContext) -> Trained:
        x, y = read(data)
        optimiser = torch.optim.SGD(model.parameters(), lr=self.rate)
        for _ in range(self.steps):
            optimiser.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]  # torch annotates it so
            optimiser.step()
        return Trained(len(x), {"loss": loss.item()})

    def evaluate(self, model: torch.nn.Module, data: Path) -> dict[str, float]:
        x, y = read(data)
        with torch.no_grad():
            return {"error": torch.nn.functional.mse_loss(model(x), y).item(), "threads": torch.get_num_threads()}


class Hidden(Line):
    """A curve through three hidden units, which may stand in any order."""

    def model(self) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))


class Prepared(Line):
    """A line with a buffer that is what the sum job `offset` published."""

    def prepare(self, model: torch.nn.Module, round: RoundContext) -> None:
        model.seen.fill_(int(round.sums("offset")[0]))  # type: ignore[operator]  # torch: Tensor or Module

    def evaluate(self, model: torch.nn.Module, data: Path) -> dict[str, float]:
        return {"seen": float(model.seen)}  # type: ignore[arg-type]  # torch: Tensor or Module


class Declares(Line):
    """A line that says how large its loss may be."""

    metrics = {"loss": 64.0}  # noqa: RUF012 - as an institution writes it


class Undeclared(Line):
    """A line that declares another metric than it returns."""

    metrics = {"error": 64.0}  # noqa: RUF012 - as an institution writes it


class Silent(Line):
    """A line that reports no metric."""

    def train(self, model: torch.nn.Module, data: Path, round: RoundContext) -> Trained:
        return Trained(super().train(model, data, round).num_examples)


class Turned(Line):
    """A line whose offset ends at a value that is given."""

    def __init__(self, end: float = 0.0) -> None:
        super().__init__()
        self.end = end

    def train(self, model: torch.nn.Module, data: Path, round: RoundContext) -> Trained:
        with torch.no_grad():
            model.bias.fill_(self.end)  # type: ignore[operator]  # torch: Tensor or Module
        return Trained(1)


class Diverges(Line):
    """A line that ends in NaN."""

    def train(self, model: torch.nn.Module, data: Path, round: RoundContext) -> Trained:
        with torch.no_grad():
            model.bias.fill_(float("nan"))  # type: ignore[operator]  # torch: Tensor or Module
        return Trained(1)


class Fails(Line):
    """A task with a bug in every method but model."""

    def train(self, model: torch.nn.Module, data: Path, round: RoundContext) -> Trained:
        raise RuntimeError("first line\nsecond line")

    def evaluate(self, model: torch.nn.Module, data: Path) -> dict[str, float]:
        raise KeyError("column")


class Reports(Line):
    """A task that returns what it was told to."""

    def __init__(self, result: object = None) -> None:
        super().__init__()
        self.result = result

    def train(self, model: torch.nn.Module, data: Path, round: RoundContext) -> Trained:
        return self.result  # type: ignore[return-value]  # wrong on purpose


class Wide(Line):
    """A line with two inputs: the wrong shapes for a job of `Line`."""

    def model(self) -> torch.nn.Module:
        return torch.nn.Linear(2, 1)


class Half(Line):
    """A model in a dtype that cannot be averaged."""

    def model(self) -> torch.nn.Module:
        return torch.nn.Linear(1, 1).to(torch.bfloat16)


class Frozen(Line):
    """A line whose weight is frozen: only the offset travels."""

    def model(self) -> torch.nn.Module:
        model = super().model()
        model.weight.requires_grad_(False)
        return model


class Total:
    """Sum of both columns."""

    def vector(self, data: Path, round: RoundContext) -> npt.NDArray[np.float64]:
        return np.array([column.sum() for column in np.loadtxt(data, dtype=np.float64).T])


class Table:
    """A vector that is none, and options that say which."""

    def __init__(self, shape: int = 2) -> None:
        self.shape = shape

    def vector(self, data: Path, round: RoundContext) -> npt.NDArray[np.float64]:
        return np.zeros((2, 2)) if self.shape == 2 else np.array([0.0, np.inf])


class Nothing:
    """No task at all."""


def read(data: Path) -> tuple[torch.Tensor, torch.Tensor]:
    files = sorted(data.iterdir()) if data.is_dir() else [data]
    rows = np.concatenate([np.loadtxt(file, dtype=np.float32, ndmin=2) for file in files])
    return torch.from_numpy(rows[:, :1]), torch.from_numpy(rows[:, 1:])
