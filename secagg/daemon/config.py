"""Configuration files: TOML into a strict struct; an unknown key is an error with its path and a suggestion.

Leaves to others: which keys a role has (its own struct, `forbid_unknown_fields=True`), secrets (secagg.daemon.vault).
Source: docs/operations.md "Configuration".
"""

import re
import tomllib
import typing
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from secagg.errors import BadConfiguration

T = TypeVar("T")

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*?)`(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"\A([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)\Z")


def means(text: str) -> msgspec.Meta:
    """Return what says of a key what it means; docs/reference/config.md is printed from these."""
    return msgspec.Meta(description=text)


def load(path: Path, type: type[T]) -> T:
    """Read the TOML file `path` as `type`.

    Raises: BadConfiguration when it is missing, no TOML, or not as `type` says; the cause names file and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadConfiguration(f"{path} cannot be read: {reason}.", "Name the file with --config FILE.") from None
    return parse(text, type, str(path))


def parse(text: str, type: type[T], name: str = "configuration") -> T:
    """Read TOML text as `type`; `name` stands for it in errors.

    Raises: as `load`.
    """
    try:
        return msgspec.convert(tomllib.loads(text), type)
    except tomllib.TOMLDecodeError as error:
        raise BadConfiguration(f"{name} is not TOML: {error}.", "Correct that line.") from None
    except msgspec.ValidationError as error:
        raise _explained(str(error), type, name) from None


def duration(text: str) -> float:
    """Return the seconds of `250ms`, `3s`, `10m`, `2h` or `30d`.

    Raises: BadConfiguration for anything else.
    """
    match = _DURATION.match(text)
    if not match:
        raise BadConfiguration(f"{text!r} is no duration.", "Write a number and ms, s, m, h or d, for example 10m.")
    return float(match[1]) * _UNITS[match[2]]


def _explained(message: str, kind: Any, name: str) -> BadConfiguration:
    unknown = _UNKNOWN.match(message)
    if unknown:
        path, field = _dotted(unknown["path"]), unknown["field"]
        key = f"{path}.{field}" if path else field
        return BadConfiguration(f"{name}: the key {key} is unknown.", _suggestion(field, _fields(kind, path)))
    found = _PLACE.match(message)
    what, path = (found["what"], _dotted(found["path"])) if found else (message, "")
    where = f"{name}: {path}" if path else name
    return BadConfiguration(f"{where}: {what[:1].lower()}{what[1:]}.", "Correct that key.")


def _dotted(path: str | None) -> str:
    return (path or "").lstrip(".")


def _suggestion(field: str, known: list[str]) -> str:
    close = get_close_matches(field, known, 1)
    if close:
        return f"Did you mean {close[0]}?"
    return f"Known here: {', '.join(known)}." if known else "Remove it."


def _fields(kind: Any, path: str) -> list[str]:
    """Return the keys that the struct at `path` (`node`, `tasks[...]`) knows."""
    for part in re.findall(r"\[[^\]]*\]|[^.\[\]]+", path):
        step = _element(kind) if part.startswith("[") else _member(kind, part)
        if step is None:
            return []
        kind = step
    struct = _struct(kind)
    return [field.encode_name for field in msgspec.structs.fields(struct)] if struct else []


def _struct(kind: Any) -> Any:
    """Return the struct in `kind`, looking through Optional and Annotated; None when there is none."""
    for choice in (kind, *typing.get_args(kind)):
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct):
            return choice
    return None


def _member(kind: Any, name: str) -> Any:
    struct = _struct(kind)
    fields = msgspec.structs.fields(struct) if struct else ()
    return next((field.type for field in fields if field.encode_name == name), None)


def _element(kind: Any) -> Any:
    arguments = [argument for argument in typing.get_args(kind) if argument is not Ellipsis]
    return arguments[-1] if arguments else None
