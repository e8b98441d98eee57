"""What the demonstration of four hospitals shows, says and refuses; `make demo` runs all of it."""

import io
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from secagg.cli import main
from secagg.demo import ending, heart
from secagg.demo.founding import Federation
from secagg.demo.heart import HOSPITALS, MOMENTS, RISK, Story
from secagg.demo.live import Screen
from secagg.demo.seen import Line, Report, Seen, chi_square
from secagg.errors import BadInput, TryLater, VerificationFailed
from secagg.events import rounds as told

PLACE = (RISK, 5, 1)
SCORES = {name: (0.8, 0.02) for name in HOSPITALS}
GAINED = SCORES | {"hungary": (0.9, 0.01), "long-beach": (0.7, 0.01)}
PASSED = Report("PASS", 1, 1, (Line(1, "tiles [/]", "pass", "[bold]entries"),))
FAILED = Report("FAIL", 0, 1, (Line(7, "sum", "fail", "Entry 4: not the sum."),))


def story(**fields: Any) -> Story:
    made = Story(10, alone=SCORES, federated=GAINED, centralised=SCORES, report=PASSED, upload_bytes=408)
    made.sent = dict.fromkeys(HOSPITALS, 2048)
    made.seen = Seen("cleveland", bytes(64), bytes(range(0, 256, 4)))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def closed(number: int, *missing: str, late: str = "", job: str = RISK) -> told.RoundClosed:
    """The event of a round that closed without some hospitals; `late` dropped out after its upload."""
    out = [told.Dropped(name, "MaskedInput", "gone") for name in missing]
    out += [told.Dropped(late, "Unmask", "gone")] if late else []
    names = tuple(name for name in HOSPITALS if name not in missing)
    return told.RoundClosed(job, number, 1, names, tuple(out), seconds=1)


# Following -----------------------------------------------------------------------------------------------------------


def test_recovered_is_who_contributed_after_it_was_started_again() -> None:
    made = Story(10)
    heart._note(closed(5, late="hungary"), made)
    assert (made.recovered, made.dropped) == ([], ["hungary@Unmask"])
    made.restarted.append("hungary")
    heart._note(closed(6, "hungary"), made)
    assert made.recovered == []
    heart._note(closed(7), made)
    heart._note(closed(8), made)
    assert made.recovered == ["hungary"]
    heart._note(closed(9, job=MOMENTS), made)
    assert sorted(made.closed) == [5, 6, 7, 8]


def test_the_drill_is_in_the_middle_of_the_training() -> None:
    assert heart._drill(("hungary", "Unmask"), "hungary", 10) == "Unmask@5@heart-risk"
    assert heart._drill(("hungary", "Unmask"), "hungary", 2) == "Unmask@1@heart-risk"
    assert heart._drill(("hungary", "Unmask"), "cleveland", 10) == ""
    assert heart._drill(None, "hungary", 10) == ""


# The screen ----------------------------------------------------------------------------------------------------------


def tell(screen: Screen) -> None:
    """Tell a round in which one hospital dies."""
    screen.show(told.RoundStarted(*PLACE, HOSPITALS))
    screen.show(told.Waiting(*PLACE, "ShareKeys", HOSPITALS, missing=4, need=3, since=0, until=0))
    for name in HOSPITALS[2:]:
        screen.show(told.Step(*PLACE, "ShareKeys", "sent", name, ""))
    screen.died("hungary", "ShareKeys")
    screen.show(None)


def test_a_terminal_shows_who_is_where_and_who_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "140")
    drawn = io.StringIO()
    monkeypatch.setattr(sys, "stderr", drawn)
    with Screen(HOSPITALS, 10, color=False) as screen:
        tell(screen)
    assert "heart-risk, round 5" in drawn.getvalue()
    assert "ShareKeys: 2 here, need 3, waiting for cleveland, hungary" in drawn.getvalue()
    assert "killed" in drawn.getvalue()


