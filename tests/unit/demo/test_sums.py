"""The demonstration shows what is true: the exact sum, the refusal, the audit's verdict, and what cheating ends in."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from secagg.cli import main


def demo(*arguments: str, bundle: Path) -> Result:
    return CliRunner().invoke(main, ["demo", "sums", "--bundle", str(bundle), *arguments])


@pytest.mark.parametrize("step", ["ConsistencyCheck", "Unmask"])
def test_a_hospital_that_leaves_after_its_upload_is_in_the_sum(step: str, tmp_path: Path) -> None:
    done = demo("--format", "json", "--drop", f"hungary@{step}", bundle=tmp_path / "b")
    assert done.exit_code == 0
    story = json.loads(done.output)
    assert story["exact"] is True
    assert story["contributors"] == ["cleveland", "hungary", "long-beach", "switzerland"]
    assert (story["refused"], story["audit"]) == ("ledger.only", "PASS")


@pytest.mark.parametrize("step", ["AdvertiseKeys", "ShareKeys", "MaskedInput"])
def test_a_hospital_that_leaves_before_its_upload_is_not(step: str, tmp_path: Path) -> None:
    done = demo("--format", "json", "--drop", f"hungary@{step}", bundle=tmp_path / "b")
    story = json.loads(done.output)
    assert story["exact"] is True
    assert story["contributors"] == ["cleveland", "long-beach", "switzerland"]
    assert story["audit"] == "PASS"


def test_two_drop_outs_of_four_end_the_round_without_a_sum(tmp_path: Path) -> None:
    drops = ["--drop", "hungary@MaskedInput", "--drop", "cleveland@Unmask"]
    done = demo(*drops, bundle=tmp_path / "b")
    assert done.exit_code == 0
    assert "2 of 4 members at Unmask, 3 are needed" in done.output


def test_a_cheating_aggregator_ends_in_65_and_is_named(tmp_path: Path) -> None:
    done = demo("--cheat", bundle=tmp_path / "b")
    assert done.exit_code == 65
    assert "Result, signed by aggregator" in done.output


def test_the_bundle_can_be_audited_again_and_is_replaced_only_by_a_bundle(tmp_path: Path) -> None:
    assert demo(bundle=tmp_path / "b").exit_code == 0
    assert demo("--no-drop", bundle=tmp_path / "b").exit_code == 0
    assert CliRunner().invoke(main, ["audit", "verify", str(tmp_path / "b")]).exit_code == 0
    (tmp_path / "other").mkdir()
    assert demo(bundle=tmp_path / "other").exit_code == 64


def test_an_unknown_node_or_step_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    done = demo("--drop", "berlin@Unmask", bundle=tmp_path / "b")
    assert done.exit_code == 64
    assert "cleveland" in done.output
