"""Tables and plots follow from the results file, and the committed page is what it gives."""

import json
import re
from pathlib import Path

import pytest

from secagg.bench import paillier as bench_paillier
from secagg.bench import report, results
from secagg.bench.cases import COMMANDS
from secagg.bench.entrusted import EntrustedFigures
from secagg.bench.masks import Figures
from secagg.bench.results import Row
from secagg.bench.targets import PAILLIER, TARGETS, Target, measured, met
from secagg.bench.whole import WholeFigures

DOCS = Path(__file__).resolve().parents[3] / "docs"


def row(name: str, **figures: object) -> Row:
    return Row(name, COMMANDS[name], "abc1234", "tree", "2026-11-21T11:00:00+00:00", 0.5, 1.0, dict(figures))


def roles(name: str, **figures: object) -> Row:
    """A row whose figures are all there."""
    given = dict.fromkeys(Figures.__struct_fields__, 1.0)
    return row(name, **{**given, "exact": True, **figures})


def test_what_is_outside_the_markers_stays_and_the_rest_is_written_anew() -> None:
    text = "mine\n<!-- bench:targets -->\nold\n<!-- /bench -->\nmine too\n"
    once = report.page(text, {"50-1e7": roles("50-1e7", client_x=1.4)})
    assert once.startswith("mine\n<!-- bench:targets -->\n|")
    assert once.endswith("|\n<!-- /bench -->\nmine too\n")
    assert "old" not in once
    assert report.page(once, {"50-1e7": roles("50-1e7", client_x=1.4)}) == once


def test_a_marker_without_a_part_is_refused() -> None:
    with pytest.raises(KeyError):
        report.page("<!-- bench:nonsense -->\n<!-- /bench -->", {})


@pytest.mark.parametrize(("figure", "word"), [(1.5, "yes"), (1.51, "**no**")])
def test_a_target_is_met_up_to_its_limit_and_not_beyond(figure: float, word: str) -> None:
    rows = {"50-1e7": roles("50-1e7", client_x=figure)}
    line = next(line for line in report.targets(rows) if "one thread" in line)
    assert line == f"| {TARGETS[0].text} | ≤ 1.5× | {figure:.2f}× | {word} |"


def test_what_was_not_measured_as_asked_is_no_figure() -> None:
    smaller = roles("50-1e7", client_x=1.0)
    smaller.command = "secagg bench --nodes 5 --params 10"
    assert met(TARGETS[0], {}) is None
    assert met(TARGETS[0], {"50-1e7": smaller}) is None
    assert "not measured" in report.targets({})[2]


def test_a_wrong_sum_is_no_sum() -> None:
    target = TARGETS[-1]
    assert met(target, {target.name: roles(target.name, exact=False)}) is False
    assert met(target, {target.name: roles(target.name, exact=True)}) is True


def test_targets_name_cases_and_fields_that_exist() -> None:
    for target in TARGETS:
        fields = WholeFigures if "--whole" in COMMANDS[target.name] else Figures
        assert target.field in fields.__struct_fields__, target
        assert measured(target, {target.name: roles(target.name)}) == pytest.approx(target.scale)


def test_what_is_asked_at_least_is_met_from_its_limit_on() -> None:
    target = next(one for one in PAILLIER if "decrypt, `fast`, 3072" in one.text)
    assert target == Target(target.text, "paillier-3072-fast", "decrypt_x", 750, "×", least=True)
    for figure, word in ((750.0, "yes"), (749.9, "**no**")):
        lines = report.targets({target.name: row(target.name, decrypt_x=figure)}, [target])
        assert lines[2] == f"| {target.text} | ≥ 750× | 750× | {word} |"


def test_every_part_shows_every_case_that_is_its_own() -> None:
    """A page with one row of each kind: no part takes another kind's figures for its own."""
    rows = results.read(DOCS / "performance.jsonl")
    kinds = {name.split("-")[0]: name for name in rows}
    assert {"paillier", "entrusted", "whole"} <= set(kinds)
    for name in kinds.values():
        for part in report.PARTS.values():
            assert part({name: rows[name]})


def test_targets_beside_phe_name_fields_that_exist() -> None:
    kinds = {"paillier": (bench_paillier.Figures, bench_paillier.Ours), "entrusted": (EntrustedFigures, None)}
    for target in PAILLIER:
        outer, inner = kinds[target.name.split("-")[0]]
        part, _, field = target.field.partition(".")
        assert part in outer.__struct_fields__
        assert not field or (part == "ours" and inner is not None and field in inner.__struct_fields__)
        figures = {"ours": {field: 2.0}} if field else {part: 2.0}
        assert measured(target, {target.name: row(target.name, **figures)}) == pytest.approx(2 * target.scale)


def test_rows_survive_their_file_in_the_order_of_the_cases(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    rows = {name: roles(name) for name in ("20-1e6", "50-1e7")}
    results.write(path, rows)
    assert results.read(path) == rows
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == ["50-1e7", "20-1e6"]
    assert results.read(tmp_path / "none") == {}


def test_the_committed_page_is_what_the_committed_results_give() -> None:
    text = (DOCS / "performance.md").read_text()
    assert report.page(text, results.read(DOCS / "performance.jsonl")) == text
    assert set(re.findall(r"<!-- bench:([a-z-]+) -->", text)) == set(report.PARTS)


def test_plots_are_the_same_bytes_for_the_same_results(tmp_path: Path) -> None:
    plots = pytest.importorskip("secagg.bench.plots", reason="matplotlib is not installed", exc_type=ImportError)
    rows = results.read(DOCS / "performance.jsonl")
    for folder in ("one", "two"):
        plots.draw(tmp_path / folder, rows)
    drawn = sorted((tmp_path / "one").iterdir())
    shown = set(re.findall(r"\(plots/([a-z-]+\.svg)\)", (DOCS / "performance.md").read_text()))
    assert {path.name for path in drawn} == shown
    for path in drawn:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        assert b"<dc:date>" not in path.read_bytes()
        assert path.stat().st_size < 200_000
