"""Run each attack test with its defence taken out: it must then fail, or it proves nothing.

A table `[[defence]]` of the TOML file has `name`, `target` ("module:function" or "module:Class.method"), `replacement`
(a Python expression, evaluated in the target's module, that does not defend) and `test` (a pytest node or file). Of a
function with several rules `edited(old, new)` takes out one: the target's source with one text instead of another.
Usage: python tests/support/mutants.py DEFENCES.toml [NAME…]. Exit code 1 when a test passes without its defence, or
cannot be run with it, 2 when a name is not in the table. The same file is the pytest plugin that takes the defence out
after collection.
"""

import importlib
import inspect
import json
import os
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "SECAGG_MUTANT"
TESTS = Path(__file__).resolve().parents[1]
FAILED = pytest.ExitCode.TESTS_FAILED
PATIENCE = 30
"""Seconds for one test without its defence: what waits then for something that never comes has failed, and is ended."""

WORKERS = 2
"""Tests at a time: most of a run is one process on one core."""


def holders(module: str, path: str) -> Iterator[tuple[Any, str]]:
    """Yield every (object, attribute) under which the target is known: its home and each module that imported it."""
    *outer, name = path.split(".")
    home: Any = importlib.import_module(module)
    for part in outer:
        home = getattr(home, part)
    yield home, name
    if outer:
        return
    target = getattr(home, name)
    for other in list(sys.modules.values()):
        if other is not home and getattr(other, "__dict__", {}).get(name) is target:
            yield other, name


def take_out(target: str, replacement: str) -> None:
    """Replace the defence `target` by what the expression `replacement` gives, everywhere it is known."""
    module, path = target.split(":")
    found = list(holders(module, path))
    names = {**vars(importlib.import_module(module)), "edited": lambda old, new: edited(*found[0], old, new)}
    weak = eval(replacement, names)  # noqa: S307 - our own committed table
    for holder, name in found:
        setattr(holder, name, weak)


def edited(holder: Any, name: str, old: str, new: str) -> Any:
    """Return the function `name` of a module or class with `new` in its source where `old` stands, once."""
    function = inspect.unwrap(getattr(holder, name))
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(old) != 1:
        raise ValueError(f"{old!r} is {source.count(old)} times in {name}, not once")
    made: dict[str, Any] = {}
    exec(source.replace(old, new), function.__globals__, made)  # noqa: S102 - our own committed table
    return made[name]


def pytest_collection_finish() -> None:
    """Take the defence out once all tests are imported."""
    if VARIABLE in os.environ:
        take_out(*json.loads(os.environ[VARIABLE]))


def run(test: str, mutant: tuple[str, str] | None) -> int:
    """Return pytest's exit code for `test`, with or without a defence."""
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    if mutant is not None:
        environment[VARIABLE] = json.dumps(mutant)
    environment["PYTHONPATH"] = str(TESTS)  # plugins are imported before pytest reads its own pythonpath
    plugins = ["-p", "support.mutants", "-p", "no:cacheprovider"]
    patience = [] if mutant is None else [f"--timeout={PATIENCE}", "--timeout-method=thread"]
    line = [sys.executable, "-m", "pytest", "-q", "-x", *plugins, *patience]
    line += ["-c", str(TESTS.parent / "pyproject.toml"), test]
    quiet = subprocess.DEVNULL
    return subprocess.run(line, env=environment, stdout=quiet, stderr=quiet, check=False).returncode


def judge(table: Sequence[Mapping[str, str]]) -> int:
    """Run each test once with all defences and once without each of its own; print every verdict, count the survivors.

    The runs are processes of their own, WORKERS at a time; the order of what is printed is that of the table.
    """
    survived = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        whole = {test: pool.submit(run, test, None) for test in dict.fromkeys(entry["test"] for entry in table)}
        weak = [pool.submit(run, entry["test"], (entry["target"], entry["replacement"])) for entry in table]
        for entry, lacking in zip(table, weak, strict=True):
            with_it, without = whole[entry["test"]].result(), lacking.result()
            good = (with_it, without) == (0, FAILED)
            survived += not good
            verdict = "caught  " if good else "SURVIVED"
            print(f"{verdict} {entry['name']} (exit {with_it} with, {without} without)", flush=True)
    return survived


def main(arguments: list[str]) -> int:
    """Judge every defence of the table, or those named; a name that the table lacks is an error."""
    table = tomllib.loads(Path(arguments[0]).read_text())["defence"]
    unknown = set(arguments[1:]) - {entry["name"] for entry in table}
    if unknown:
        print(f"no such defence: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    chosen = [entry for entry in table if not arguments[1:] or entry["name"] in arguments[1:]]
    survived = judge(chosen)
    print(f"{len(chosen)} defences, {survived} not proved by their test")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
