"""`secagg member`: look at requests, approve them, take members out."""

from pathlib import Path

import click

from secagg.daemon.options import options
from secagg.daemon.writing import say

STATE_DIR = click.option("--state-dir", type=click.Path(path_type=Path), help="Of the key server, instead of --config.")


@click.group(name="member")
@options
def member() -> None:
    """Show, approve and revoke members."""


@member.command(name="list")
@STATE_DIR
@options
def list_(state_dir: Path | None) -> None:
    """List members and those who wait."""
    from keyserver.asking import ask
    from keyserver.requests import ListMembers
    from secagg.daemon.printing import show_all

    columns = ("name", "organisation", "role", "state", "since", "fingerprint")
    show_all(ask(state_dir, ListMembers()), columns)


@member.command(name="show")
@click.argument("name")
@STATE_DIR
@options
def show_(name: str, state_dir: Path | None) -> None:
    """Show one member or request with its fingerprint and words."""
    from keyserver.asking import ask
    from keyserver.requests import ShowMember
    from secagg.daemon.printing import show

    show(ask(state_dir, ShowMember(name)))


@member.command()
@click.argument("name")
@click.option("--words", help="Two or more of the eight words, in order, as the institution read them out: w1,w2.")
@click.option("--yes", is_flag=True, help="Approve without words: the fingerprint was compared in another way.")
@click.option("--wait", default="0s", show_default=True, help="How long to wait for the request to arrive.")
@STATE_DIR
@options
def approve(name: str, words: str | None, yes: bool, wait: str, state_dir: Path | None) -> None:
    """Approve the request that waits under NAME, once its words were read out."""
    from keyserver.asking import await_request, decide
    from keyserver.requests import ApproveMember
    from secagg.daemon.config import duration

    seen = await_request(state_dir, name, duration(wait))
    heard: list[str] = []
    if not yes:
        say(f"{name}, {seen.organisation}, {seen.role}", seen.groups, err=True)
        heard = (words or click.prompt("Two of the words that the institution reads out", err=True)).split(",")
        heard = [word for part in heard for word in part.split()]
    done = decide(state_dir, ApproveMember(name, seen.fingerprint, tuple(heard), unread=yes))
    say(f"approved {name}: {' '.join(seen.words)} · roster version {done.version}")


@member.command()
@click.argument("name")
@click.option("--reason", required=True, help="One sentence; it is logged and the member is told.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@STATE_DIR
@options
def revoke(name: str, reason: str, yes: bool, state_dir: Path | None) -> None:
    """Take NAME out of the federation, or turn its request away."""
    from keyserver.asking import decide
    from keyserver.requests import RevokeMember

    if not yes:
        click.confirm(f"Revoke {name}? Its running rounds go on without it.", abort=True, err=True)
    done = decide(state_dir, RevokeMember(name, reason))
    say(f"revoked {name}" + (f" · roster version {done.version}" if done.version else ""))
