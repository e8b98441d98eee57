"""Prints what the key server answered: aligned columns for people, JSON for programs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from secagg.daemon.writing import plain, say, say_json

_TIMES = ("expires", "since")


def show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], format: str) -> None:
    """Print rows: a table of `columns`, one JSON array, or one JSON object per line."""
    if format == "json":
        say_json(list(rows))
    elif format == "jsonl":
        say_json(*rows)
    else:
        cells = [[_text(column, row.get(column, "")) for column in columns] for row in rows]
        widths = [max(map(len, values)) for values in zip(columns, *cells, strict=True)]
        for line in ([*columns], *cells):
            say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show_one(row: Mapping[str, Any], format: str) -> None:
    """Print one record: a line per field, or one JSON object."""
    if format != "table":
        say_json(row)
        return
    width = max(map(len, row))
    for name, value in row.items():
        say(f"{name:<{width}}  {_text(name, value)}")


def _text(column: str, value: Any) -> str:
    if column in _TIMES and isinstance(value, int):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return plain(" ".join(value) if isinstance(value, list) else str(value))
