"""What a node answers its institution's commands; one struct for each, named by its request.

Rules: as secagg.daemon.answers. It is for this institution's own people, and no other ever reads it.
"""

from typing import Annotated

from msgspec import UNSET, UnsetType

from secagg.daemon.answers import Answer, RefusalShown, RosterVersion
from secagg.daemon.config import means
from secagg.daemon.waits import Waiting
from secagg.events import fields as f
from secagg.protocol.manifest import Purpose

Jobs = Annotated[tuple[str, ...], means("The jobs, by their names.")]
_Federation = Annotated[str, means("The federation, by its name.")]
_Edition = Annotated[str, means("The edition of the data, as node.toml has it.")]
_Use = Annotated[Purpose, means("What it was given for.")]
_Ends = Annotated[str, means("How this ends, and which command gets on.")]


class FailureShown(Answer, frozen=True):
    """A task whose data rounds failed on."""

    task: f.Task
    purpose: _Use
    jobs: Jobs
    rounds: Annotated[int, means("How many rounds failed.")]
    most: Annotated[int, means("How many may fail before a person is asked.")]


class NodeStatus(Answer, frozen=True):
    """How a node stands."""

    roster: RosterVersion
    tasks: Annotated[tuple[str, ...], means("The tasks that it has.")]
    job: Annotated[str | None, means("The job that it stands in.")]
    next_round: Annotated[int | None, means("The round of it that comes next, from 1.")]
    rounds: Annotated[int | None, means("How many rounds it has.")]
    ready: Annotated[bool | None, means("Whether the model of that round is here.")]
    phase: Annotated[str | None, means("Where its round stands, by the name of its phase.")]
    waiting: Annotated[Waiting, means("What it waits for.")]
    unchecked: Annotated[tuple[str, ...], means("The rounds whose sum is not checked yet, as JOB.ROUND.")]
    chunks_stored: Annotated[int | None, means("Chunks of the upload that the aggregator has.")]
    metrics: Annotated[dict[str, dict[str, float | None]], means("By job, how its model did on own data here.")]
    failures: Annotated[tuple[FailureShown, ...], means("The tasks whose data rounds failed on.")]
    refused: Annotated[RefusalShown | None, means("The last round that it refused.")]


class BoundShown(Answer, frozen=True):
    """Data that was given to sums, and what that binds."""

    task: f.Task
    data: Annotated[str, means("Where the data lies, as node.toml has it.")]
    edition: _Edition
    purpose: _Use
    jobs: Jobs
    since: f.Since
    rounds: Annotated[int, means("How many rounds it was given in.")]
    members: Annotated[tuple[tuple[str, ...], ...], means("The sets of members that it was summed over.")]
    rules: Annotated[tuple[str, ...], means("The rules by which it is bound.")]
    ends: _Ends


class OpenShown(Answer, frozen=True):
    """A round that this node signed for, whose end it does not know."""

    round: Annotated[str, means("The round, as JOB.ROUND.ATTEMPT.GROUP.")]
    federation: _Federation
    task: f.Task
    since: f.Since
    cohort: Annotated[tuple[str, ...], means("Whom it may be summed over.")]
    ends: _Ends


class AllowedShown(Answer, frozen=True):
    """A job that a person allowed."""

    federation: _Federation
    job: f.Job
    overlap: f.Overlap
    time: Annotated[int, means("When, in seconds since 1970.")]


class LedgerShown(Answer, frozen=True):
    """What this institution gave to sums."""

    bound: Annotated[tuple[BoundShown, ...], means("By data and use, what is bound.")]
    open: Annotated[tuple[OpenShown, ...], means("What it signed for without knowing how it ended.")]
    allowed: Annotated[tuple[AllowedShown, ...], means("What persons allowed.")]
    entries: Annotated[int, means("How many entries the ledger has.")]
    failures: Annotated[tuple[FailureShown, ...], means("The tasks whose data rounds failed on.")]


class AllowanceShown(Answer, frozen=True):
    """What a job's being allowed tells, before a person confirms it; what was written, after."""

    job: f.Job
    overlap: f.Overlap
    tells: Annotated[tuple[str, ...], means("What it tells, and to whom, a sentence each.")] | UnsetType = UNSET
    before: Annotated[int, means("Entries that the ledger had; what comes after is bound again.")] | UnsetType = UNSET


class UncheckedShown(Answer, frozen=True):
    """A round that a person accepted without its check."""

    accepted: Annotated[str, means("The round, as JOB.ROUND.")]
