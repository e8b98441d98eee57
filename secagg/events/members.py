"""What a node and a trustee tell their own people: what they joined, refused, gave, checked and found.

Rules: these are told at the institution that they are about, and nowhere else. What the texts say of a task may speak
of its data. Leaves to others: when each is told (node, keyserver.trustee, secagg.daemon).
"""

from typing import ClassVar

from msgspec import UNSET, UnsetType

from secagg.events import fields as f
from secagg.events.line import Event, Level, OfJob, OfRound

# Jobs ----------------------------------------------------------------------------------------------------------------


class Announce(OfJob, frozen=True, tag="announce"):
    """A job was announced to this node, and its log entry holds."""

    task: f.Task
    total: f.Rounds


class Fault(OfJob, frozen=True, tag="fault"):
    """This node cannot work for a job: its task, the first model or its policy is in the way."""

    loud: ClassVar[Level] = "warning"
    code: f.Code
    cause: f.Cause
    remedy: f.Remedy
    rule: f.Rule | UnsetType = UNSET


class Evaluate(OfJob, frozen=True, tag="evaluate"):
    """The finished model was evaluated on this institution's own data."""

    metrics: f.Numbers


class Allow(OfJob, frozen=True, tag="allow"):
    """A person at this institution allowed a job."""

    overlap: f.Overlap


class Source(Event, frozen=True, tag="source"):
    """node.toml names other data for a task than before, or names it in another way."""

    task: f.Task
    change: f.Change


# A round -------------------------------------------------------------------------------------------------------------


class Accept(OfRound, frozen=True, tag="accept"):
    """This node takes part in a round."""

    members: f.Members
    task: f.Task


class Readers(OfRound, frozen=True, tag="readers"):
    """Trustees hold a key of this round: who could read this institution's update."""

    loud: ClassVar[Level] = "warning"
    state: f.State
    cause: f.Cause


class Refuse(OfRound, frozen=True, tag="refuse"):
    """This node, or trustee, takes no part in a round."""

    loud: ClassVar[Level] = "warning"
    rule: f.Rule
    cause: f.Cause
    remedy: f.Remedy


class Bound(OfRound, frozen=True, tag="bound"):
    """The data of this round was summed before, and is summed now over these members only."""

    loud: ClassVar[Level] = "warning"
    rule: f.Rule
    members: f.Members


class Upload(OfRound, frozen=True, tag="upload"):
    """The aggregator has the whole upload, and said so."""

    state: f.State


class Overdue(OfRound, frozen=True, tag="overdue"):
    """The time of a round is over without word of its end; its keys are destroyed."""


class Attend(OfRound, frozen=True, tag="attend"):
    """This trustee takes part in a round."""

    members: f.Members


class Decide(OfRound, frozen=True, tag="decide"):
    """This trustee opens the sum of a round, which it does for one set only."""

    contributors: f.Contributors


class Multiply(OfRound, frozen=True, tag="multiply"):
    """An upload of a round that is opened was added; `missing` are not here yet."""

    missing: f.Missing


class Fail(OfRound, frozen=True, tag="fail"):
    """Work for a round failed for no fault of the uploads; it is tried again."""

    loud: ClassVar[Level] = "warning"
    cause: f.Cause
    step: f.Step


# How a round ended ---------------------------------------------------------------------------------------------------


class Result(OfRound, frozen=True, tag="result"):
    """The result of a round was checked and taken in; `digest` is the next model's."""

    digest: f.Digest


class Abort(OfRound, frozen=True, tag="abort"):
    """The log says that an attempt ended without a result."""

    step: f.Step
    reason: f.Reason
    missing: f.Missing


class Ended(OfRound, frozen=True, tag="ended"):
    """How an attempt ended is known here now, for which this node had signed a header."""

    state: f.State
    members: f.Members


class Counted(OfRound, frozen=True, tag="counted"):
    """An attempt without a result counts all the same: too many trustees could still open it."""

    loud: ClassVar[Level] = "warning"
    rule: f.Rule
    cause: f.Cause
    remedy: f.Remedy


class Named(OfRound, frozen=True, tag="named"):
    """It is proven that a member is at fault; this node takes part without it."""

    institution: f.Member
    reason: f.Reason


class Disbelieve(OfJob, frozen=True, tag="disbelieve"):
    """What was said to be a round's result is none."""

    loud: ClassVar[Level] = "warning"
    round: f.Round
    code: f.Code
    cause: f.Cause
    remedy: f.Remedy


# Spot checks and lies ------------------------------------------------------------------------------------------------


class Spot(OfRound, frozen=True, tag="spot"):
    """A part of a sum was recomputed here, and holds."""

    state: f.State
    count: f.Count
    bytes: f.Size


class Unchecked(OfRound, frozen=True, tag="unchecked"):
    """A sum cannot be checked yet; no upload leaves before."""

    loud: ClassVar[Level] = "warning"
    cause: f.Cause
    remedy: f.Remedy


class UncheckedAccepted(OfRound, frozen=True, tag="unchecked_accepted"):
    """A person goes on without the check of a sum; the round log says it too."""


class Lie(OfRound, frozen=True, tag="lie"):
    """It is proven that the aggregator lied about a sum; the evidence is kept."""

    loud: ClassVar[Level] = "warning"
    cause: f.Cause
    remedy: f.Remedy
    rule: f.Rule | UnsetType = UNSET
    member: f.Member | UnsetType = UNSET
    path: f.Path | UnsetType = UNSET


class LongEvidence(Event, frozen=True, tag="long_evidence"):
    """Evidence of a lie is too long for the key server; it is kept here."""

    loud: ClassVar[Level] = "warning"
    cause: f.Cause
    remedy: f.Remedy


class FalseEvidence(Event, frozen=True, tag="false_evidence"):
    """What was brought as evidence of a lie proves nothing."""

    loud: ClassVar[Level] = "warning"
    cause: f.Cause
    remedy: f.Remedy
    member: f.Member | UnsetType = UNSET
    strikes: f.Strikes | UnsetType = UNSET


class Evidence(OfRound, frozen=True, tag="evidence"):
    """An aggregator contradicted itself to this trustee, which keeps both statements."""

    loud: ClassVar[Level] = "warning"
    cause: f.Cause


# This copy -----------------------------------------------------------------------------------------------------------


class Fenced(Event, frozen=True, tag="fenced"):
    """This is an old copy of the member: it takes part in nothing any more."""

    loud: ClassVar[Level] = "warning"
    code: f.Code
    cause: f.Cause
    remedy: f.Remedy
