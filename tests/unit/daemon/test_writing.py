"""Where commands write: what a terminal would obey is shown, in one place that nobody can forget."""

import ast
import io
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from secagg.daemon.drawing import console, marked
from secagg.daemon.writing import plain, plained, say, say_json

ROOT = Path(__file__).resolve().parents[3]
OWN = ("secagg/daemon/writing.py", "secagg/daemon/drawing.py")
SCRIPTS = ("secagg/bench/", "secagg/demo/sites/")
"""Programs of their own, which show no text of a peer: measurements, and a hospital's own files."""

WRITES = {"echo", "secho", "print", "Console", "echo_via_pager"}


def writers() -> set[str]:
    """Every place in the sources that writes to a terminal by itself."""
    found = set()
    for room in ("secagg", "node", "keyserver", "aggregator"):
        for path in (ROOT / room).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            if name in OWN or name.startswith(SCRIPTS):
                continue
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(call, ast.Call):
                    continue
                what = ast.unparse(call.func)
                last = what.rpartition(".")[2]
                if what in ("sys.stdout.write", "sys.stderr.write") or (
                    last in WRITES and not what.startswith(("console.", "self._console.", "screen."))
                ):
                    found.add(f"{name}: {what}")
    return found


def test_nothing_else_writes_to_a_terminal() -> None:
    assert writers() == set()


HOSTILE = {
    "\x1b[2J": "\\x1b[2J", "a\nb": "a\\nb", "\r": "\\r", "\x7f": "\\x7f", "\x9b31m": "\\x9b31m", "\u202e": "\\u202e",
    "\u2066\u2069": "\\u2066\\u2069", "\u200b": "\\u200b", "\ufeff": "\\ufeff", "\ud800": "\\ud800",
    "\u2028": "\\u2028",
    "\u115f": "\\u115f", "\u3164": "\\u3164", "\ufe0f": "\\ufe0f", "\U000e0100": "\\U000e0100", "\x00": "\\x00",
    "\u00a0": "\\xa0", "\U000e0041": "\\U000e0041",
}  # fmt: skip


@pytest.mark.parametrize(("given", "shown"), HOSTILE.items(), ids=ascii)
def test_what_a_terminal_would_obey_is_shown(given: str, shown: str) -> None:
    assert plain(given) == shown
    assert plain(plain(given)) == shown


def test_letters_of_any_language_stay() -> None:
    for text in ("Zürich, 北京", "Ελλάδα", "e\u0301te\u0301", "C:\\Users", "[red]"):
        assert plain(text) == text


def test_values_are_plain_inside_too() -> None:
    found = plained({"\x1b": ["\n", 1, {"a": ("\u202e",)}], "b": None})
    assert found == {"\\x1b": ["\\n", 1, {"a": ["\\u202e"]}], "b": None}


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("error: \x1b[2J\nall is well", "second")
    say("\u202e", err=True)
    say_json({"a": "\x7f\u202e\n"}, 5)
    out, err = capsys.readouterr()
    assert out == 'error: \\x1b[2J\\nall is well\nsecond\n{"a": "\\u007f\\u202e\\n"}\n5\n'
    assert err == "\\u202e\n"


def test_what_is_drawn_is_plain_and_no_markup() -> None:
    drawn = io.StringIO()
    screen = console(file=drawn, force_terminal=True, width=80)
    grid = Table(title=marked("\x1b[2Jtitle"))
    grid.add_column("who")
    grid.add_row(marked("[red]north[/]\u202e\n"))
    grid.add_row(Text("\x1b]0;mine\x07"))
    screen.print(grid)
    screen.print(f"[bold]{marked('[blink]south[/]' + chr(92))}[/] \x9b31m")
    shown = drawn.getvalue()
    for raw in ("\x1b[2J", "\x1b]0", "\x07", "\u202e", "\x9b"):
        assert raw not in shown
    for told in ("\\x1b[2Jtitle", "[red]north[/]\\u202e\\n", "[blink]south[/]\\", "\\x9b31m"):
        assert told in shown
    assert "\x1b[1m" in shown, "our own colours stay"
