"""The cheating aggregator: every member is content, the log fits the result, and the auditor names it all the same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from secagg.auditor.verify import verify
from secagg.cli import main
from secagg.demo.cheat import CheatingService
from secagg.demo.cheat import main as cheat
from secagg.learning.layout import encode_model
from support.aggregating import Hall
from support.exporting import hall_of, keyserver_state, one_sum


def bundle_of(tmp_path: Path) -> Path:
    given = ["--keyserver", str(tmp_path / "keyserver"), "--aggregator", str(tmp_path / "aggregator")]
    assert CliRunner().invoke(main, ["audit", "export", *given, "-o", str(tmp_path / "b")]).exit_code == 0
    return tmp_path / "b"


@pytest.fixture(name="stage")
def cheating(tmp_path: Path) -> Hall:
    (tmp_path / "keyserver").mkdir()
    return hall_of(keyserver_state(tmp_path / "keyserver"), tmp_path / "aggregator", service=CheatingService)


def test_members_accept_the_lie_and_check_7_alone_finds_it(tmp_path: Path, stage: Hall) -> None:
    stage.play(one_sum)
    assert stage.named("job_done")
    assert stage.log.getvalue() == ""
    wrong = [value for value in stage.result()["values"] if value != 15.0]
    assert wrong == [15.0 + 2.0**-24]
    for member in stage.members.values():
        assert (len(member.published), member.disbelieved, member.aborted) == (1, [], [])
    assert [line.number for line in verify(bundle_of(tmp_path)).checks if line.status != "pass"] == [7]
    done = CliRunner().invoke(main, ["audit", "verify", str(tmp_path / "b")])
    assert done.exit_code == 65
    assert "(Result, signed by aggregator): the published sum is not the sum of the uploads" in done.stderr


def test_a_training_job_goes_on_with_the_model_that_follows_from_the_lie(tmp_path: Path, stage: Hall) -> None:
    model = {"bias": np.zeros(3, np.float32), "weight": np.zeros((2, 2), np.float32)}
    (tmp_path / "first.safetensors").write_bytes(encode_model(model))
    for member in stage.members.values():
        member.arrays = dict(model)

    async def train(stage: Hall) -> None:
        await stage.push()
        stage.submit(tmp_path / "first.safetensors", purpose="training", rounds=2, length=0)
        await stage.settle()
        await stage.gather()
        await stage.wait(4)

    stage.play(train)
    assert stage.named("job_done")
    assert [line.number for line in verify(bundle_of(tmp_path)).checks if line.status != "pass"] == [7]


def test_the_program_reads_the_configuration_of_the_honest_one(tmp_path: Path) -> None:
    assert CliRunner().invoke(cheat, []).exit_code == 64
    done = CliRunner().invoke(cheat, ["--config", str(tmp_path / "none.toml")])
    assert done.exit_code == 78
    assert "none.toml" in done.stderr


def test_no_role_and_no_other_demonstration_loads_it() -> None:
    code = "import secagg.demo.sums, aggregator.process, sys; print('secagg.demo.cheat' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
