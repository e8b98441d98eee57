"""`make bench` measures what its list says, goes on where it was stopped, and leaves the page to full runs."""

import argparse
import shlex
from pathlib import Path

import pytest

from secagg.bench import results, suite
from secagg.bench.cases import ENTRIES, Entry
from secagg.bench.command import bench
from secagg.errors import BadInput

DOCS = Path(__file__).resolve().parents[3] / "docs"
QUICK = [entry.quick for entry in ENTRIES if entry.quick]


def test_names_of_cases_are_unique() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("line", [entry.line for entry in ENTRIES] + QUICK)
def test_every_case_is_a_command_line_that_is_understood(line: str) -> None:
    with bench.make_context("bench", shlex.split(line)) as context:
        assert context.params["engine"] == ("paillier" if "paillier" in line else "masks")


def given(**options: object) -> argparse.Namespace:
    chosen = {"quick": True, "again": False, "only": ["whole-50"], "render": False, **options}
    return argparse.Namespace(**chosen)


def test_a_case_is_measured_once_for_the_same_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "performance.md").write_text("<!-- bench:whole -->\n<!-- /bench -->\n")
    assert suite._run(tmp_path, given()) == 0
    first = (tmp_path / "performance.jsonl").read_bytes()
    row = results.read(tmp_path / "performance.jsonl")["whole-50"]
    assert row.figures["exact"] is True
    assert row.command == "secagg bench --whole --nodes 10 --params 100000"
    assert "yes" in (tmp_path / "performance.md").read_text()
    assert suite._run(tmp_path, given()) == 0
    assert (tmp_path / "performance.jsonl").read_bytes() == first
    row.source = "other code"
    results.write(tmp_path / "performance.jsonl", {row.name: row})
    assert suite._run(tmp_path, given()) == 0
    assert results.read(tmp_path / "performance.jsonl")["whole-50"].source == suite._git("rev-parse", "HEAD:secagg")
    assert capsys.readouterr().err.count("whole-50") == 2


def test_a_quick_run_leaves_the_committed_files_alone() -> None:
    kept = [path.read_bytes() for path in sorted(DOCS.glob("performance*"))]
    assert suite.main(["--quick", "--only", "whole-50"]) == 0
    assert [path.read_bytes() for path in sorted(DOCS.glob("performance*"))] == kept


def test_a_case_that_fails_ends_the_run_and_says_why() -> None:
    with pytest.raises(BadInput, match="are needed"):
        suite._measure(Entry("x", ""), "--nodes 4 --params 10 --dropout 0.5", "commit", "source")
