"""The running aggregator, as its nouns ask it over the admin socket.

Rule: a command imports this inside, so that listing nouns loads none of it.
"""

from collections.abc import Iterator
from typing import TypeVar

from aggregator.process import admin_socket
from secagg.daemon import admin
from secagg.daemon.options import configuration
from secagg.daemon.requests import Request
from secagg.events.line import Event

EXAMPLE = "aggregator.toml"

A = TypeVar("A")


def ask(request: Request[A]) -> A:
    """Ask the running aggregator. Raises: PeerUnavailable, and what the daemon raised."""
    return admin.ask(admin_socket(configuration(EXAMPLE)), request)


def follow() -> Iterator[Event]:
    """Yield what happens, as it happens."""
    return admin.watch(admin_socket(configuration(EXAMPLE)))
