"""Logs: one event is a struct of secagg.events; lines for people on a terminal, JSON otherwise.

Rules: a field that the event's struct does not have is dropped and its name alone is shown. So a new field is a
decision, and no update, share, mask or secret is logged by accident. Bytes and tables of numbers are never shown. Logs
go to standard error.
Source: docs/operations.md "Logs, metrics, health".
"""

import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

from secagg.daemon import clock
from secagg.daemon.writing import plain
from secagg.events.kinds import LOGGED

_BOUND = frozenset({"event", "level", "timestamp", "role", "name", "exception"})
"""What every line may have, whatever it is."""

_LEVELS = {-1: 40, 0: 20, 1: 10}
"""Verbosity of the command line to the level that is shown: errors, information, everything."""

Values = MutableMapping[str, Any]


def configure(
    role: str, name: str, verbosity: int = 0, *, color: bool = True, file: TextIO | None = None
) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a daemon, which writes to `file`, standard error unless given."""
    target = file or sys.stderr
    terminal = target.isatty()
    show: Callable[..., Any] = (
        structlog.dev.ConsoleRenderer(colors=color) if terminal else structlog.processors.JSONRenderer()
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(target),
        processors=[_stamp, structlog.processors.format_exc_info, _allow, show],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[max(-1, min(1, verbosity))]),
        role=role,
        name=name,
    )
    return logger


def _stamp(logger: object, method: str, values: Values) -> Values:
    values["level"] = method
    values["timestamp"] = datetime.fromtimestamp(clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return values


def _allow(logger: object, method: str, values: Values) -> Values:
    dropped = sorted(set(values) - _BOUND - LOGGED.get(str(values["event"]), frozenset()))
    for field in dropped:
        del values[field]
    for field, value in values.items():
        shown = _shown(value)
        # A traceback has lines of its own; what is in them is not a peer's to end.
        values[field] = shown if field != "exception" else "\n".join(map(plain, str(value).split("\n")))
    if dropped:
        values["dropped"] = dropped
    return values


def _shown(value: object) -> object:
    if isinstance(value, str):
        return plain(value)
    if value is None or isinstance(value, int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    return f"({type(value).__name__})"
