"""`secagg job`: submit a job to the aggregator of this machine, and follow it.

Rule: a job file is read strictly before it is sent, so that a misspelt key is named with its place in the file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from secagg.daemon.options import options
from secagg.daemon.writing import say

if TYPE_CHECKING:
    from aggregator.answers import JobDetail
    from secagg.events.line import Event


@click.group(name="job")
@options
def job() -> None:
    """Submit and follow jobs."""


@job.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--model", type=click.Path(path_type=Path, dir_okay=False), help="First model (safetensors).")
@click.option("--custody", type=click.Path(path_type=Path, dir_okay=False), help="Key and trustees (paillier).")
@click.option("--without", multiple=True, metavar="NAME", help="Leave this member out; may be given again.")
@options
def submit(file: Path, model: Path | None, custody: Path | None, without: tuple[str, ...]) -> None:
    """Submit the job in FILE (job.toml); a training job needs its first model.

    Leaving a member out fixes that from the first round on: it comes in later only if every institution allows it.
    """
    from aggregator.console import ask
    from aggregator.jobs import JobFile
    from aggregator.requests import SubmitJob
    from secagg.daemon.config import load
    from secagg.daemon.printing import record, show

    first, held = (str(path.absolute()) if path else "" for path in (model, custody))
    answer = ask(SubmitJob(load(file, JobFile), first, held, without))
    show(answer, lines=[*record(answer, without=("told",)), *answer.told])


@job.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--nodes", default=0, help="Members of the cohort; those that the job names unless given.")
@click.option("--colluders", type=click.IntRange(0), help="c of the federation; floor((n - 1) / 3) unless given.")
@click.option("--examples", default=0, help="What all members together train on; as many as allowed unless given.")
@click.option("--model", type=click.Path(path_type=Path, dir_okay=False), help="First model (safetensors).")
@click.option("--custody", type=click.Path(path_type=Path, dir_okay=False), help="Key and trustees (paillier).")
@options
def check(
    file: Path, nodes: int, colluders: int | None, examples: int, model: Path | None, custody: Path | None
) -> None:
    """Say what the job in FILE would cost and how exact it would be; nothing is sent."""
    from aggregator.jobs import JobFile, read_custody, read_model
    from aggregator.planning import plan
    from secagg.daemon.config import load
    from secagg.daemon.printing import show

    job = load(file, JobFile)
    held = read_custody(custody) if custody else None
    count = nodes or len(job.cohort.members)
    show(plan(job, count, read_model(model) if model else None, colluders, examples, held))


@job.command()
@click.argument("name")
@options
def show(name: str) -> None:
    """Show one job: its rounds, who contributed, who is waited for."""
    from aggregator.console import ask
    from aggregator.requests import ShowJob
    from secagg.daemon import printing

    printing.show(ask(ShowJob(name)))


@job.command(name="list")
@options
def list_jobs() -> None:
    """List all jobs in the order of submission."""

    from aggregator.console import ask
    from aggregator.requests import ListJobs
    from secagg.daemon.printing import show_all

    show_all(ask(ListJobs()), ("name", "state", "round", "rounds"))


@job.command()
@click.argument("name", required=False)
@options
def watch(name: str | None) -> None:
    """Follow the rounds, of one job until it is over or of all; exit code 75 when the job failed."""

    from aggregator.console import ask, follow
    from aggregator.requests import ShowJob
    from secagg.daemon.printing import show
    from secagg.errors import TryLater
    from secagg.events.line import OfJob
    from secagg.events.rounds import JobDone, JobFailed

    stream = follow()
    if name and (found := ask(ShowJob(name))).state in ("done", "failed"):
        stream = iter([_ended(found)])
    for event in stream:
        if name and isinstance(event, OfJob) and event.job != name:
            continue
        show(event.shown(), lines=[_line(event)])
        if name and isinstance(event, JobFailed):
            remedy = event.remedy or "See who was missing, and submit again."
            raise TryLater(f"The job {name} failed: {event.reason.rstrip('.')}.", remedy)
        if name and isinstance(event, JobDone):
            return


@job.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True)
@options
def pull(name: str, output: Path) -> None:
    """Write the result of a job into a directory: model.safetensors, or sum.json."""
    import json

    from aggregator.answers import ModelResult
    from aggregator.console import ask
    from aggregator.requests import JobResult
    from secagg.daemon.answers import written

    found = ask(JobResult(name))
    output.mkdir(parents=True, exist_ok=True)
    if isinstance(found, ModelResult):
        target = output / "model.safetensors"
        target.write_bytes(Path(found.path).read_bytes())
    else:
        target = output / "sum.json"
        target.write_text(json.dumps(written(found)), encoding="utf-8")
    say(str(target))


def _ended(found: "JobDetail") -> "Event":
    from secagg.events.rounds import JobDone, JobFailed

    if found.state == "failed":
        return JobFailed(found.name, found.reason, found.rule, found.remedy)
    return JobDone(found.name, found.rounds)


def _line(event: "Event") -> str:
    """Return one line for a person: who, for what, since when."""
    values = event.shown()
    kind, job, number, _ = (values.pop(name, "") for name in ("event", "job", "round", "attempt"))
    said = "  ".join(f"{key}={value}" for key, value in values.items() if value not in ("", None, []))
    return f"{f'round {number}' if number else job:<10} {kind:<14} {said}"
