"""Measured cases in a file of JSON lines: one row per case with its command, commit, date and figures.

Rules: a row is replaced when its case is measured again. The order is that of the cases. The file is whole at every
moment, so that a run that was stopped goes on where it was. Leaves to others: measuring (suite.py).
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from secagg.bench.cases import ENTRIES


class Row(Struct):
    """One measured case. `source` is the git tree of the measured code, `load` the machine's load average before."""

    name: str
    command: str
    commit: str
    source: str
    date: str
    load: float
    took: float
    figures: dict[str, Any]


def read(path: Path) -> dict[str, Row]:
    """Return the rows of a file by name, none when there is no file."""
    if not path.exists():
        return {}
    rows = [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]
    return {row.name: row for row in rows}


def write(path: Path, rows: dict[str, Row]) -> None:
    """Replace the file by these rows, in the order of the cases; rows of cases that are gone are dropped."""
    lines = [msgspec.json.encode(rows[entry.name]) for entry in ENTRIES if entry.name in rows]
    partial = path.with_suffix(".partial")
    partial.write_bytes(b"".join(line + b"\n" for line in lines))
    partial.replace(path)
