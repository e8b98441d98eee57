"""The tool that removes defences: it must catch a good test and expose an idle one."""

import tomllib
from pathlib import Path

import pytest

from secagg.errors import WireError
from secagg.wire import codec
from support import mutants

ROOT = Path(__file__).resolve().parents[3]
GUARDED = """
import pytest
from secagg.errors import WireError
from secagg.wire.codec import decode

def test_guarded() -> None:
    with pytest.raises(WireError):
        decode(int, b"no number")
"""
IDLE = "def test_idle() -> None:\n    assert 1 + 1 == 2\n"


@pytest.mark.parametrize(("body", "code"), [(GUARDED, 0), (IDLE, 1)], ids=["guarded", "idle"])
def test_a_test_must_fail_without_its_defence(
    tmp_path: Path, body: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_it.py").write_text(body)
    table = tmp_path / "defences.toml"
    table.write_text(
        f"""[[defence]]
name = "example"
target = "secagg.wire.codec:decode"
replacement = "lambda *_, **__: None"
test = "{tmp_path / "test_it.py"}"
"""
    )
    assert mutants.main([str(table)]) == code
    assert ("SURVIVED example" in capsys.readouterr().out) is bool(code)


def test_each_test_runs_once_with_its_defences_however_many_it_has(tmp_path: Path) -> None:
    ran, guarded = tmp_path / "ran", tmp_path / "test_it.py"
    guarded.write_text(f"from pathlib import Path\n{GUARDED}    Path({str(ran)!r}).open('x').close()\n")
    entry = '[[defence]]\nname = "{}"\ntarget = "secagg.wire.codec:decode"\n'
    entry += f'replacement = "lambda *_, **__: None"\ntest = "{guarded}"\n'
    table = tmp_path / "defences.toml"
    table.write_text(entry.format("a") + entry.format("b"))
    assert mutants.main([str(table)]) == 0
    assert ran.exists()  # and a second run would have failed to make it


def test_a_name_that_is_not_in_the_table_is_an_error(tmp_path: Path) -> None:
    table = tmp_path / "defences.toml"
    table.write_text("defence = []\n")
    assert mutants.main([str(table), "row 0: nothing"]) == 2


def test_one_rule_of_a_function_can_be_taken_out() -> None:
    weak = mutants.edited(codec, "decode", "if len(data) > limit:", "if False:")
    data = codec.encode(bytes(9))
    assert weak(bytes, data, limit=4) == bytes(9)
    with pytest.raises(WireError):
        codec.decode(bytes, data, limit=4)


def test_a_rule_that_is_not_there_is_no_mutant() -> None:
    with pytest.raises(ValueError, match="0 times in decode"):
        mutants.edited(codec, "decode", "nowhere to be found", "")


def test_every_defence_of_the_table_is_where_the_table_says() -> None:
    """A text that was edited in the product must be edited in the table too: said here, and not when CI runs them."""
    lost = []
    for entry in tomllib.loads((ROOT / "tests" / "attacks" / "defences.toml").read_text())["defence"]:
        try:
            mutants.weakened(entry["target"], entry["replacement"])
        except (ValueError, AttributeError, ImportError, NameError, SyntaxError) as error:
            lost.append(f"{entry['name']}: {error}")
        if not (ROOT / entry["test"].partition("::")[0]).exists():
            lost.append(f"{entry['name']}: no {entry['test']}")
    assert lost == []
