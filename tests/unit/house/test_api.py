"""What `import secagg` offers: few names, found when they are used, the same for programs and for type checkers."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import node.task
import secagg
from secagg import errors

ROOT = Path(__file__).resolve().parents[3]
OFFERED = {"RoundContext", "SumTask", "Task", "Trained"}


def python(*line: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run((sys.executable, *line), cwd=cwd, capture_output=True, text=True, check=False)


def test_the_names_are_what_a_task_needs() -> None:
    assert metadata.entry_points(group="secagg.api").names == OFFERED
    assert (secagg.Task, secagg.Trained) == (node.task.Task, node.task.Trained)
    assert secagg.errors is errors
    assert set(dir(secagg)) == {*OFFERED, "errors"}
    with pytest.raises(AttributeError, match="Trainer"):
        secagg.Trainer  # type: ignore[attr-defined]  # noqa: B018 - that it is none is the test


def test_type_checkers_are_told_the_same_names() -> None:
    told = (ROOT / "secagg" / "__init__.pyi").read_text()
    assert {line.rpartition(" as ")[2] for line in told.splitlines() if " as " in line} == {*OFFERED, "errors"}


def test_importing_it_loads_neither_numpy_nor_a_role() -> None:
    heavy = "{'numpy', 'torch', 'zmq', 'node', 'keyserver', 'aggregator'} & set(sys.modules)"
    done = python("-c", f"import sys, secagg; secagg.errors.BadInput; print(sorted({heavy}))")
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_python_m_secagg_works_in_any_directory(tmp_path: Path) -> None:
    done = python("-m", "secagg", "node", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "secagg node" in done.stdout


@pytest.mark.parametrize("hiding", ["node/__init__.py", "node.py"])
def test_a_folder_that_hides_one_of_our_packages_is_named(tmp_path: Path, hiding: str) -> None:
    place = tmp_path / hiding
    place.parent.mkdir(exist_ok=True)
    place.write_text("")
    done = python("-m", "secagg", "node", "--help", cwd=tmp_path)
    assert done.returncode == errors.BadConfiguration.exit_code
    assert "hides a package of secagg that is called node too" in done.stderr
    assert "Traceback" not in done.stderr
    assert python("-m", "secagg", "job", "--help", cwd=tmp_path).returncode == 0, "only what is used has to be there"
