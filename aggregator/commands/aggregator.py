"""`secagg aggregator`: join a federation, serve, show what is going on.

Rule: no command opens a database; what a daemon knows, it says over its admin socket.
"""

from pathlib import Path

import click

from secagg.daemon.joining import join_command
from secagg.daemon.options import current, options

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(name="aggregator")
@options
def aggregator() -> None:
    """Add up protected updates and publish the sum."""


aggregator.add_command(join_command("aggregator"))


@aggregator.command()
@options
def serve() -> None:
    """Serve until SIGTERM; prints `ready aggregator NAME` once everything is open."""
    from aggregator.console import configuration
    from aggregator.process import serve as run

    given = current()
    run(configuration(), verbosity=given.verbosity, color=given.color)


@aggregator.command()
@options
def status() -> None:
    """Show roster, log, who is here, and the round that is running."""
    from aggregator.console import ask, show
    from secagg.daemon.requests import Link, Status

    show(ask(Status()) | ask(Link()))
