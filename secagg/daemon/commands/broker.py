"""`secagg broker`: make the broker's key, and serve.

Rule: it knows no protocol; whom it lets in is what the key server's roster says.
"""

from pathlib import Path

import click

from secagg.daemon.options import current, options
from secagg.daemon.writing import say, say_json


@click.group(name="broker")
@options
def broker() -> None:
    """Relay ciphertexts between the members of a federation."""


@broker.command()
@click.option("--state-dir", type=click.Path(path_type=Path, file_okay=False), required=True, help="Made if missing.")
@options
def init(state_dir: Path) -> None:
    """Make the broker's CURVE key, once, and print its public half (hexadecimal)."""

    from secagg.daemon.broker import init_broker

    key = init_broker(state_dir).hex()
    if current().format == "table":
        say(key)
    else:
        say_json({"public_key": key})


@broker.command()
@click.option("--ready", type=click.Path(path_type=Path, dir_okay=False), help="Write addresses and key here (JSON).")
@options
def serve(ready: Path | None) -> None:
    """Serve until SIGTERM; prints `ready broker …` once a stranger was refused at its own doors."""
    from secagg.daemon.broker import run_broker
    from secagg.errors import UsageError

    given = current()
    if given.config is None:
        raise UsageError("There is no configuration.", "Name it with --config broker.toml.")
    run_broker(given.config, ready, verbosity=given.verbosity, color=given.color)


@broker.command()
@options
def status() -> None:
    """Show who is connected, what waits for whom, and how near memory and descriptors are to their limits."""
    import json

    from secagg.daemon.admin import call
    from secagg.daemon.broker import admin_socket
    from secagg.daemon.requests import Status
    from secagg.errors import UsageError

    given = current()
    if given.config is None:
        raise UsageError("There is no configuration.", "Name it with --config broker.toml.")
    shown = call(admin_socket(given.config), Status())
    if given.format != "table":
        say_json(shown)
        return
    for key, value in shown.items():
        say(f"{key:<18}{json.dumps(value) if isinstance(value, dict | list) else value}")
