"""Every case of tests/vectors through the product, and every file is what its generator gives."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vectors.operations import OPERATIONS

Case = dict[str, Any]
TESTS = Path(__file__).resolve().parents[2]
GENERATORS = sorted((TESTS / "vectors").glob("gen_*.py"))
FILES = {
    path.stem.removeprefix("gen_"): json.loads(path.with_name(path.stem.removeprefix("gen_") + ".json").read_text())
    for path in GENERATORS
    if path.stem != "gen_fedavg"
}


def cases(kind: str) -> list[Any]:
    """Return the cases of all files, each over what its file gives to all."""
    return [
        pytest.param({**case, "in": {**document.get("given", {}), **case["in"]}}, id=f"{name}: {case['name']}")
        for name, document in FILES.items()
        for case in document[kind]
    ]


@pytest.mark.parametrize("case", cases("accepted"))
def test_accepted(case: Case) -> None:
    assert OPERATIONS[case["do"]](case["in"]) == case["out"]


@pytest.mark.parametrize("case", cases("refused"))
def test_refused(case: Case) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the class is part of the case, and must be exact
        OPERATIONS[case["do"]](case["in"])
    error = raised.value
    assert (type(error).__name__, getattr(error, "rule", "")) == (case["error"], case.get("rule", ""))
    if "code" in case:
        assert error.code == case["code"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda path: path.stem)
def test_the_file_is_what_its_generator_gives(generator: Path) -> None:
    done = subprocess.run([sys.executable, "-m", f"vectors.{generator.stem}", "--check"], cwd=TESTS, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("name", FILES)
def test_as_much_is_refused_as_accepted(name: str) -> None:
    document = FILES[name]
    assert len(document["refused"]) >= len(document["accepted"]) > 0
    names = [case["name"] for kind in ("accepted", "refused") for case in document[kind]]
    assert len(names) == len(set(names))


def test_every_operation_is_used() -> None:
    used = {case["do"] for document in FILES.values() for kind in ("accepted", "refused") for case in document[kind]}
    assert used == set(OPERATIONS)


def test_generators_do_not_ask_the_product() -> None:
    """Sealing draws its own randomness: its pieces can only be made by the product."""
    sources = [*GENERATORS, *(TESTS / "vectors" / "plain").glob("*.py")]
    asking = {path.stem for path in sources if re.search(r"^(from|import) secagg", path.read_text(), re.MULTILINE)}
    assert asking == {"gen_sealing"}


def test_every_file_is_documented() -> None:
    page = (TESTS.parent / "docs" / "test-vectors.md").read_text()
    assert {name for name in FILES if f"`{name}.json`" not in page} == set()
    assert {name for name in OPERATIONS if f"`{name}`" not in page} == set()
