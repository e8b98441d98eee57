"""What an aggregator tells of jobs and rounds: who did what in which step, who is waited for, how it ended.

Rules: participation is for members and auditors, never beside anything that depends on one institution's data (row 4).
Names of uploads come at the end of their step, in the order of the list (row 65).
Leaves to others: when each is told (aggregator.progress, aggregator.schedule, aggregator.rounds).
"""

from typing import ClassVar

from msgspec import UNSET, Struct, UnsetType

from secagg.events import fields as f
from secagg.events.line import Level, OfJob, OfRound


class Dropped(Struct, frozen=True, forbid_unknown_fields=True):
    """Who dropped out of a round, in which step, why."""

    member: f.Member
    step: f.Step
    reason: f.Reason


class RoundStarted(OfRound, frozen=True, tag="round_started"):
    """A round was proposed to its members."""

    members: f.Members


class Waiting(OfRound, frozen=True, tag="waiting", rename={"for_whom": "for"}):
    """Somebody is waited for."""

    step: f.Step
    for_whom: f.Awaited
    missing: f.Lacking
    need: f.Needed
    since: f.Since
    until: f.Until
    why: f.Why = ""


class Progress(OfRound, frozen=True, tag="progress"):
    """One more upload is there; whose it is, is told at the end of the step."""

    step: f.Step
    count: f.Count
    total: f.Total


class Step(OfRound, frozen=True, tag="step"):
    """A member's part of a step: its message counts, or it dropped out, or it left by a rule.

    A node and a trustee tell it of themselves, without `institution`.
    """

    step: f.Step
    state: f.Sent
    institution: f.Institution | UnsetType = UNSET
    reason: f.Reason | UnsetType = UNSET
    rule: f.Rule | UnsetType = UNSET

    @property
    def level(self) -> Level:
        """How loud: a rule by which somebody left is for people to read."""
        return self.loud if self.rule is UNSET else "warning"


class RoundClosed(OfRound, frozen=True, tag="round_closed"):
    """A round has a result."""

    contributors: f.Contributors
    dropped: tuple[Dropped, ...]
    seconds: f.Seconds


class RoundAborted(OfRound, frozen=True, tag="round_aborted"):
    """An attempt at a round ended without a result."""

    step: f.Step
    reason: f.Reason
    dropped: tuple[Dropped, ...]
    lost: f.Lost


class Model(OfJob, frozen=True, tag="model"):
    """The next model was computed from a round's sum; `scalars` are sums over everybody."""

    round: f.Round
    digest: f.Digest
    scalars: f.Numbers


class JobDone(OfJob, frozen=True, tag="job_done"):
    """A job is over, and has a result."""

    rounds: f.Rounds


class JobFailed(OfJob, frozen=True, tag="job_failed"):
    """A job is over without all of its rounds; `rule` and `remedy` are empty where nothing can be done."""

    loud: ClassVar[Level] = "warning"
    reason: f.Reason
    rule: f.Rule
    remedy: f.Remedy
