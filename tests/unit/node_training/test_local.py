"""Alone, centralised, and a federation of one are the same training."""

from pathlib import Path

import numpy as np
import pytest

from node.local import train, write_model
from node.task import RoundContext
from node.training import initial_model, run_training
from secagg.errors import BadInput
from secagg.learning.algorithm import Totals, weighted
from secagg.learning.digest import architecture_digest, model_digest
from secagg.learning.fedavg import FedAvg
from secagg.learning.layout import decode_model, of_arrays
from support import torch_tasks

LINE = "support.torch_tasks:Line"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rows = {"north": "1 3\n2 5\n", "south": "3 7\n4 9.5\n"}
    for name, text in rows.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return [tmp_path / f"{name}.txt" for name in rows]


def test_a_model_file_is_what_a_job_pins(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    said = write_model(LINE, out)
    arrays = decode_model(out.read_bytes())
    assert said["digest"] == model_digest(arrays).hex()
    assert said["architecture"] == architecture_digest(of_arrays(arrays)).hex()
    assert said["parameters"] == 2
    assert said["tensors"] == {"bias": "float32[1]", "weight": "float32[1, 1]"}
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_model_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written: No such file"):
        write_model(LINE, tmp_path / "nowhere" / "m.safetensors")


@pytest.mark.parametrize("examples", [4, 7])
def test_a_federation_of_one_is_centralised_training(files: list[Path], examples: int) -> None:
    task = torch_tasks.Line(steps=2, rate=0.02)
    arrays = initial_model(task)
    for number in range(1, 6):
        update = run_training(task, arrays, files[0], RoundContext("line", number))
        total = weighted(update.delta, examples, 10)
        arrays = FedAvg().step(arrays, {}, Totals({"update": total}, examples, 10)).model
    whole = run_training(torch_tasks.Line(steps=10, rate=0.02), initial_model(task), files[0], RoundContext("line", 1))
    got = np.concatenate([arrays["bias"].ravel(), arrays["weight"].ravel()])
    assert got == pytest.approx(whole.delta, rel=1e-5)


def test_alone_trains_on_one_file_and_pooled_on_all(files: list[Path]) -> None:
    options = {"steps": 20, "rate": 0.05}
    alone, pooled = train(LINE, files[:1], 50, options), train(LINE, files, 50, options)
    assert (alone["rounds"], alone["examples"], pooled["examples"]) == (50, 2, 4)
    assert sorted(alone["metrics"]) == ["north"]
    assert sorted(pooled["metrics"]) == ["north", "south"]
    # Two points lie on a line; the four do not.
    assert alone["metrics"]["north"]["error"] < 1e-6
    assert pooled["metrics"]["north"]["error"] > 1e-3
    assert "auc" not in pooled


def test_nothing_is_left_beside_the_data(files: list[Path]) -> None:
    train(LINE, files, 1)
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["north.txt", "south.txt"]


@pytest.mark.parametrize(
    ("spec", "names", "rounds", "words"),
    [
        (LINE, [], 1, "nothing to train on"),
        (LINE, ["north.txt"], 0, "nothing to train on"),
        (LINE, ["north.txt", "gone.txt"], 1, "gone.txt cannot be read"),
        (LINE, ["north.txt", "north.txt"], 1, "same name"),
        ("support.torch_tasks:Total", ["north.txt"], 1, "only sums"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    files: list[Path], spec: str, names: list[str], rounds: int, words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        train(spec, [files[0].parent / name for name in names], rounds)
