"""Events: every kind once, every field with its meaning, nothing told or logged but what a struct has."""

import ast
import io
import json
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from secagg.daemon import logs
from secagg.errors import BadInput
from secagg.events import federation, kinds, lines, members, rounds
from secagg.events.line import Event, Line, kind_of, place, write
from secagg.ids import RoundId

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted(file for room in ("secagg", "keyserver", "node", "aggregator") for file in (ROOT / room).rglob("*.py"))


def meaning(hint: object) -> str:
    """Return what the description of a field's type says, also where the field may be absent."""
    hints = getattr(hint, "__args__", ()) if not hasattr(hint, "__metadata__") else ()
    found = [note.description for note in getattr(hint, "__metadata__", ()) if isinstance(note, msgspec.Meta)]
    return "".join([*(text or "" for text in found), *map(meaning, hints)])


def test_every_kind_is_told_in_one_way() -> None:
    told = [kind_of(line) for line in kinds.all_lines() if issubclass(line, Event)]
    logged = [kind_of(line) for line in kinds.all_lines() if not issubclass(line, Event)]
    assert len(told) == len(set(told)) == len(kinds.TOLD)
    assert len(logged) == len(set(logged))
    assert {kind for kind in told if kind in logged} == {"refuse", "fail"}


@pytest.mark.parametrize("line", list(kinds.all_lines()), ids=kind_of)
def test_every_event_and_every_field_of_it_says_what_it_means(line: type[Line]) -> None:
    assert line.__doc__
    assert line.__doc__.split("\n")[0].endswith((".", ";", ":"))
    hints = get_type_hints(line, include_extras=True)
    for field in line.__struct_fields__:
        assert meaning(hints[field]) or field == "dropped", field


def test_an_event_comes_back_as_it_was_told() -> None:
    event = rounds.Step(*place(RoundId("fed", "job", 3, 2)), "Unmask", "refused", "north", "why", "task.failed")
    shown = json.loads(json.dumps(event.shown()))
    assert shown == {
        "event": "step", "job": "job", "round": 3, "attempt": 2, "step": "Unmask", "state": "refused",
        "institution": "north", "reason": "why", "rule": "task.failed",
    }  # fmt: skip
    assert kinds.read(shown) == event
    own = rounds.Step("job", 3, 2, "Unmask", "sent")
    assert list(own.shown()) == ["event", "job", "round", "attempt", "step", "state"]
    wait = rounds.Waiting("job", 1, 1, "presence", ("north",), missing=1, need=3, since=5, until=9)
    assert wait.shown()["for"] == ["north"]
    assert kinds.read(json.loads(json.dumps(wait.shown()))) == wait


def test_an_event_of_another_version_is_refused_with_what_to_do() -> None:
    for wrong in ({"event": "weather"}, {"event": "job_done", "job": "a", "rounds": 1, "update": [1.5]}, {}):
        with pytest.raises(BadInput, match=r"this version does not know.*own version"):
            kinds.read(wrong)


def test_a_field_that_the_struct_does_not_have_is_neither_told_nor_logged() -> None:
    with pytest.raises(TypeError, match="Unexpected keyword argument 'update'"):
        members.Result("job", 1, 1, digest="aa", update=[1.5])  # type: ignore[call-arg]
    out = io.StringIO()
    log = logs.configure("node", "north", file=out)
    log.info("result", digest="aa", update=[1.5])
    log.info("an event that nobody wrote down", digest="aa")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["digest"], first["dropped"]) == ("aa", ["update"])
    assert second["dropped"] == ["digest"]


def test_what_has_a_cause_is_logged_as_a_warning_and_a_bug_as_an_error() -> None:
    out = io.StringIO()
    log = logs.configure("node", "north", file=out)
    write(log, members.Overdue("job", 1, 1))
    write(log, federation.PutOff("north", "Its disk is full."))
    write(log, rounds.Step("job", 1, 1, "Unmask", "refused", "north", "why", "task.failed"))
    write(log, lines.Failed(peer="north"), ValueError("why"))
    levels = [json.loads(line)["level"] for line in out.getvalue().splitlines()]
    assert levels == ["info", "warning", "warning", "error"]
    causes = {kind_of(line) for line in kinds.all_lines() if {"cause", "rule"} & set(line.__struct_fields__)}
    assert {kind for kind in causes if kind in kinds.TOLD and kinds.TOLD[kind].loud == "info"} == {"step"}


def test_numbers_by_name_are_told_and_not_logged() -> None:
    out = io.StringIO()
    event = members.Evaluate("job", {"auc": 0.9})
    write(logs.configure("node", "north", file=out), event)
    assert json.loads(out.getvalue())["metrics"] == "(dict)"
    assert event.shown()["metrics"] == {"auc": 0.9}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_event_is_a_table_with_names_of_fields(file: Path) -> None:
    """No dict with a key `event` in the product, and none that is read by it; ZeroMQ's own tables are its own."""
    for node in ast.walk(ast.parse(file.read_text())):
        keys: list[ast.expr | None] = list(node.keys) if isinstance(node, ast.Dict) else []
        keys += [node.slice] if isinstance(node, ast.Subscript) else []
        named = [key for key in keys if isinstance(key, ast.Constant) and key.value == "event"]
        assert not named or (file.parent.name in ("transport", "daemon") and allowed(file, node)), ast.unparse(node)


def allowed(file: Path, node: ast.AST) -> bool:
    """The monitor events of ZeroMQ; the envelope of an event on the admin socket; what structlog hands over."""
    return file.parent.name == "transport" or file.name in ("admin.py", "logs.py")
