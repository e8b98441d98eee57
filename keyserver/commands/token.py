"""`secagg token`: make, list and revoke one-time enrolment tokens."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from secagg.daemon.options import current, options
from secagg.daemon.writing import say

if TYPE_CHECKING:
    from keyserver.requests import TokenRole

STATE_DIR = click.option("--state-dir", type=click.Path(path_type=Path), help="Of the key server, instead of --config.")


@click.group(name="token")
@options
def token() -> None:
    """Create and list one-time enrolment tokens."""


@token.command()
@click.option(
    "--institution", required=True, help="Whom it is for; also the member's name unless --name says otherwise."
)
@click.option("--name", default="", help="The member's name.")
@click.option("--role", type=click.Choice(["node", "aggregator", "trustee"]), default="node", show_default=True)
@click.option("--ttl", default="24h", show_default=True, help="How long it can be used.")
@STATE_DIR
@options
def create(institution: str, name: str, role: "TokenRole", ttl: str, state_dir: Path | None) -> None:
    """Print a token, a secret that the institution gives to `secagg node join -`."""

    from keyserver.asking import decide
    from keyserver.requests import CreateToken
    from secagg.daemon.config import duration
    from secagg.daemon.printing import show

    made = decide(state_dir, CreateToken(institution, name, role, int(duration(ttl))))
    if current().format == "table":
        say(f"Send this line to {institution}, who gives it to `secagg {role} join -`:", err=True)
    show(made, lines=[made.token])


@token.command(name="list")
@STATE_DIR
@options
def list_(state_dir: Path | None) -> None:
    """List tokens: for whom, until when, and what became of them."""
    from keyserver.asking import ask
    from keyserver.requests import ListTokens
    from secagg.daemon.printing import show_all

    columns = ("id", "institution", "name", "role", "state", "expires", "tries")
    show_all(ask(state_dir, ListTokens()), columns)


@token.command()
@click.argument("id")
@STATE_DIR
@options
def revoke(id: str, state_dir: Path | None) -> None:
    """Revoke the token whose ID begins so; a request that used it is turned away."""
    from keyserver.asking import decide
    from keyserver.requests import RevokeToken

    say(f"revoked {decide(state_dir, RevokeToken(id)).id[:16]}")
