"""`secagg roster`: show the members, and verify that the directory holds them."""

from pathlib import Path

import click

from secagg.daemon.options import current, options
from secagg.daemon.writing import say

STATE_DIR = click.option("--state-dir", type=click.Path(path_type=Path), help="Of the key server, instead of --config.")


@click.group(name="roster")
@options
def roster() -> None:
    """Show and verify the signed list of members."""


@roster.command(name="show")
@STATE_DIR
@options
def show_(state_dir: Path | None) -> None:
    """Show the roster in force."""
    from keyserver.asking import ask
    from keyserver.requests import ShowRoster
    from keyserver.verifying import rows
    from secagg.daemon.printing import show_all

    shown, lines = rows(ask(state_dir, ShowRoster()))
    if current().format == "table":
        say(shown)
    show_all(lines, ("name", "organisation", "role", "fingerprint"))


@roster.command()
@click.option("--root", help="The root fingerprint you were told (sha256:…); that of the configuration unless given.")
@STATE_DIR
@options
def verify(root: str | None, state_dir: Path | None) -> None:
    """Verify the chain from the pinned root, and that every member's enrolment is in the directory."""
    from keyserver.asking import ask
    from keyserver.config import read
    from keyserver.requests import ShowRoster
    from keyserver.verifying import verify as check

    pinned = root or read(current().config).federation.root_fingerprint
    for line in check(ask(state_dir, ShowRoster()), pinned):
        say(line)
