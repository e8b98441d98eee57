"""What a key server tells, and what every role tells of the member list and of its own peers and disk.

Leaves to others: when each is told (keyserver.service, secagg.daemon.loop).
"""

from typing import ClassVar

from secagg.events import fields as f
from secagg.events.line import Event, Level

# The list ------------------------------------------------------------------------------------------------------------


class Roster(Event, frozen=True, tag="roster"):
    """A new member list is in force."""

    version: f.Version
    members: f.MemberCount


class Approve(Event, frozen=True, tag="approve"):
    """The operator approved a member; it is in the list of this version."""

    member: f.Member
    version: f.Version


class Revoke(Event, frozen=True, tag="revoke"):
    """The operator revoked a member, or turned a candidate away."""

    member: f.Member
    reason: f.Reason


class DealKey(Event, frozen=True, tag="deal_key"):
    """The ceremony of a key was stated in the directory."""

    digest: f.Digest


class MemberFenced(Event, frozen=True, tag="member_fenced"):
    """A member says that it is an old copy; `count` is its boot epoch."""

    member: f.Member
    count: f.Count


class SetAside(Event, frozen=True, tag="set_aside"):
    """What was to be an entry of the log cannot be read; its place says so, and it is kept."""

    loud: ClassVar[Level] = "warning"
    entry: f.Entry
    size: f.Size
    digest: f.Digest
    cause: f.Cause
    remedy: f.Remedy


# Peers and disk ------------------------------------------------------------------------------------------------------


class Heard(Event, frozen=True, tag="heard"):
    """A peer that was silent says something again."""

    peer: f.Peer


class Silent(Event, frozen=True, tag="silent"):
    """A peer says nothing any more."""

    loud: ClassVar[Level] = "warning"
    peer: f.Peer
    since: f.Since
    cause: f.Cause


class PutOff(Event, frozen=True, tag="put_off"):
    """A peer cannot take what it is told: its disk is full."""

    loud: ClassVar[Level] = "warning"
    peer: f.Peer
    cause: f.Cause


class ReadOnly(Event, frozen=True, tag="read_only"):
    """This daemon's own disk takes nothing; it goes on when it does."""

    loud: ClassVar[Level] = "warning"
    cause: f.Cause
    since: f.Since


class Writable(Event, frozen=True, tag="writable"):
    """This daemon's disk takes things again; it did not since."""

    since: f.Since
