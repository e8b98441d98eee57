"""node.toml: paths are relative to the file, data is looked for at once, and faults are named."""

from pathlib import Path

import pytest

from node import config
from node.config import OwnTask
from secagg.errors import BadConfiguration, BadInput, UsageError

HEAD = (
    '[node]\nname = "charite"\nstate_dir = "state"\n'
    f'[broker]\naddress = "tcp://127.0.0.1:7700"\ncurve_key = "{"00" * 32}"\n'
    f'[federation]\nname = "hearts"\nroot_fingerprint = "sha256:{"0" * 64}"\n'
)
TASKS = (
    '[tasks.risk]\ntask = "code/risk.py:Risk"\ndata = "data.csv"\noptions = { steps = 3 }\n'
    '[tasks.moments]\ntask = "heart.moments:Moments"\ndata = "."\n'
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "data.csv").write_text("1\n")
    (tmp_path / "node.toml").write_text(HEAD + TASKS)
    return tmp_path / "node.toml"


def test_files_are_relative_to_the_file_and_modules_are_pythons(file: Path) -> None:
    place = file.parent
    assert config.own_tasks(file, config.read(file)) == {
        "risk": OwnTask("risk", f"{place}/code/risk.py:Risk", place / "data.csv", {"steps": 3}),
        "moments": OwnTask("moments", "heart.moments:Moments", place, {}),
    }
    assert config.own_task(file, "risk").spec == f"{place}/code/risk.py:Risk"


def test_absolute_paths_stay(file: Path) -> None:
    file.write_text(HEAD + f'[tasks.risk]\ntask = "/srv/risk.py:Risk"\ndata = "{file}"\n')
    assert config.own_task(file, "risk") == OwnTask("risk", "/srv/risk.py:Risk", file, {})


def test_a_node_without_tasks_and_policy_has_the_strict_one(file: Path) -> None:
    file.write_text(HEAD)
    read = config.read(file)
    assert (config.own_tasks(file, read), read.policy.exact_counts) == ({}, False)


def test_a_task_that_is_not_there_is_named_with_those_that_are(file: Path) -> None:
    with pytest.raises(BadConfiguration, match="no task other") as caught:
        config.own_task(file, "other")
    assert "risk, moments" in caught.value.remedy
    file.write_text(HEAD)
    with pytest.raises(BadConfiguration) as caught:
        config.own_task(file, "other")
    assert "add [tasks.NAME]" in caught.value.remedy
    with pytest.raises(UsageError):
        config.own_task(None, "risk")


def test_missing_data_is_found_at_once(file: Path) -> None:
    (file.parent / "data.csv").unlink()
    with pytest.raises(BadInput) as caught:
        config.own_tasks(file, config.read(file))
    assert caught.value.code == "E-DATA"


@pytest.mark.parametrize(
    "text",
    [
        HEAD.replace("charite", "Charité"),
        HEAD.replace("state_dir", "statedir"),
        HEAD + '[tasks."Risk 1"]\ntask = "a:B"\ndata = "."\n',
        HEAD + "[tasks.risk]\ntask = 'a:B'\n",
        HEAD + "[more]\n",
    ],
)
def test_a_fault_in_the_file_is_an_error_of_configuration(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(BadConfiguration):
        config.read(file)
