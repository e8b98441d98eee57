"""What the aggregator's nouns share: the configuration, the admin socket, and how an answer is printed.

Rule: a command imports this inside, so that listing nouns loads none of it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aggregator.process import admin_socket
from secagg.daemon.admin import call, watch
from secagg.daemon.options import current
from secagg.daemon.requests import Request
from secagg.daemon.writing import say, say_json
from secagg.errors import UsageError
from secagg.events.line import Event


def configuration() -> Path:
    """Return the configuration file that was named.

    Raises: UsageError.
    """
    given = current().config
    if given is None:
        raise UsageError("There is no configuration.", "Name it with --config aggregator.toml.")
    return given


def ask(request: Request) -> Any:
    """Ask the running aggregator. Raises: PeerUnavailable, and what the daemon raised."""
    return call(admin_socket(configuration()), request)


def follow() -> Iterator[Event]:
    """Yield what happens, as it happens."""
    return watch(admin_socket(configuration()))


def show(values: dict[str, Any]) -> None:
    """Print one object: a line for each value, or JSON."""
    if current().format != "table":
        say_json(values)
        return
    for name, value in values.items():
        text = value if isinstance(value, str | int | float) else json.dumps(value)
        say(f"{name:>16}  {text}")
