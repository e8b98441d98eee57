"""`secagg aggregator`: join a federation, serve, show what is going on.

Rule: no command opens a database; what a daemon knows, it says over its admin socket.
"""

from pathlib import Path

import click

from secagg.daemon.options import current, options

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(name="aggregator")
@options
def aggregator() -> None:
    """Add up protected updates and publish the sum."""


@aggregator.command()
@click.argument("source", type=click.Choice(["-"]), required=False)
@click.option(
    "--state-dir", required=True, type=click.Path(path_type=Path, file_okay=False), help="Made with mode 0700."
)
@click.option("--passphrase-file", type=FILE, help="Of the key file; one line, mode 0600. A prompt unless given.")
@click.option("--name", default="", help="The member's name; that of the token unless given.")
@click.option("--config-out", default=Path("aggregator.toml"), show_default=True, type=FILE)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the operator's approval.")
@click.option("--timeout", default="24h", show_default=True, help="How long to wait.")
@options
def join(
    source: str | None, state_dir: Path, passphrase_file: Path | None, name: str, config_out: Path,
    wait: bool, timeout: str,
) -> None:  # fmt: skip
    """Enrol this machine with the token on standard input (`-`) or at the prompt, and write aggregator.toml."""
    import sys

    from secagg.daemon.config import duration
    from secagg.daemon.enrolment import KEYS, token_line
    from secagg.daemon.enrolment import join as enrol

    line = token_line(sys.stdin) if source else click.prompt("Token", hide_input=True, err=True)
    new = not (state_dir / KEYS).exists()

    def prompt() -> str:
        return str(click.prompt("Passphrase of the key file", hide_input=True, confirmation_prompt=new, err=True))

    def tell(text: str) -> None:
        click.echo(text, err=True)

    patience = duration(timeout) if wait else 0.0
    written = enrol(
        line, "aggregator", state_dir, config_out, passphrase_file, name=name, prompt=prompt, tell=tell, wait=patience
    )
    click.echo(str(written))


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

    show(ask({"command": "status"}) | ask({"command": "link"}))
