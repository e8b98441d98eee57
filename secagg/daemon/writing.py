"""Where commands write: every text goes through `plain` here, because a peer may have written part of it.

Rules: a command writes with `say`, a line for each text, or with `say_json`. Nothing else writes to a terminal (a test
reads the sources), so that nobody can forget what a terminal would obey. What is drawn in colours is
secagg.daemon.drawing's. This file imports click and json alone, because every command file loads it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(chr(code) for code in (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Letters that are printable by their class and show nothing, or change what stands before them."""


def plain(text: str) -> str:
    """Return `text` with everything shown as an escape that a terminal would obey or a person would not see.

    Control characters and newlines, escape sequences, marks that turn the direction of writing, invisible letters.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter.isprintable() and letter not in INVISIBLE else _shown(letter) for letter in text)


def plained(value: Any, how: Callable[[str], str] = plain) -> Any:
    """Return a value of texts, numbers, lists and mappings with every text, names of fields too, made plain."""
    match value:
        case str():
            return how(value)
        case Mapping():
            return {plained(name, how): plained(inner, how) for name, inner in value.items()}
        case list() | tuple():
            return [plained(inner, how) for inner in value]
        case _:
            return value


def say(*lines: str, err: bool = False) -> None:
    """Write lines to standard output, or standard error."""
    for line in lines:
        click.echo(plain(line), err=err)


def say_json(*values: object) -> None:
    """Write values as JSON, one to a line, in ASCII."""
    for value in values:
        click.echo(json.dumps(value))


def _shown(letter: str) -> str:
    """Return the escape of a letter, as Python writes it."""
    found = ascii(letter)[1:-1]
    return found if found != letter else f"\\x{ord(letter):02x}"
