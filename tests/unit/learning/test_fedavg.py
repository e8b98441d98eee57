"""The server step gives the same bytes everywhere, and the mean is the mean."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secagg.errors import BadInput
from secagg.learning.algorithm import Totals, mean, weighted
from secagg.learning.fedavg import FedAvg
from secagg.learning.layout import Arrays

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
CASES: list[dict[str, Any]] = json.loads((VECTORS / "fedavg.json").read_text())["cases"]


def float32(values: list[str]) -> Any:
    return np.frombuffer(bytes.fromhex("".join(values)), dtype=">f4").astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=[case["label"] for case in CASES])
def test_known_answers(case: dict[str, Any]) -> None:
    model: Arrays = {"w": float32(case["model"])}
    total = np.array([float.fromhex(value) for value in case["total"]])
    following = FedAvg().step(model, {}, Totals({"update": total}, case["examples"], case["weight_bound"])).model
    assert following["w"].dtype == np.float32
    assert following["w"].tobytes() == float32(case["next"]).tobytes()


def test_the_vectors_are_what_their_generator_gives() -> None:
    assert subprocess.run([sys.executable, VECTORS / "gen_fedavg.py", "--check"], check=False).returncode == 0


def test_sums_alone_give_the_weighted_mean() -> None:
    updates = [np.array([1.0, -2.0], dtype=np.float32), np.array([4.0, 0.5], dtype=np.float32)]
    counts, bound = [3, 5], 8
    total = np.zeros(2)
    for update, count in zip(updates, counts, strict=True):
        total += weighted(update, count, bound)
    assert mean(total, sum(counts), bound).tolist() == [(3 * 1 + 5 * 4) / 8, (3 * -2 + 5 * 0.5) / 8]


def test_a_weight_never_exceeds_one() -> None:
    assert weighted(np.array([2.0]), 900, 300).tolist() == [2.0]
    assert weighted(np.array([2.0]), 150, 300).tolist() == [1.0]


@pytest.mark.parametrize(("examples", "bound"), [(0, 10), (-1, 10), (1, 0)])
def test_no_weight_is_refused(examples: int, bound: int) -> None:
    with pytest.raises(BadInput, match="no weight"):
        weighted(np.zeros(1), examples, bound)


@pytest.mark.parametrize("examples", [0.0, -3.0, float("nan")])
def test_a_mean_of_nobody_is_refused(examples: float) -> None:
    with pytest.raises(BadInput, match="examples"):
        mean(np.zeros(1), examples, 10)


def test_the_old_model_stays_as_it_was() -> None:
    model: Arrays = {"w": np.ones(2, dtype=np.float32)}
    FedAvg().step(model, {}, Totals({"update": np.ones(2)}, 1, 1))
    assert model["w"].tolist() == [1, 1]


def test_a_mean_of_another_length_or_not_finite_is_refused() -> None:
    model: Arrays = {"w": np.ones(2, dtype=np.float32)}
    with pytest.raises(BadInput, match=r"\(3,\)"):
        FedAvg().step(model, {}, Totals({"update": np.ones(3)}, 1, 1))
    with pytest.raises(BadInput, match="next model is not finite"):
        FedAvg().step(model, {}, Totals({"update": np.array([0.0, np.nan])}, 1, 1))
