"""The shape of the source: sizes, cycles, names, pins. What a linter can say is not here."""

import ast
import re
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("secagg", "keyserver", "node", "aggregator")
FILE_LINES = 400
FUNCTION_LINES = 50
TOP_LEVEL = {
    *PACKAGES,
    *("tests", "docs", "stubs", "pyproject.toml", "README.md", "LICENSE", "SECURITY.md", "CONTRIBUTING.md"),
    *("CHANGELOG.md", "Makefile", "constraints.txt"),
}
# What a build or a run leaves behind; .gitignore names the same.
LEFTOVERS = {"dist", "htmlcov", "secagg-demo-bundle"}
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "base", "misc"}
TEXT = {".py", ".pyi", ".md", ".toml", ".txt", ".json", ".svg", ".yml", ".yaml", ""}
# Written in two halves, so that this file passes its own test.
PLACES = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/[a-z]", r"\.\./sha" + "red", "/op" + "t/py")
MACHINE_PATHS = re.compile("|".join(PLACES))


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for found in ast.walk(ast.parse(path.read_text())):
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
            yield found


def imports(path: Path, known: set[str]) -> set[str]:
    """Our modules that `path` imports when it is imported itself."""
    found: set[str] = set()
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            inside = {f"{statement.module}.{alias.name}" for alias in statement.names}
            found |= (inside & known) or {statement.module}
    return found & known


def cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def everything() -> Iterator[Path]:
    """Every file that a person wrote and the repository keeps."""
    for entry in sorted(ROOT.iterdir()):
        if entry.name in TOP_LEVEL or entry.name == ".ci":
            yield from [entry] if entry.is_file() else sorted(entry.rglob("*"))


def test_the_tree_is_found() -> None:
    assert {"secagg/cli.py", "secagg/errors.py", "keyserver/__init__.py"} <= {name_of(path) for path in sources()}


def test_files_are_short() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in sources()}
    assert {name: length for name, length in lengths.items() if length > FILE_LINES} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{name_of(path)}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in sources()
        for function in functions(path)
    }
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES} == {}


def test_no_module_imports_itself_in_a_circle() -> None:
    known = {module_of(path) for path in sources()}
    assert cycle({module_of(path): imports(path, known) - {module_of(path)} for path in sources()}) == []


def test_a_circle_would_be_seen() -> None:
    assert set(cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_packages_import_nothing() -> None:
    # What people import is found by name when it is used; nothing else is in the package but the errors.
    files = [path for path in sources() if path.name == "__init__.py" and name_of(path) != "secagg/__init__.py"]
    bodies = {name_of(path): ast.parse(path.read_text()).body for path in files}
    assert [name for name, body in bodies.items() if len(body) != 1 or not isinstance(body[0], ast.Expr)] == []


def test_every_module_says_what_it_does() -> None:
    assert [name_of(path) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_top_level_is_as_designed() -> None:
    found = {entry.name for entry in ROOT.iterdir() if not entry.name.startswith(".")}
    assert found - LEFTOVERS - {"__pycache__"} == TOP_LEVEL


def test_no_vague_names() -> None:
    parts = {part for path in sources() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert parts & VAGUE == set()


def test_tests_are_no_package() -> None:
    assert [name_of(path) for path in (ROOT / "tests").rglob("__init__.py")] == []


def test_no_path_of_a_machine_is_written_down() -> None:
    texts = [path for path in everything() if path.is_file() and path.suffix in TEXT]
    found = {name_of(path): MACHINE_PATHS.findall(path.read_text()) for path in texts}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_constraints_are_plain_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line)] == []
    assert "torch==2.13.0" in lines


@pytest.mark.parametrize("group", ["", "dev", "torch", "paillier"])
def test_constraints_pin_what_make_installs(group: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"][group] if group else project["dependencies"]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    assert {re.split(r"[\[<>=]", item)[0] for item in wanted} - pinned == set()


def test_every_noun_has_a_file_and_every_command_file_a_noun() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    nouns: dict[str, str] = project["entry-points"]["secagg.commands"]
    files = {noun: ROOT / (target.split(":")[0].replace(".", "/") + ".py") for noun, target in nouns.items()}
    assert [noun for noun, path in files.items() if not path.is_file()] == []
    written = {path for path in sources() if path.parent.name == "commands" or path.name == "command.py"}
    assert {path for path in written if path.name != "__init__.py"} == set(files.values())


ROOMS = {
    f"secagg.{path.stem}"
    for path in (ROOT / "secagg").iterdir()
    if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").is_file())
} - {"secagg.__init__"}


@pytest.mark.parametrize(
    ("contract", "home"), [("cryptography", "secagg.crypto"), ("zmq", "secagg.transport"), ("sqlite3", "secagg.daemon")]
)
def test_a_guarded_package_is_forbidden_in_every_other_room(contract: str, home: str) -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (found,) = [entry for entry in linter["contracts"] if entry["id"] == contract]
    assert set(found["source_modules"]) == (ROOMS | set(PACKAGES[1:])) - {home}
