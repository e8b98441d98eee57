"""The options that every command shares, and the one way an error reaches a person.

Rules: `--config --format -q -v --no-color` mean the same before and after the noun, and the last one given wins. Data
goes to standard output, errors to standard error as `error[CODE]: cause` and the remedy below it. The exit code is the
error's. This file imports click and the errors alone, because every command file loads it before any work is imported.
Leaves to others: finding the nouns (secagg.cli), reading the configuration file (secagg.daemon.config).
Source: docs/operations.md "Commands".
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from secagg.errors import SecaggError, UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("table", "json", "jsonl")
_META = "secagg.options"


class Options(NamedTuple):
    """What the global options say; `verbosity` is -1 quiet, 0 normal, 1 or more detailed."""

    config: Path | None = None
    format: str = "table"
    verbosity: int = 0
    color: bool = True


def current() -> Options:
    """Return the global options of the command that is running, wherever on the line they were given."""
    context = click.get_current_context()
    given: dict[str, Any] = context.meta.get(_META, {})
    return Options(**given)


def configuration(example: str) -> Path:
    """Return the configuration file that was named; `example` is what such a file is called. Raises: UsageError."""
    given = current().config
    if given is None:
        raise UsageError("There is no configuration.", f"Name it with --config {example}.")
    return given


def options(command: Command) -> Command:
    """Accept the global options on `command`; its body reads them with `current()`.

    Works on functions and on what `click.command` or `click.group` made of them, above or below that decorator.
    """
    for decorate in reversed(_DECORATORS):
        command = decorate(command)
    return command


def _remember(field: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback that stores a value that was given, so that a default after the noun overrides nothing."""

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value not in (None, 0, False):
            kept = context.meta.setdefault(_META, {})
            kept[field] = {"color": False, "quiet": -1}.get(parameter.name or "", value)
        return value

    return callback


_DECORATORS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        expose_value=False,
        callback=_remember("config"),
        help="Configuration file (TOML).",
    ),
    click.option(
        "--format",
        type=click.Choice(FORMATS),
        expose_value=False,
        callback=_remember("format"),
        help="How results are printed; table unless told.",
    ),
    click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=_remember("verbosity"), help="Errors only."
    ),
    click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_remember("verbosity"), help="More detail."
    ),
    click.option(
        "--no-color", "color", is_flag=True, expose_value=False, callback=_remember("color"), help="Plain text."
    ),
)


def explain(error: SecaggError) -> tuple[str, ...]:
    """Return the lines that a person reads: `error[CODE]: cause`, and the remedy indented below."""
    return (f"error[{error.code}]: {error.cause}", *([f"  {error.remedy}"] if error.remedy else []))
