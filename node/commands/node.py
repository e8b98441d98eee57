"""`secagg node`: join a federation, run beside the data, train.

Rule: no command opens a database; what a daemon knows, it says over its admin socket.
"""

from pathlib import Path

import click

from secagg.daemon.joining import Question, join_command
from secagg.daemon.options import configuration, current, options
from secagg.daemon.writing import say, say_json

EXAMPLE = "node.toml"
FILE = click.Path(path_type=Path, dir_okay=False)
FILE_OR_DIRECTORY = click.Path(path_type=Path)


@click.group(name="node")
@options
def node() -> None:
    """Join a federation, train beside the data, contribute."""


node.add_command(
    join_command(
        "node",
        questions=(
            Question(
                "changing_sets", "--changing-sets/--no-changing-sets",
                "Let the members of a training job change between its rounds? Two rounds with one member between them "
                "show that member's update, roughly, and whoever runs the aggregator chooses who drops out. Without "
                "it a job waits for its members.",
            ),
            Question(
                "exact_counts", "--exact-counts/--no-exact-counts",
                "Take training rounds that publish exact numbers of examples? A round tells the total of its members, "
                "and two rounds with one member between them tell that member's number.",
            ),
        ),
    )
)  # fmt: skip


@node.command()
@click.argument("job")
@click.option("--overlap", is_flag=True, help="Also over other members than the data was summed over before.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options
def allow(job: str, overlap: bool, yes: bool) -> None:
    """Allow a job at this institution; says first what that tells, and to whom."""
    from node.process import admin_socket
    from node.requests import AllowJob
    from secagg.daemon.admin import ask
    from secagg.daemon.printing import show

    socket = admin_socket(configuration(EXAMPLE))
    say(*(ask(socket, AllowJob(job, overlap)).tells or ()), err=True)
    if not yes:
        click.confirm(f"Allow {job}?", default=False, abort=True, err=True)
    done = ask(socket, AllowJob(job, overlap, confirmed=True))
    show(done, lines=[f"{job} is allowed here{', also over other members' if overlap else ''}."])


@node.group()
@options
def ledger() -> None:
    """What this institution gave to sums."""


@ledger.command()
@options
def show() -> None:
    """Show what is bound, to whom, since when, by which rule, how that may end, and which command gets on."""
    from node import leaving, showing
    from node.process import admin_socket
    from node.requests import ShowLedger
    from secagg.daemon import printing
    from secagg.daemon.admin import ask

    found = ask(admin_socket(configuration(EXAMPLE)), ShowLedger())
    printing.show(found, lines=[*showing.lines(found), *leaving.lines(found.failures)])


@node.command()
@click.option("--drill-kill", "drill", default="", metavar="STEP@ROUND[@JOB]", help="Drill: die by SIGKILL there.")
@options
def run(drill: str) -> None:
    """Run beside the data until SIGTERM; prints `ready node NAME` once everything is open."""
    from node.drill import parse
    from node.process import run as serve

    given = current()
    serve(configuration(EXAMPLE), parse(drill) if drill else None, verbosity=given.verbosity, color=given.color)


@node.command()
@options
def status() -> None:
    """Show the roster, the job and the round this node stands in, what it refused, and how its models did here."""
    from node.process import admin_socket
    from node.requests import Status
    from secagg.daemon.printing import show_status

    show_status(admin_socket(configuration(EXAMPLE)), Status())


@node.command()
@click.argument("task", metavar="FILE:CLASS")
@click.option("-o", "--output", required=True, type=FILE, help="Where the model goes (safetensors).")
@click.option("--option", "pairs", multiple=True, metavar="NAME=VALUE", help="Keyword argument of the class, in JSON.")
@options
def model(task: str, output: Path, pairs: tuple[str, ...]) -> None:
    """Write the first model of a task, and print what a job pins of it."""

    from node.local import write_model

    say_json(write_model(task, output, _keywords(pairs)))


@node.command()
@click.option("--alone", is_flag=True, help="Train on this institution's own data, as node.toml names it.")
@click.option("--task", required=True, metavar="TASK", help="FILE:CLASS; with --alone a task's name in node.toml.")
@click.option("--data", "first", type=FILE_OR_DIRECTORY, help="Files to pool: --data A.csv B.csv …")
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(1), help="As many as the federation's.")
@click.option("--option", "pairs", multiple=True, metavar="NAME=VALUE", help="Keyword argument of the class, in JSON.")
@click.argument("more", nargs=-1, type=FILE_OR_DIRECTORY, metavar="[FILE]...")
@options
def train(
    alone: bool, task: str, first: Path | None, rounds: int, pairs: tuple[str, ...], more: tuple[Path, ...]
) -> None:  # fmt: skip
    """Train without a federation, alone or on pooled files; print each file's metrics as one JSON object."""

    from node.config import own_task
    from node.local import train as work
    from secagg.errors import UsageError

    if alone == bool(first):
        raise UsageError("Data comes from one place.", "Give either --alone or --data FILE….")
    if alone:
        own = own_task(current().config, task)
        say_json(work(own.spec, [own.data], rounds, own.options | _keywords(pairs)))
    else:
        say_json(work(task, [*([first] if first else []), *more], rounds, _keywords(pairs)))


@node.group()
@options
def unchecked() -> None:
    """Sums that this node could not check: no upload leaves before a verdict, or before a person accepts."""


@unchecked.command()
@click.argument("round_name", metavar="ROUND")
@options
def accept(round_name: str) -> None:
    """Go on although the sum of ROUND (JOB.NUMBER, as `secagg node status` names it) was not checked here.

    Whoever runs the aggregator may have lied about that sum. It is said in the round log, with this institution's name.
    """

    from node.process import admin_socket
    from node.requests import AcceptUnchecked
    from secagg.daemon.admin import ask
    from secagg.daemon.printing import show

    done = ask(admin_socket(configuration(EXAMPLE)), AcceptUnchecked(round_name))
    show(done, lines=[f"accepted {done.accepted} unchecked"])


def _keywords(pairs: tuple[str, ...]) -> dict[str, object]:
    """Return NAME=VALUE pairs as keyword arguments; a value that is no JSON is text."""
    import json

    from secagg.errors import UsageError

    found: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"{pair} is not NAME=VALUE.", "Write for example --option hidden=16.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
