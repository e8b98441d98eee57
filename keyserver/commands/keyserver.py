"""`secagg keyserver`: found a federation, serve it, ask how it is."""

from pathlib import Path
from typing import Any

import click

from secagg.daemon.options import current, options
from secagg.daemon.writing import say

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(name="keyserver")
@options
def keyserver() -> None:
    """Enrol institutions and publish who they are."""


@keyserver.command()
@click.option(
    "--state-dir", required=True, type=click.Path(path_type=Path, file_okay=False), help="Made with mode 0700."
)
@click.option("--federation", required=True, help="Its name: lower case, digits, hyphens.")
@click.option("--passphrase-file", required=True, type=FILE, help="One line; mode 0600.")
@click.option("--colluders", type=click.IntRange(0), help="c; floor((R - 1) / 3) of the nodes unless given.")
@click.option("--min-nodes", default=3, show_default=True, type=click.IntRange(1), help="The smallest cohort of a job.")
@click.option("--broker", "address", default="tcp://127.0.0.1:7700", show_default=True, help="As members dial it.")
@click.option("--broker-key", default="", help="The broker's CURVE key; can be written into the file later.")
@click.option("--delegation", default="730d", show_default=True, help="Until when the root's word holds.")
@click.option("--config-out", default=Path("keyserver.toml"), show_default=True, type=FILE)
@click.option("--broker-out", type=FILE, help="Write the broker's configuration too; its state_dir is `broker`.")
@options
def init(
    state_dir: Path, federation: str, passphrase_file: Path, config_out: Path, broker_out: Path | None, **rest: Any
) -> None:  # fmt: skip
    """Make the offline root key, the online keys and keyserver.toml, and print what everybody pins."""
    from keyserver.founding import begin, write_broker
    from secagg.daemon.printing import show

    told = begin(state_dir, federation, passphrase_file, config_out, **rest)
    if broker_out:
        write_broker(broker_out, rest["address"], told)
    show(told)
    say(f"Move {told['root_key']} to another medium: it is not needed to serve.", err=True)
    if not broker_out:
        say("Write root_fingerprint and keyserver_curve_key into [federation] of broker.toml.", err=True)
    if not rest["broker_key"]:
        say(f"Write the broker's CURVE key into [broker] of {config_out}.", err=True)


@keyserver.command()
@options
def serve() -> None:
    """Serve the federation of keyserver.toml until stopped."""
    from keyserver.config import read
    from keyserver.founding import serve as run

    given = current()
    run(read(given.config), _prompt, given.verbosity, color=given.color)


@keyserver.command()
@click.option("--state-dir", type=click.Path(path_type=Path), help="Instead of --config.")
@options
def status(state_dir: Path | None) -> None:
    """Show the roster in force, who waits, and the link to the broker."""
    from keyserver.asking import socket
    from keyserver.requests import Status
    from secagg.daemon.printing import show_status

    show_status(socket(state_dir), Status())


def _prompt() -> str:
    return str(click.prompt("Passphrase of the key server's keys", hide_input=True, err=True))