def test_a_file_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen(HOSPITALS, 10, color=True) as screen:
        tell(screen)
        screen.show(told.RoundAborted(*PLACE, "Unmask", "2 of 4 [members]", (), lost=False))
        screen.show(closed(5, "hungary"))
        screen.revived("hungary")
        screen.show(told.JobFailed(RISK, "nobody [came]", "", ""))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "· hungary is dead: SIGKILL in the middle of step ShareKeys",
        "· heart-risk round 5 aborted in Unmask: 2 of 4 [members]",
        "· heart-risk round 5: 3 contributors, without hungary since MaskedInput",
        "· hungary is started again: it takes up what it had saved",
        "· heart-risk failed: nobody [came]",
    ]


# The end -------------------------------------------------------------------------------------------------------------


def test_the_document_says_what_the_story_says() -> None:
    made = story(killed=["hungary@MaskedInput"], recovered=["hungary"])
    made.closed = {1: HOSPITALS, 2: HOSPITALS}
    found = json.loads(ending.document(made, Path("b"), 31.04))
    assert (found["rounds"], found["nodes"], found["killed"], found["recovered"]) == (
        2, 4, ["hungary@MaskedInput"], ["hungary"],
    )  # fmt: skip
    assert found["auc"]["federated"] == {name: values[0] for name, values in GAINED.items()}
    assert set(found["auc"]) == {"alone", "federated", "centralised"}
    assert (found["audit"], found["bundle"], found["seconds"]) == ("PASS", "b", 31.0)
    assert found["chi_square"] == {"clear": 960.0, "masked": 0.0}
    assert found["upload_bytes"] == 408


def test_the_page_shows_what_exact_counts_shows(capsys: pytest.CaptureFixture[str]) -> None:
    made = story(closed={4: HOSPITALS, 5: ("cleveland", "long-beach", "switzerland")}, examples={4: 640.0, 5: 436.0})
    ending.tables(made, Path("b"), 17.0, color=False)
    said = capsys.readouterr().out
    assert "round 4: 640, round 5: 436, so hungary trains on 204 patients." in said
    assert "+0.100" in said
    assert "-0.100" in said
    assert " 1  pass        tiles [/]: [bold]entries\nPASS 1/1" in said
    ending.tables(story(closed={1: HOSPITALS}), Path("b"), 17.0, color=False)
    assert "nothing can be subtracted" in capsys.readouterr().out


def test_a_story_without_a_model_says_so_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    made = story(federated={}, seen=None, failed="failed 3 times", upload_bytes=0)
    ending.tables(made, Path("b"), 17.0, color=False)
    assert "There is no model: failed 3 times" in capsys.readouterr().out
    with pytest.raises(TryLater, match="failed 3 times"):
        ending.judge(made, Path("b"))
    with pytest.raises(VerificationFailed, match="check 7: Entry 4"):
        ending.judge(story(failed="failed 3 times", report=FAILED), Path("b"))
    ending.judge(story(), Path("b"))


def test_chi_square_counts_the_high_halves_of_bytes() -> None:
    assert chi_square(bytes(range(256))) == 0.0
    assert chi_square(bytes(16)) == 15 * 16.0


# The command ---------------------------------------------------------------------------------------------------------


def test_a_wrong_line_starts_nothing(tmp_path: Path) -> None:
    for line, said in ((["--kill", "berlin@Unmask"], "cleveland"), (["--kill", "hungary@Lunch"], "MaskedInput")):
        done = CliRunner().invoke(main, ["demo", "heart", *line, "--bundle", str(tmp_path / "b")])
        assert (done.exit_code, said in done.stderr) == (64, True)
    done = CliRunner().invoke(main, ["demo", "heart", "--bundle", str(tmp_path)])
    assert (done.exit_code, "is no bundle" in done.stderr) == (64, True)


def test_a_path_too_long_for_sockets_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 80)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with Federation("numbers") as federation, pytest.raises(BadInput, match="too long a path"):
        federation.open()
    assert list(deep.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
