"""`make bench`: run the cases one after another, keep their figures, rewrite tables and plots of docs/performance.md.

How to read it: `python -m secagg.bench.suite [--quick] [--again] [--only NAME…]`. Rules: every case is a process of the
command that a person would type. One that was measured with this very code is not measured again, so a run that was
stopped goes on. A quick run writes into a folder of its own and leaves the committed page alone. A case whose sum is
not exact ends the run. Leaves to others: what is measured (cases.py), tables (report.py), plots (plots.py).
"""

import argparse
import os
import shlex
import subprocess  # a case is `secagg bench`, started as a person would
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import msgspec

from secagg.bench import report, results
from secagg.bench.cases import ENTRIES, Entry, command
from secagg.bench.results import Row
from secagg.daemon.clock import monotonic, wall
from secagg.errors import BadInput

_ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and return the exit code."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="small cases into a temporary folder")
    parser.add_argument("--again", action="store_true", help="also what was measured with this code before")
    parser.add_argument("--only", nargs="*", default=[], help="names of cases")
    parser.add_argument("--render", action="store_true", help="measure nothing, write page and plots")
    given = parser.parse_args(arguments)
    if not given.quick:
        return _run(_ROOT / "docs", given)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "performance.md").write_text((_ROOT / "docs/performance.md").read_text())
        return _run(Path(folder), given)


def _run(docs: Path, given: argparse.Namespace) -> int:
    path = docs / "performance.jsonl"
    rows = results.read(path)
    commit, source = _commit(), _git("rev-parse", "HEAD:secagg")
    chosen = [entry for entry in ENTRIES if not given.only or entry.name in given.only]
    for entry in () if given.render else chosen:
        line = entry.quick if given.quick else entry.line
        known = rows.get(entry.name)
        if not line or (known and not given.again and (known.command, known.source) == (command(line), source)):
            continue
        rows[entry.name] = _measure(entry, line, commit, source)
        results.write(path, rows)
    page = docs / "performance.md"
    rows = results.read(path)
    page.write_text(report.page(page.read_text(), rows))
    _plots(docs / "plots", rows)
    for line in report.PARTS["masks" if given.quick else "targets"](rows):
        print(line)
    return 0


def _measure(entry: Entry, line: str, commit: str, source: str) -> Row:
    """Run one case. Raises: BadInput when it does not come to its end, or its sum is not exact."""
    began, load = monotonic(), os.getloadavg()[0]
    date = datetime.fromtimestamp(wall(), UTC).isoformat(timespec="seconds")
    started = [sys.executable, "-m", "secagg.cli", "bench", *shlex.split(line), "--format", "jsonl"]
    done = subprocess.run(started, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    took = monotonic() - began
    print(f"{entry.name:>22}  {took:6.1f} s  {command(line)}", file=sys.stderr, flush=True)
    if done.returncode:
        raise BadInput(f"{command(line)} ended with {done.returncode}: {done.stderr.strip()}", "Run it by itself.")
    figures = msgspec.json.decode(done.stdout)
    return Row(entry.name, command(line), commit, source, date, load, round(took, 1), figures)


def _git(*arguments: str) -> str:
    """Return one line of git about this code, "unknown" outside a repository."""
    done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 - fixed arguments
    return done.stdout.strip() or "unknown"


def _commit() -> str:
    """Return the commit; what a run writes into docs makes the measured code no other."""
    changed = _git("status", "--porcelain", "--", "secagg") != "unknown"
    return _git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def _plots(folder: Path, rows: dict[str, Row]) -> None:
    if find_spec("matplotlib") is None:
        print("plots are left as they are: install the extra `bench` (matplotlib)", file=sys.stderr)
        return
    from secagg.bench import plots  # noqa: PLC0415 - matplotlib is optional

    plots.draw(folder, rows)


if __name__ == "__main__":
    sys.exit(main())
