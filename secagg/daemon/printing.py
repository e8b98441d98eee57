"""Prints what commands found or were answered, for every noun: lines for people, JSON for programs.

How to read it: `show` prints one answer, `show_all` rows, `show_status` how a daemon stands. In lines a time is a date,
a wait is a sentence, nothing is `-`, and what lies deeper is JSON.
Rules: a field is named alike in lines and in JSON. Peers' texts are shown by secagg.daemon.writing. A command imports
this inside, so that listing nouns loads none of it.
Source: docs/operations.md "Commands".
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct

from secagg.daemon.admin import ask
from secagg.daemon.clock import wall
from secagg.daemon.options import current
from secagg.daemon.requests import Link, Request
from secagg.daemon.waits import Wait
from secagg.daemon.writing import plain, say, say_json

_TIMES = frozenset({"expires", "since", "read_only"})
"""Fields whose numbers are seconds since 1970."""

Shown = Struct | Mapping[str, object]


def show(*answers: Shown, lines: Iterable[str] | None = None) -> None:
    """Print answers as one record: a line for each field, or `lines` in their place; JSON for programs."""
    if current().format != "table":
        say_json(_joined(answers))
    else:
        say(*(record(*answers) if lines is None else lines))


def show_all(rows: Sequence[Shown], columns: Sequence[str]) -> None:
    """Print rows: a table of these columns, one JSON array (`json`), or one JSON object on each line (`jsonl`)."""
    match current().format:
        case "json":
            say_json([_joined((row,)) for row in rows])
        case "jsonl":
            say_json(*(_joined((row,)) for row in rows))
        case _:
            say(*_table([dict(_fields(row)) for row in rows], columns))


def show_status(socket: Path, asked: Request[Struct]) -> None:
    """Print how a daemon stands, and how its link does."""
    show(ask(socket, asked), ask(socket, Link()))


def _table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> Iterator[str]:
    cells = [[plain(_text(name, row.get(name))) for name in columns] for row in rows]
    widths = [max(map(len, values)) for values in zip(columns, *cells, strict=True)]
    for line in ([*columns], *cells):
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def record(*answers: Shown, without: Sequence[str] = ()) -> Iterator[str]:
    """Yield a line for each field of all these answers, one for each part where it is a list of structs."""
    found = [pair for answer in answers for pair in _fields(answer) if pair[0] not in without]
    width = max((len(name) for name, _ in found), default=0)
    for name, value in found:
        several = isinstance(value, tuple | list) and value and all(isinstance(one, Struct) for one in value)
        for one in value if several else (value,):  # type: ignore[attr-defined]  # it is a list of structs
            yield f"{name:<{width}}  {_text(name, one)}"


def _fields(answer: Shown) -> Iterator[tuple[str, object]]:
    """Yield every field that is there, by the name that JSON has, with its value as it is."""
    if isinstance(answer, Mapping):
        yield from answer.items()
        return
    for name, shown in zip(answer.__struct_fields__, answer.__struct_encode_fields__, strict=True):
        value = getattr(answer, name)
        if value is not UNSET:
            yield shown, value


def _joined(answers: Iterable[Shown]) -> dict[str, object]:
    return {name: _plain(value) for answer in answers for name, value in _fields(answer)}


def _plain(value: object) -> object:
    """Return JSON values; of what JSON has no kind for (a path) its text."""
    return msgspec.to_builtins(value, enc_hook=str)


def _text(name: str, value: object) -> str:
    match value:
        case None | () | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() if name in _TIMES:
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case str() | int() | float():
            return str(value)
        case Wait():
            return value.sentence(wall())
        case tuple() | list() if all(isinstance(one, str) for one in value):
            return " ".join(value)
    return json.dumps(_plain(value))
