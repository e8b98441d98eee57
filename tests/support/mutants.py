"""Run each attack test with its defence taken out: it must then fail, or it proves nothing.

A table `[[defence]]` of the TOML file has `name`, `target` ("module:function" or "module:Class.method"), `replacement`
and `test` (a pytest node or file). The replacement is a Python expression, evaluated in the target's module, that does
not defend. Of a function with several rules `edited(old, new)` takes out one: the target's source with one text instead
of another. Usage: python tests/support/mutants.py DEFENCES.toml [NAME…]. Exit code 1 when a test passes without its
defence, or cannot be run with it, 2 when a name is not in the table. The same file is the pytest plugin that takes a
defence out after collection, in a fork.
"""

import importlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "SECAGG_MUTANTS"
TESTS = Path(__file__).resolve().parents[1]
FAILED = pytest.ExitCode.TESTS_FAILED
PATIENCE = 60
"""Seconds for one test: what waits without its defence for something that never comes has failed, and is ended."""

BATCH = 12
"""Defences for one process: collecting a test once for all of them saves half of the time."""

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
    weak = weakened(target, replacement)
    for holder, name in list(holders(module, path)):
        setattr(holder, name, weak)


def weakened(target: str, replacement: str) -> Any:
    """Return what the expression `replacement` gives instead of the defence `target`. Raises: whatever does not fit."""
    module, path = target.split(":")
    home, name = next(holders(module, path))
    getattr(home, name)
    names = {**vars(importlib.import_module(module)), "edited": lambda old, new: edited(home, name, old, new)}
    return eval(replacement, names)  # noqa: S307 - our own committed table


def edited(holder: Any, name: str, old: str, new: str) -> Any:
    """Return the function `name` of a module or class with `new` in its source where `old` stands, once."""
    function = inspect.unwrap(getattr(holder, name))
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(old) != 1:
        raise ValueError(f"{old!r} is {source.count(old)} times in {name}, not once")
    made: dict[str, Any] = {}
    exec(source.replace(old, new), function.__globals__, made)  # noqa: S102 - our own committed table
    return made[name]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the chosen tests once in a fork of this process for each mutant of $SECAGG_MUTANTS, and note the codes."""
    if VARIABLE not in os.environ:
        return None
    order = json.loads(os.environ[VARIABLE])
    codes = []
    for tests, mutant in order["mutants"]:
        child = os.fork()
        if not child:
            session.items[:] = [item for item in session.items if any(belongs(item.nodeid, test) for test in tests)]
            if mutant is not None:
                take_out(*mutant)
            return None
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    Path(order["codes"]).write_text(json.dumps(codes))
    return True


def belongs(node: str, test: str) -> bool:
    """Return whether a collected test of a row's file is one that the row names: it, a parameter of it, the file."""
    return "::" not in test or node == test or node.startswith((test + "[", test + "::"))


def run(file: str, mutants: Sequence[tuple[Sequence[str], tuple[str, str] | None]]) -> list[int]:
    """Return pytest's exit codes for some tests of `file` without each of these defences (None: with all of them)."""
    with tempfile.TemporaryDirectory() as place:
        codes = Path(place) / "codes"
        environment = {**os.environ, VARIABLE: json.dumps({"mutants": list(mutants), "codes": str(codes)})}
        # Plugins are imported before pytest reads its own pythonpath; the code judged is that of this tree.
        environment["PYTHONPATH"] = os.pathsep.join((str(TESTS), str(TESTS.parent)))
        line = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "support.mutants", "-p", "no:cacheprovider"]
        line += [f"--timeout={PATIENCE}", "--timeout-method=thread", "-c", str(TESTS.parent / "pyproject.toml"), file]
        quiet = subprocess.DEVNULL
        failed = subprocess.run(line, env=environment, stdout=quiet, stderr=quiet, check=False).returncode
        found: list[int] = json.loads(codes.read_text()) if codes.exists() else [failed or -1] * len(mutants)
    return found


def judge(table: Sequence[Mapping[str, str]]) -> int:
    """Run each row's test once with all defences and once without its own; print every verdict, count the survivors.

    WORKERS processes at a time, each for at most BATCH defences of one file; what is printed has the table's order.
    """
    survived = 0
    by_file: dict[str, list[Mapping[str, str]]] = {}
    for entry in table:
        by_file.setdefault(entry["test"].split("::")[0], []).append(entry)
    with ThreadPoolExecutor(WORKERS) as pool:
        runs: dict[str, tuple[Future[list[int]], Future[list[int]], int]] = {}
        for file, entries in by_file.items():
            whole = (sorted({entry["test"] for entry in entries}), None)
            first = None
            for start in range(0, len(entries), BATCH):
                part = entries[start : start + BATCH]
                weak = [((entry["test"],), (entry["target"], entry["replacement"])) for entry in part]
                done = pool.submit(run, file, weak if first else [whole, *weak])
                first = first or done
                runs |= {entry["name"]: (first, done, at - len(part)) for at, entry in enumerate(part)}
        for entry in table:
            sound, lacking, at = runs[entry["name"]]
            with_it, without = sound.result()[0], lacking.result()[at]
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
