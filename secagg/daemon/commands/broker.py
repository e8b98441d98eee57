"""`secagg broker`: make the broker's key, and serve.

Rule: it knows no protocol; whom it lets in is what the key server's roster says.
"""

from pathlib import Path

import click

from secagg.daemon.options import configuration, current, options


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
    from secagg.daemon.printing import show

    key = init_broker(state_dir).hex()
    show({"public_key": key}, lines=[key])


@broker.command()
@click.option("--ready", type=click.Path(path_type=Path, dir_okay=False), help="Write addresses and key here (JSON).")
@options
def serve(ready: Path | None) -> None:
    """Serve until SIGTERM; prints `ready broker …` once a stranger was refused at its own doors."""
    from secagg.daemon.broker import run_broker

    given = current()
    run_broker(configuration("broker.toml"), ready, verbosity=given.verbosity, color=given.color)


@broker.command()
@options
def status() -> None:
    """Show who is connected, what waits for whom, and how near memory and descriptors are to their limits."""
    from secagg.daemon.admin import ask
    from secagg.daemon.broker import Status, admin_socket
    from secagg.daemon.printing import show

    show(ask(admin_socket(configuration("broker.toml")), Status()))
