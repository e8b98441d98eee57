"""The `join` command of every role that enrols with a token: one door, the same options and questions.

Leaves to others: enrolment itself (secagg.daemon.enrolment), what a role does afterwards (its own commands).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from secagg.daemon.options import options
from secagg.daemon.writing import say

_FILE = click.Path(path_type=Path, dir_okay=False)


class Question(NamedTuple):
    """What a person is asked whose answer goes into `[policy]`: its key there, the option that answers it, the words.

    It is asked at a terminal only; without an answer nothing is written, and the strict default holds.
    """

    key: str
    option: str
    text: str


def join_command(role: str, *, with_organisation: bool = False, questions: Sequence[Question] = ()) -> click.Command:
    """Return the command that enrols this machine as `role` and writes ROLE.toml."""

    @click.command(name="join")
    @click.argument("source", type=click.Choice(["-"]), required=False)
    @click.option(
        "--state-dir", required=True, type=click.Path(path_type=Path, file_okay=False), help="Made with mode 0700."
    )
    @click.option("--passphrase-file", type=_FILE, help="Of the key file; one line, mode 0600. A prompt unless given.")
    @click.option("--name", default="", help="The member's name; that of the token unless given.")
    @click.option("--config-out", default=Path(f"{role}.toml"), show_default=True, type=_FILE)
    @click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the operator's approval.")
    @click.option("--timeout", default="24h", show_default=True, help="How long to wait.")
    @options
    def join(
        source: str | None, state_dir: Path, passphrase_file: Path | None, name: str, config_out: Path,
        wait: bool, timeout: str, **answers: bool | None,
    ) -> None:  # fmt: skip
        import sys

        from secagg.daemon.config import duration
        from secagg.daemon.enrolment import KEYS, token_line
        from secagg.daemon.enrolment import join as enrol

        line = token_line(sys.stdin) if source else click.prompt("Token", hide_input=True, err=True)
        new = not (state_dir / KEYS).exists()

        def prompt() -> str:
            return str(click.prompt("Passphrase of the key file", hide_input=True, confirmation_prompt=new, err=True))

        policy = _answered(questions, answers, asks=source is None and sys.stdin.isatty())
        written = enrol(
            line, role, state_dir, config_out, passphrase_file, name=name, prompt=prompt,
            tell=lambda text: say(text, err=True), wait=duration(timeout) if wait else 0.0,
            with_organisation=with_organisation, policy=policy,
        )  # fmt: skip
        say(str(written))

    for question in reversed(questions):
        join = click.option(question.option, question.key, default=None, help=question.text)(join)
    join.help = f"Enrol this machine with the token on standard input (`-`) or at the prompt, and write {role}.toml."
    return join


def _answered(questions: Sequence[Question], given: dict[str, bool | None], *, asks: bool) -> dict[str, object]:
    """Return what goes into `[policy]`: what was given on the command line, else what a person at a terminal says."""
    found: dict[str, object] = {}
    for question in questions:
        answer = given[question.key]
        if answer is None and asks:
            answer = click.confirm(question.text, default=False, err=True)
        if answer is not None:
            found[question.key] = answer
    return found
