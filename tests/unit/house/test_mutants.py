"""The tool that removes defences: it must catch a good test and expose an idle one."""

from pathlib import Path

import pytest

from support import mutants

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
