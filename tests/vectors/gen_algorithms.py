"""Write algorithms.json: rounds of every algorithm from published sums, in Python's own floats. `--check` compares.

A float is written as `float.hex()`. `tests/unit/learning/test_algorithms.py` computes the file once more in fractions.
"""

from typing import Any

from vectors.plain import steps
from vectors.plain.forms import drawn
from vectors.plain.writing import Vectors, finish

ADAM = {"beta1": 0.9, "beta2": 0.99, "rate": 0.03, "tau": 1e-3}
NAN, INFINITY = float("nan"), float("inf")
Rounds = dict[str, Any]
BOOK: Rounds = {
    "model": [1.0, -2.0, 0.5], "dtype": "float64", "weight_bound": 1,
    "totals": [[0.25, -0.5, 0.0], [-0.125, 0.25, 1.0]], "examples": [1, 1],
}  # fmt: skip


def values(label: str, count: int, spread: float) -> list[float]:
    """Return float64 values in ±spread that follow from the label."""
    return [(int.from_bytes(drawn(f"{label}/{at}", 7), "big") / 2**55 - 1) * spread for at in range(count)]


def example(label: str, dtype: str, size: int, rounds: int, spread: float) -> Rounds:
    """Return what a job publishes: Σ n_k/W · Δ_k and Σ n_k of each round."""
    return {
        "model": [steps.near(value, dtype) for value in values(f"{label}/model", size, 3.0)], "dtype": dtype,
        "weight_bound": 212, "totals": [values(f"{label}/{at}", size, spread) for at in range(rounds)],
        "examples": [640 + 97 * at for at in range(rounds)],
    }  # fmt: skip


def played(name: str, numbers: dict[str, float], given: Rounds) -> list[Rounds]:
    """Return model and state after each round."""
    model, dtype = given["model"], given["dtype"]
    state: dict[str, list[float]] = {}
    found: list[Rounds] = []
    for total, examples in zip(given["totals"], given["examples"], strict=True):
        factor = given["weight_bound"] / examples
        mean = [value * factor for value in total]
        if name == "fedadam":
            model, state = steps.fedadam(model, state, mean, numbers, dtype)
        else:
            model = steps.fedavg(model, mean, dtype)
        found.append({"model": model, "state": state})
    return found


def accepted(to: Vectors) -> None:
    """Add rounds of every algorithm."""
    chosen: tuple[tuple[str, str, dict[str, float], Rounds], ...] = (
        ("fedavg, by hand", "fedavg", {}, BOOK),
        ("fedprox, by hand", "fedprox", {"mu": 0.5}, BOOK),
        ("fedadam, by hand", "fedadam", {**ADAM, "rate": 0.1}, BOOK),
        ("fedavg, drawn", "fedavg", {}, example("avg", "float32", 17, 3, 1.5)),
        ("fedadam, float32", "fedadam", ADAM, example("adam", "float32", 17, 4, 1.5)),
        ("fedadam, float64", "fedadam", ADAM, example("adam 64", "float64", 9, 4, 1.5)),
        ("fedadam, tiny updates", "fedadam", ADAM, example("adam tiny", "float64", 5, 3, 2.0**-90)),
        ("fedadam, huge updates", "fedadam", ADAM, example("adam huge", "float64", 5, 3, 2.0**90)),
        ("fedadam, no memory", "fedadam", {**ADAM, "beta1": 0.0, "beta2": 0.0}, example("none", "float64", 5, 2, 1.0)),
        ("fedadam, an update of zeros", "fedadam", ADAM, {**BOOK, "totals": [[0.0] * 3, [-0.0] * 3]}),
    )
    for name, algorithm, numbers, given in chosen:
        made = {"algorithm": {"name": algorithm, "numbers": numbers}, **given}
        to.accept(name, "rounds", made, played(algorithm, numbers, given))


def refused(to: Vectors) -> None:
    """Add choices that are none, and sums that do not fit."""
    adam = {"algorithm": {"name": "fedadam", "numbers": ADAM}, **BOOK}
    wrong: dict[str, tuple[str, dict[str, float], str]] = {
        "no such algorithm": ("fedsplit", {}, "algorithm.name"),
        "a number of another algorithm": ("fedavg", {"mu": 0.5}, "algorithm.numbers"),
        "a number is missing": ("fedadam", {"beta1": 0.9, "beta2": 0.99, "rate": 0.1}, "algorithm.numbers"),
        "no numbers": ("fedprox", {}, "algorithm.numbers"),
        "mu is negative": ("fedprox", {"mu": -0.5}, "algorithm.numbers"),
        "mu is above 1": ("fedprox", {"mu": 1.5}, "algorithm.numbers"),
        "beta1 is 1": ("fedadam", {**ADAM, "beta1": 1.0}, "algorithm.numbers"),
        "beta2 is negative": ("fedadam", {**ADAM, "beta2": -0.1}, "algorithm.numbers"),
        "the rate is 0": ("fedadam", {**ADAM, "rate": 0.0}, "algorithm.numbers"),
        "tau is 0": ("fedadam", {**ADAM, "tau": 0.0}, "algorithm.numbers"),
        "a number is NaN": ("fedadam", {**ADAM, "tau": NAN}, "algorithm.numbers"),
        "a number is infinite": ("fedadam", {**ADAM, "rate": INFINITY}, "algorithm.numbers"),
    }
    for name, (algorithm, numbers, rule) in wrong.items():
        given = {**BOOK, "algorithm": {"name": algorithm, "numbers": numbers}}
        to.refuse(name, "rounds", given, "Refused", rule=rule)
    sums: dict[str, Rounds] = {
        "one value too few": {"totals": [[0.25, -0.5]], "examples": [1]},
        "nobody's examples": {"examples": [0, 1]},
        "an update that is NaN": {"totals": [[0.25, NAN, 0.0]], "examples": [1]},
    }
    for name, change in sums.items():
        to.refuse(name, "rounds", {**adam, **change}, "BadInput")


def text() -> str:
    """Return the file's text."""
    to = Vectors("Model and state after each round of an algorithm, from what the rounds published.")
    for add in (accepted, refused):
        add(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
