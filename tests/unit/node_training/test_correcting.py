"""An algorithm's rule reaches whatever trains: what it adds is what the loss of the paper adds, or nothing leaves."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from node.task import RoundContext, Trained
from node.training import Update, initial_model, run_training
from secagg.errors import BadInput
from secagg.learning.algorithm import Rule, alone
from secagg.learning.fedprox import FedProx
from secagg.learning.layout import Arrays
from support import torch_tasks

HALF = Rule(pull=0.5)


class Bowl(torch.nn.Module):
    """½ Σ (w − 1)², and a tensor beside it that no gradient reaches unless a loop says so."""

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(size))
        self.beside = torch.nn.Parameter(torch.zeros(1))

    def forward(self) -> torch.Tensor:
        return (self.w - torch.linspace(1, 2, len(self.w))).square().sum() / 2


Loop = Callable[[Bowl, RoundContext], None]


@dataclass
class Trains:
    """A task that trains by a loop."""

    loop: Loop
    size: int = 1

    def model(self) -> Bowl:
        return Bowl(self.size)

    def train(self, model: torch.nn.Module, data: Path, round: RoundContext) -> Trained:
        assert isinstance(model, Bowl)
        self.loop(model, round)
        return Trained(1)

    def evaluate(self, model: torch.nn.Module, data: Path) -> dict[str, float]:
        return {}


def run(loop: Loop, rule: Rule | None, size: int = 1, arrays: Arrays | None = None) -> Update:
    task = Trains(loop, size)
    return run_training(task, arrays or initial_model(task), Path(__file__), RoundContext("bowl", 1, rule=rule))


def sgd(model: Bowl, round: RoundContext) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.25)
    for _ in range(2):
        optimiser.zero_grad()
        model().backward()
        optimiser.step()


def closure(model: Bowl, round: RoundContext, by_name: bool = False) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.25)

    def again() -> float:
        optimiser.zero_grad()
        loss = model()
        loss.backward()
        return float(loss.item())

    for _ in range(2):
        _ = optimiser.step(closure=again) if by_name else optimiser.step(again)


def named_closure(model: Bowl, round: RoundContext) -> None:
    closure(model, round, by_name=True)


def by_hand(model: Bowl, round: RoundContext) -> None:
    for _ in range(2):
        model.zero_grad()
        model().backward()
        round.correct(model)
        with torch.no_grad():
            for one in model.parameters():
                one.sub_(0.25 * one.grad if one.grad is not None else torch.zeros(1))


@pytest.mark.parametrize("loop", [sgd, closure, named_closure, by_hand])
def test_known_answers(loop: Loop) -> None:
    """One member, a = 1, rate ¼, two steps, mu ½: by hand in fractions."""
    algorithm, arrays, found = FedProx(mu=0.5), initial_model(Trains(loop)), []
    for _ in range(2):
        update = run(loop, algorithm.local(), arrays=arrays)
        arrays = algorithm.step(arrays, {}, alone(update.delta)).model
        found.append(float(arrays["w"][0]))
    assert found == [0.40625, 0.6474609375]


@pytest.mark.parametrize("loop", [sgd, closure, by_hand])
def test_without_a_pull_it_is_federated_averaging(loop: Loop) -> None:
    assert run(loop, FedProx(mu=0).local(), 50).delta.tobytes() == run(loop, None, 50).delta.tobytes()


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop"])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_hook_gives_the_bits_of_the_loss_with_the_term(kind: str, parts: int) -> None:
    """Momentum and moments see the term too, and gradients that are gathered in two parts have it once."""

    def loop(model: Bowl, term: float) -> None:
        began = model.w.detach().clone()
        optimiser = getattr(torch.optim, kind)([model.w], lr=0.05)
        for _ in range(9):
            optimiser.zero_grad()
            for _ in range(parts):
                torch.autograd.backward(model() / parts)
            if term:
                torch.autograd.backward(term / 2 * (model.w - began).square().sum())
            optimiser.step()

    hooked = run(lambda model, _: loop(model, 0), Rule(0.3), 40).delta
    written = run(lambda model, _: loop(model, 0.3), None, 40).delta
    assert hooked.tobytes() == written.tobytes() != run(lambda model, _: loop(model, 0), None, 40).delta.tobytes()


def nothing(model: Bowl, round: RoundContext) -> None:
    """No step at all."""


def silent(model: Bowl, round: RoundContext) -> None:
    with torch.no_grad():
        model.w.fill_(1.0)


def half_seen(model: Bowl, round: RoundContext) -> None:
    sgd(model, round)
    with torch.no_grad():
        model.beside.fill_(1.0)


def replaced(model: Bowl, round: RoundContext) -> None:
    sgd(model, round)
    model.w = torch.nn.Parameter(torch.ones(1))


def twice(model: Bowl, round: RoundContext) -> None:
    by_hand(model, round)
    sgd(model, round)


def lbfgs(model: Bowl, round: RoundContext) -> None:
    optimiser = torch.optim.LBFGS([model.w], lr=0.1)

    def again() -> float:
        optimiser.zero_grad()
        loss = model()
        loss.backward()
        return float(loss.item())

    optimiser.step(again)  # type: ignore[no-untyped-call]  # torch annotates it so


def scaled(model: Bowl, round: RoundContext) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=0.25, fused=True)
    # As a GradScaler leaves it to fused steps.
    optimiser.grad_scale, optimiser.found_inf = torch.tensor(2.0), torch.tensor(0.0)  # type: ignore[attr-defined]
    model().backward()
    optimiser.step()


def sparse(model: Bowl, round: RoundContext) -> None:
    optimiser = torch.optim.SGD([model.w], lr=0.25)
    model.w.grad = torch.ones(1).to_sparse()
    optimiser.step()


def caught(model: Bowl, round: RoundContext) -> None:
    """A task that goes on whatever is raised in it."""
    try:
        lbfgs(model, round)
    except BadInput:
        return


def another(model: Bowl, round: RoundContext) -> None:
    round.correct(Bowl())


@pytest.mark.parametrize(
    ("loop", "says"),
    [
        (nothing, "no step of an optimiser was seen"), (silent, "no step of an optimiser was seen"),
        (half_seen, "tensor beside moved"), (replaced, "tensor w moved"), (twice, "counts twice"),
        (lbfgs, "LBFGS"), (caught, "LBFGS"), (scaled, "scaled gradients"), (sparse, "sparse"),
        (another, "no tensor of the round's"),
    ],
)  # fmt: skip
def test_what_trains_without_the_correction_does_not_leave(loop: Loop, says: str) -> None:
    with pytest.raises(BadInput, match=says) as found:
        run(loop, HALF)
    assert found.value.code == "E-ALGORITHM"
    if loop is not another:
        run(loop, None)


def test_other_models_of_the_process_and_later_trainings_are_left_alone() -> None:
    other = Bowl()

    def loop(model: Bowl, round: RoundContext) -> None:
        sgd(model, round)
        sgd(other, round)

    run(loop, HALF)
    assert float(other.w.detach()) == pytest.approx(0.4375)
    with pytest.raises(BadInput):
        run(silent, HALF)
    assert run(sgd, None).delta.tolist() == [0.0, 0.4375]


def test_there_is_nothing_to_correct_outside_training() -> None:
    RoundContext("bowl", 1).correct(Bowl())
    with pytest.raises(BadInput, match="outside train"):
        RoundContext("bowl", 1, rule=HALF).correct(Bowl())


def test_a_task_that_knows_no_algorithm_trains_by_one(tmp_path: Path) -> None:
    data = tmp_path / "points.txt"
    data.write_text("1 3\n2 5\n3 7\n")
    task = torch_tasks.Line(steps=5, rate=0.05)
    free, pulled = (
        run_training(task, initial_model(task), data, RoundContext("line", 1, rule=rule)).delta
        for rule in (None, Rule(1.0))
    )
    assert np.abs(pulled).sum() < np.abs(free).sum()
