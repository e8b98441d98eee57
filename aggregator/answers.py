"""What the aggregator answers the operator's commands; one struct for each, named by its request.

Rules: as secagg.daemon.answers. Who sent what is told as to those who watch (aggregator.progress), not earlier.
"""

from typing import Annotated

from msgspec import UNSET, UnsetType

from aggregator.records import JobState
from secagg.daemon.answers import Answer, RosterVersion
from secagg.daemon.config import means
from secagg.daemon.waits import Wait, sentence
from secagg.events import fields as f
from secagg.events.rounds import Dropped
from secagg.protocol.manifest import Purpose

_Cohort = Annotated[tuple[str, ...], means("Its members, by their names.")]


class JobWait(Wait, frozen=True, rename={"for_whom": "for"}):
    """Who is waited for now."""

    job: f.Job
    round: f.Round
    attempt: f.Attempt
    step: f.Step
    for_whom: f.Awaited
    missing: f.Lacking
    need: f.Needed
    since: f.Since
    until: f.Until
    why: f.Why = ""

    def sentence(self, now: int) -> str:
        """Return it as one line, at wall time `now`."""
        what = f"{self.step} in round {self.round} of {self.job}, {self.missing} missing"
        whom = ", ".join(self.for_whom) or "nobody"
        return sentence(whom, f"{what}. {self.why}" if self.why else what, self.since, self.until, now)


class RunningShown(Answer, frozen=True):
    """The attempt at a round that is running."""

    round: f.Round
    attempt: f.Attempt
    phase: Annotated[str, means("Where it stands, by the name of its phase.")]
    dropped: Annotated[tuple[Dropped, ...], means("Who dropped out, in which step, why.")]
    step: f.Step | UnsetType = UNSET
    waiting: f.Awaited | UnsetType = UNSET
    missing: f.Lacking | UnsetType = UNSET


class AggregatorStatus(Answer, frozen=True):
    """How an aggregator stands."""

    roster: RosterVersion
    log: Annotated[int, means("Entries of the round log that are published.")]
    set_aside: Annotated[tuple[int, ...], means("Entries that were set aside because their text is not readable.")]
    members: Annotated[dict[str, bool], means("By node of the list, whether it is here.")]
    job: Annotated[str | None, means("The job that runs, or is next.")]
    round: Annotated[RunningShown | None, means("The round that is running.")]
    waiting: Annotated[JobWait | None, means("Who is waited for; nothing while it works, or has no job.")]


class JobShown(Answer, frozen=True):
    """A job, in short."""

    name: f.Job
    number: Annotated[int, means("The place in the order of submission, from 1.")]
    task: f.Task
    purpose: Annotated[Purpose, means("What it is for.")]
    state: Annotated[JobState, means("Where it stands.")]
    round: Annotated[int, means("The round that comes next or is running, from 1.")]
    attempt: f.Attempt
    rounds: f.Rounds
    cohort: _Cohort
    parameters: Annotated[int, means("Numbers of one vector.")]
    bits: Annotated[int, means("Bits of each number.")]
    model: Annotated[str, means("SHA-256 of the model that it has, in hexadecimal.")]
    reason: f.Reason
    rule: Annotated[str, means("By which rule it failed, if it did by one.")]
    remedy: f.Remedy


class RoundShown(Answer, frozen=True):
    """A round that is over: published, or lost."""

    round: f.Round
    attempt: f.Attempt
    lost: f.Lost
    contributors: f.Contributors
    step: Annotated[str, means("The step in which it was lost; empty when it was not.")]
    reason: f.Reason
    missing: f.Missing


class JobDetail(JobShown, frozen=True):
    """A job with its rounds."""

    named: Annotated[tuple[str, ...], means("The members whose fault is proven.")]
    ended: Annotated[tuple[RoundShown, ...], means("Its rounds that are over.")]
    running: Annotated[RunningShown | None, means("The round that is running.")]


class JobSubmitted(JobShown, frozen=True):
    """A job that was submitted, and what whoever submitted it has to know."""

    told: Annotated[tuple[str, ...], means("A sentence for each thing to know.")]


class ModelResult(Answer, frozen=True, tag_field="purpose", tag="training"):
    """The result of a training job: where its model lies on this machine."""

    path: f.Path
    digest: f.Digest


class SumResult(Answer, frozen=True, tag_field="purpose", tag="sum"):
    """The result of a job of sums."""

    contributors: f.Contributors
    values: Annotated[tuple[float, ...], means("The sums, in the order of the vector.")]
