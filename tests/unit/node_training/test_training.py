"""A round of local work: the update is new minus old, and what is not as the job says does not leave."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from node.summing import run_vector
from node.task import RoundContext, Trained, declared
from node.training import initial_model, run_evaluation, run_training, trainable
from secagg.errors import BadInput
from secagg.learning.layout import of_arrays
from support import torch_tasks

CONTEXT = RoundContext("line", 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "points.txt"
    path.write_text("1 3\n2 5\n3 7\n")
    return path


def test_the_update_is_one_gradient_step(data: Path) -> None:
    task = torch_tasks.Line(steps=1, rate=0.1)
    update = run_training(task, initial_model(task), data, CONTEXT)
    # d/db mean((wx+b−y)²) = −2·mean(y) = −10 and d/dw = −2·mean(xy) = −68/3 at w = b = 0; names sort bias, weight.
    assert update.delta == pytest.approx([1.0, 6.8 / 3], rel=1e-6)
    assert update.delta.dtype == np.float32
    assert update.num_examples == 3
    assert update.metrics["loss"] == pytest.approx(83 / 3)


def test_training_starts_from_the_jobs_model_and_leaves_it_alone(data: Path) -> None:
    perfect = {"bias": np.array([1.0], dtype=np.float32), "weight": np.array([[2.0]], dtype=np.float32)}
    update = run_training(torch_tasks.Line(steps=5), perfect, data, CONTEXT)
    assert update.delta.tolist() == [0.0, 0.0]
    assert run_evaluation(torch_tasks.Line(), perfect, data, CONTEXT)["error"] == 0.0
    moved = {"bias": np.array([1.5], dtype=np.float32), "weight": np.array([[2.0]], dtype=np.float32)}
    assert run_training(torch_tasks.Line(steps=5), moved, data, CONTEXT).delta[0] < 0
    assert moved["bias"].tolist() == [1.5]


def test_buffers_and_frozen_parameters_stay(data: Path) -> None:
    assert sorted(initial_model(torch_tasks.Line())) == ["bias", "weight"]
    task = torch_tasks.Frozen()
    arrays = initial_model(task)
    assert sorted(arrays) == ["bias"]
    assert run_training(task, arrays, data, CONTEXT).delta.shape == (1,)


def test_a_difference_beyond_float32_saturates(data: Path) -> None:
    """In its lane it is clipped and counted, so that a first model of huge weights makes nobody fail by its data."""
    largest = float(np.finfo(np.float32).max)
    task = torch_tasks.Turned(-largest)
    far = {"bias": np.array([largest], dtype=np.float32), "weight": np.array([[0.0]], dtype=np.float32)}
    assert run_training(task, far, data, CONTEXT).delta.tolist() == [-largest, 0.0]


def test_a_task_is_held_against_what_it_declares(data: Path) -> None:
    task = torch_tasks.Declares()
    assert run_training(task, initial_model(task), data, CONTEXT).metrics["loss"] < 64
    data.write_text("1 30\n2 50\n")
    with pytest.raises(BadInput, match="metric loss is missing, or beyond the 64"):
        run_training(task, initial_model(task), data, CONTEXT)
    silent = torch_tasks.Undeclared()
    with pytest.raises(BadInput, match="metric error is missing"):
        run_training(silent, initial_model(silent), data, CONTEXT)


@pytest.mark.parametrize("metrics", [{"loss": 0.0}, {"loss": float("inf")}, {"loss": "much"}, ["loss"], None])
def test_a_declaration_that_is_none_is_said(metrics: object) -> None:
    task = torch_tasks.Declares()
    task.metrics = metrics  # type: ignore[assignment]  # wrong on purpose
    with pytest.raises(BadInput, match="declares no largest value"):
        declared(task)


def test_one_thread_is_used(data: Path) -> None:
    torch.set_num_threads(2)
    task = torch_tasks.Line()
    assert run_evaluation(task, initial_model(task), data, CONTEXT)["threads"] == 1


def test_a_task_is_prepared_with_published_sums(data: Path) -> None:
    task = torch_tasks.Prepared()
    published = RoundContext("line", 1, {"offset": np.array([7.0])})
    assert run_evaluation(task, initial_model(task), data, published) == {"seen": 7.0}
    with pytest.raises(BadInput, match="sums of job offset"):
        run_training(task, initial_model(task), data, CONTEXT)


def test_shapes_other_than_the_jobs_are_refused_by_name(data: Path) -> None:
    with pytest.raises(BadInput, match=r"Tensor weight is float32 \(1, 2\) here, and the job says float32 \(1, 1\)"):
        run_training(torch_tasks.Wide(), initial_model(torch_tasks.Line()), data, CONTEXT)


def test_a_dtype_that_cannot_be_averaged_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"Tensor weight has dtype bfloat16"):
        initial_model(torch_tasks.Half())


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(BadInput, match="no tensor to train"):
        trainable(torch.nn.ReLU())


def test_nan_does_not_leave(data: Path) -> None:
    task = torch_tasks.Diverges()
    with pytest.raises(BadInput, match="update is not finite: 1 values, the first in tensor bias") as caught:
        run_training(task, initial_model(task), data, CONTEXT)
    assert caught.value.code == "E-NAN"


def test_missing_data_is_refused_before_training(tmp_path: Path) -> None:
    task = torch_tasks.Fails()
    with pytest.raises(BadInput) as caught:
        run_training(task, initial_model(task), tmp_path / "gone.csv", CONTEXT)
    assert caught.value.code == "E-DATA"


def test_a_failing_task_is_a_bad_input_with_its_first_line(data: Path) -> None:
    task = torch_tasks.Fails()
    with pytest.raises(BadInput, match=r"train\(\) failed with RuntimeError: first line\.") as caught:
        run_training(task, initial_model(task), data, CONTEXT)
    assert "second line" not in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(BadInput, match=r"evaluate\(\) failed with KeyError"):
        run_evaluation(task, initial_model(task), data, CONTEXT)


@pytest.mark.parametrize("result", [None, (3, {}), Trained(0), Trained(True), Trained(1, {"loss": float("nan")})])
def test_a_report_of_the_wrong_kind_is_refused(data: Path, result: Any) -> None:
    task = torch_tasks.Reports(result)
    with pytest.raises(BadInput, match=r"train\(\)"):
        run_training(task, initial_model(task), data, CONTEXT)


def test_a_vector_is_one_dimensional_and_finite(data: Path) -> None:
    assert run_vector(torch_tasks.Total(), data, CONTEXT).tolist() == [6.0, 15.0]
    with pytest.raises(BadInput, match=r"shape \(2, 2\)"):
        run_vector(torch_tasks.Table(2), data, CONTEXT)
    with pytest.raises(BadInput, match="not finite at index 1"):
        run_vector(torch_tasks.Table(1), data, CONTEXT)


def test_the_layout_of_a_model_is_the_one_a_job_pins() -> None:
    shapes = {tensor.name: tensor.shape for tensor in of_arrays(initial_model(torch_tasks.Line())).tensors}
    assert shapes == {"bias": (1,), "weight": (1, 1)}
