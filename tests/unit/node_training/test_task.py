"""A task is found by file or module, and what is none is refused with a reason."""

import errno
import sys
from pathlib import Path

import numpy as np
import pytest

from node.task import FailedOnData, Prepares, RoundContext, SumTask, Task, load_task, on_data, require_data
from secagg.errors import BadInput, Refused, TryLater

FILE = Path(__file__).resolve().parents[2] / "support" / "torch_tasks.py"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return f"{path}:Mine"


def test_a_task_is_loaded_from_a_file_and_from_a_module() -> None:
    by_file, by_module = load_task(f"{FILE}:Line", {"steps": 3}), load_task("support.torch_tasks:Line")
    assert (by_file.steps, by_module.steps) == (3, 1)
    assert isinstance(by_file, Task)
    assert isinstance(by_module, Task)
    assert isinstance(load_task(f"{FILE}:Prepared"), Prepares)
    assert not isinstance(by_file, Prepares)
    total = load_task(f"{FILE}:Total")
    assert isinstance(total, SumTask)
    assert not isinstance(total, Task)


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    body = "class Mine:\n    answer = {}\n    def vector(self, data, round):\n        return None\n"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = load_task(write(tmp_path / "a" / "task.py", body.format(1)))
    second = load_task(write(tmp_path / "b" / "task.py", body.format(2)))
    assert (first.answer, second.answer) == (1, 2)
    assert type(first).__module__ != type(second).__module__


def test_dataclasses_in_a_task_file_work(tmp_path: Path) -> None:
    body = (
        "from __future__ import annotations\nfrom dataclasses import dataclass, field\n@dataclass\nclass Mine:\n"
        "    kept: list[int] = field(default_factory=list)\n    def vector(self, data, round):\n        return None\n"
    )
    assert load_task(write(tmp_path / "task.py", body)).kept == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("task.py", "is not FILE:CLASS"),
        (":Line", "is not FILE:CLASS"),
        ("task.py:", "is not FILE:CLASS"),
        ("missing.py:Line", "missing.py does not exist"),
        ("no_such_module_here:Line", "cannot be imported: ModuleNotFoundError"),
        (f"{FILE}:Circle", "has no class Circle"),
        (f"{FILE}:read", "has no class read"),
        (f"{FILE}:Nothing", "Nothing is no task"),
    ],
)
def test_what_is_no_task_is_refused(spec: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_task(spec)
    assert words in caught.value.cause
    assert caught.value.remedy


def test_the_classes_of_the_file_are_listed(tmp_path: Path) -> None:
    spec = write(tmp_path / "task.py", "class Heart: pass\n\nclass Brain: pass\n")
    with pytest.raises(BadInput, match=r"Brain, Heart"):
        load_task(spec)


def test_a_file_that_fails_leaves_no_module(tmp_path: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(BadInput, match="cannot be imported: ZeroDivisionError"):
        load_task(write(tmp_path / "task.py", "1 / 0\n"))
    assert {name for name in set(sys.modules) - before if name.startswith("secagg_task_")} == set()


def test_a_missing_torch_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"pip install 'secagg\[torch\]'"):
        load_task(write(tmp_path / "task.py", "import torch_that_is_not_there\n"))


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(BadInput, match="colour") as caught:
        load_task(f"{FILE}:Line", {"colour": "red"})
    assert caught.value.code == "E-TASK"


def test_data_must_be_there(tmp_path: Path) -> None:
    assert require_data(tmp_path) == tmp_path
    file = tmp_path / "data.csv"
    with pytest.raises(BadInput, match=r"data\.csv cannot be read: No such file") as caught:
        require_data(file)
    assert caught.value.code == "E-DATA"
    assert "node.toml" in caught.value.remedy
    file.write_text("x")
    assert require_data(file) == file


def test_sums_of_an_earlier_job_are_found_by_name() -> None:
    context = RoundContext("risk", 1, {"moments": np.array([1.0])})
    assert context.sums("moments").tolist() == [1.0]
    with pytest.raises(BadInput, match=r"sums of job counts, and job risk .*uses = \[\"counts\"\]"):
        context.sums("counts")


@pytest.mark.parametrize(
    "error", [BadInput("a value", "mend it", code="E-NAN"), Refused("a rule", rule="task.data"), ValueError("row 17")]
)
def test_what_goes_wrong_on_data_is_marked_and_says_what_it_was(error: Exception) -> None:
    with pytest.raises(FailedOnData) as caught, on_data():
        raise error
    assert str(error).split()[0] in caught.value.cause
    assert caught.value.code == getattr(error, "code", "E-BUG")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), TryLater("full", code="E-DISK")])
def test_the_fault_of_a_disk_is_none_of_the_data(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, on_data():
        raise error
    assert caught.value is error
