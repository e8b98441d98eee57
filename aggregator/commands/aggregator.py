"""`secagg aggregator`: join a federation, serve, show what is going on.

Rule: no command opens a database; what a daemon knows, it says over its admin socket.
"""

from pathlib import Path

import click

from secagg.daemon.joining import join_command
from secagg.daemon.options import configuration, current, options

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
    from aggregator.process import serve as run

    given = current()
    run(configuration("aggregator.toml"), verbosity=given.verbosity, color=given.color)


@aggregator.command()
@options
def status() -> None:
    """Show roster, log, who is here, and the round that is running."""
    from aggregator.process import admin_socket
    from aggregator.requests import Status
    from secagg.daemon.printing import show_status

    show_status(admin_socket(configuration("aggregator.toml")), Status())
