"""Engines and phases have types: whoever asks one is held to what it has when the code is checked, not when it runs."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted(path for room in ("secagg", "keyserver", "node", "aggregator") for path in (ROOT / room).rglob("*.py"))

NOT_OURS = {
    "node/correcting.py": "an optimiser of torch",
    "node/local.py": "a task, as an institution wrote it",
    "secagg/auditor/evidence.py": "an entry of a log, whose types have different fields",
    "secagg/bench/footprint.py": "a function of the C library",
    "secagg/demo/orphans.py": "a function that some systems have",
    "secagg/crypto/prg.py": "a buffer of this thread",
    "secagg/protocol/refusals.py": "an error of whatever class",
    "secagg/wire/codec.py": "the name of a type",
}
"""Where an attribute is asked for by a name in quotes, and of what: never of a phase, an event or an engine."""

TASKS = {
    "node/work.py": "a task, as an institution wrote it",
    "secagg/demo/show.py": "functions that copy and remove files",
}
"""Modules that ask engines and say `Any`, and of what."""

ASKED = ("secagg.protocol.engine", "secagg.protocol.engines", "secagg.protocol.round")


def quoted(tree: ast.AST) -> list[int]:
    """Return the lines where an attribute is asked for by a literal."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr", "setattr")
        and len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
    ]  # fmt: skip


def says_any(tree: ast.AST) -> bool:
    """Say whether a module that knows engines or rounds has something of type `Any`."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    knows = any(module == one or module.startswith(f"{one}.") for module in modules for one in ASKED)
    return knows and any(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))


def parsed() -> dict[str, ast.Module]:
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in SOURCES}


def test_phases_and_events_are_asked_for_attributes_that_they_have() -> None:
    assert {name for name, tree in parsed().items() if quoted(tree)} == set(NOT_OURS)


def test_no_engine_is_anything() -> None:
    assert {name for name, tree in parsed().items() if says_any(tree)} == set(TASKS)


@pytest.mark.parametrize("line", ['getattr(phase, "u3", b"")', 'hasattr(event, "kind")'])
def test_a_name_in_quotes_would_be_seen(line: str) -> None:
    assert quoted(ast.parse(line)) == [1]
    assert not quoted(ast.parse("getattr(value, name)"))


def test_an_engine_without_a_type_would_be_seen() -> None:
    line = "def engine_of(manifest: Manifest) -> Any: ..."
    assert says_any(ast.parse(f"from secagg.protocol import engines\n{line}"))
    assert says_any(ast.parse(f"from secagg.protocol.round.phases import Common\n{line}"))
    assert not says_any(ast.parse(f"from secagg.protocol.lanes import Groups\n{line}"))
