"""What is logged and not told over the admin socket: a daemon's own life, its links, and what it would not take.

Leaves to others: when each is logged (secagg.daemon, secagg.transport, keyserver.service).
"""

from typing import ClassVar

from msgspec import UNSET, UnsetType

from secagg.events import fields as f
from secagg.events.line import Level, Line

# The process ---------------------------------------------------------------------------------------------------------


class Serve(Line, frozen=True, tag="serve"):
    """The daemon is ready."""

    pid: f.Pid
    address: f.Address | UnsetType = UNSET
    version: f.Version | UnsetType = UNSET


class Stop(Line, frozen=True, tag="stop"):
    """The daemon ends because it was told to."""


class RefuseMessage(Line, frozen=True, tag="refuse"):
    """A message, a timer, work or a command was refused."""

    loud: ClassVar[Level] = "warning"
    code: f.Code
    cause: f.Cause
    remedy: f.Remedy
    peer: f.Peer | UnsetType = UNSET
    kind: f.Kind | UnsetType = UNSET
    entry: f.Purpose | UnsetType = UNSET
    command: f.Command | UnsetType = UNSET


class Failed(Line, frozen=True, tag="fail"):
    """A bug: an error that nobody expects; its traceback is in `exception`."""

    loud: ClassVar[Level] = "error"
    peer: f.Peer | UnsetType = UNSET
    kind: f.Kind | UnsetType = UNSET
    entry: f.Purpose | UnsetType = UNSET
    command: f.Command | UnsetType = UNSET


# Links ---------------------------------------------------------------------------------------------------------------


class ChangeLink(Line, frozen=True, tag="change_link"):
    """The link to the broker stands otherwise."""

    state: f.State


class WaitForPeer(Line, frozen=True, tag="wait_for_peer"):
    """The broker does not reach a peer; what is for it waits."""

    loud: ClassVar[Level] = "warning"
    peer: f.Peer
    kind: f.Kind
    since: f.Since
    cause: f.Cause


class ReachPeer(Line, frozen=True, tag="reach_peer"):
    """The broker reaches a peer again."""

    peer: f.Peer
    since: f.Since


# The key server ------------------------------------------------------------------------------------------------------


class CreateToken(Line, frozen=True, tag="create_token"):
    """The operator made a token."""

    institution: f.Member
    until: f.Until


class RevokeToken(Line, frozen=True, tag="revoke_token"):
    """The operator revoked a token."""

    result: f.Token


class RefuseEnrolment(Line, frozen=True, tag="refuse_enrolment"):
    """A newcomer was refused."""

    loud: ClassVar[Level] = "warning"
    institution: f.Member
    code: f.Code
    cause: f.Cause


class Publish(Line, frozen=True, tag="publish"):
    """What was decided could not be published; it is tried again."""

    loud: ClassVar[Level] = "error"
    cause: f.Cause
    remedy: f.Remedy


# The broker ----------------------------------------------------------------------------------------------------------


class AdoptRoster(Line, frozen=True, tag="adopt_roster"):
    """The broker lets in who is in this member list."""

    version: f.Version


class RefuseRoster(Line, frozen=True, tag="refuse_roster"):
    """What came as a member list is none."""

    loud: ClassVar[Level] = "warning"
    cause: f.Cause


class OtherWire(Line, frozen=True, tag="other_wire"):
    """A peer speaks another version of the protocol."""

    loud: ClassVar[Level] = "warning"
    peer: f.Peer
    kind: f.Kind
    remedy: f.Remedy


class IgnorePeer(Line, frozen=True, tag="ignore_peer"):
    """What a peer sends is not relayed."""

    loud: ClassVar[Level] = "warning"
    peer: f.Peer
    cause: f.Cause


class CutOff(Line, frozen=True, tag="cut_off"):
    """A connection was ended: its message had no end."""

    loud: ClassVar[Level] = "warning"
    have: f.Size
    need: f.Limit
    cause: f.Cause


class AcceptFailed(Line, frozen=True, tag="accept_failed"):
    """A connection could not be taken: the broker has no file descriptor left."""

    loud: ClassVar[Level] = "error"
    kind: f.Kind
    remedy: f.Remedy


class NearLimit(Line, frozen=True, tag="near_limit"):
    """Most of a limit is used."""

    loud: ClassVar[Level] = "error"
    kind: f.Kind
    have: f.Had
    need: f.Limit
    remedy: f.Remedy


class FewDescriptors(Line, frozen=True, tag="few_descriptors"):
    """The broker may open fewer connections than it should."""

    loud: ClassVar[Level] = "warning"
    have: f.Had
    need: f.Limit
    remedy: f.Remedy


class Counts(Line, frozen=True, tag="count"):
    """How often the broker ended something for this reason, as it stops."""

    reason: f.Reason
    count: f.Count
