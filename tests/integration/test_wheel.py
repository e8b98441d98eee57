"""The wheel by itself, in an empty environment without torch: every role runs from it, and nodes that only sum."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OPERATOR = """
import json, sys
from pathlib import Path
from secagg.demo.founding import AGGREGATOR, Federation
from secagg.events.rounds import JobDone

NODES = ("north", "south", "west")
TASK = "import numpy as np\\nclass Ones:\\n    def vector(self, data, round):\\n        return np.ones(3)\\n"
JOB = '[job]\\nname = "ones"\\ntask = "ones"\\npurpose = "sum"\\nlength = 3\\n[cohort]\\nstep_timeout = "30s"\\n'

with Federation("wheel") as federation:
    federation.open()
    federation.enrol({AGGREGATOR: AGGREGATOR, **dict.fromkeys(NODES, "node")})
    federation.start_aggregator()
    for name in NODES:
        (federation.home(name) / "task.py").write_text(TASK)
        federation.configure(name, '[tasks.ones]\\ntask = "task.py:Ones"\\ndata = "task.py"\\n')
        federation.start_node(name)
    events = federation.watch()
    next(events)
    federation.submit(JOB)
    next(event for event in events if isinstance(event, JobDone))
    values = federation.ask_aggregator({"command": "job-result", "name": "ones"})["values"]
    federation.export(Path(sys.argv[1]))
    said = federation.run("audit", "verify", sys.argv[1], "--root", federation.fingerprint, "--format", "json")
print(json.dumps({"torch": "torch" in sys.modules, "values": values, "verdict": json.loads(said)["verdict"]}))
"""


def run(*line: object, cwd: Path | None = None, timeout: int = 300) -> str:
    words = [str(part) for part in line]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", place, ROOT)
    (found,) = place.glob("secagg-*.whl")
    return found


def environment(place: Path, python: str, wheel: Path) -> Path:
    """Return the interpreter of a new environment that holds the wheel and what it needs, and nothing else."""
    run(python, "-m", "venv", place)
    found = place / "bin" / "python"
    run(found, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", ROOT / "constraints.txt", wheel)
    return found


def interpreter(version: str) -> str | None:
    """Return a Python of this version: the one on the path, else one that pyenv keeps beside the one in use."""
    beside = Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python{version}")
    for found in (shutil.which(f"python{version}"), *(str(path) for path in sorted(beside))):
        # A shim of a version that is not chosen is on the path too, and runs nothing.
        if found and not subprocess.run([found, "--version"], capture_output=True, check=False).returncode:
            return found
    return None


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(400)
def test_every_role_runs_from_the_wheel_alone(tmp_path: Path, wheel: Path) -> None:
    python = environment(tmp_path / "env", sys.executable, wheel)
    listed = json.loads(run(python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"))
    assert {"torch", "gmpy2", "phe"}.isdisjoint(entry["name"] for entry in listed)
    assert "No module named 'torch'" in subprocess.run(
        [python, "-c", "import torch"], capture_output=True, text=True, check=False
    ).stderr
    told = json.loads(run(python, "-c", OPERATOR, tmp_path / "bundle", cwd=tmp_path).splitlines()[-1])
    assert told == {"torch": False, "values": [3.0, 3.0, 3.0], "verdict": "PASS"}


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_a_round_runs_and_verifies_under_later_pythons(tmp_path: Path, wheel: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"python{version} is not installed here, and no file of the project can install one")
    found = environment(tmp_path / "env", python, wheel)
    run(found, "-m", "secagg", "demo", "sums", "--bundle", tmp_path / "bundle", cwd=tmp_path)
    assert "PASS" in run(found, "-m", "secagg", "audit", "verify", tmp_path / "bundle", cwd=tmp_path)
