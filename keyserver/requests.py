"""What the operator's commands ask over the admin socket; one struct each, tagged by `command`."""

from typing import Annotated, Literal

from msgspec import Meta

from keyserver.answers import (
    Decided,
    KeyLogged,
    KeyserverStatus,
    MemberShown,
    RosterShown,
    TokenMade,
    TokenRevoked,
    TokenShown,
)
from secagg.daemon.requests import Request
from secagg.ids import Name

Seconds = Annotated[int, Meta(ge=1, le=30 * 86_400)]
Reason = Annotated[str, Meta(min_length=1, max_length=512)]
TokenRole = Literal["node", "aggregator", "trustee"]


class Status(Request[KeyserverStatus], frozen=True, tag="status"):
    """How the key server stands."""


class CreateToken(Request[TokenMade], frozen=True, tag="token.create"):
    """Make a token; `name` is the member's name, the institution's when empty; `ttl` in seconds."""

    institution: Name
    name: Annotated[str, Meta(pattern=r"\A[a-z0-9-]{0,64}\Z")] = ""
    role: TokenRole = "node"
    ttl: Seconds = 86_400


class ListTokens(Request[tuple[TokenShown, ...]], frozen=True, tag="token.list"):
    """List tokens."""


class RevokeToken(Request[TokenRevoked], frozen=True, tag="token.revoke"):
    """Revoke the token whose id begins so."""

    id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{8,64}\Z")]


class ListMembers(Request[tuple[MemberShown, ...]], frozen=True, tag="member.list"):
    """List members and candidates."""


class ShowMember(Request[MemberShown], frozen=True, tag="member.show"):
    """Show one."""

    name: Name


class ApproveMember(Request[Decided], frozen=True, tag="member.approve"):
    """Approve the candidate with this fingerprint (hex); `words` were read out, or `unread` says that none were."""

    name: Name
    fingerprint: str
    words: tuple[str, ...] = ()
    unread: bool = False


class RevokeMember(Request[Decided], frozen=True, tag="member.revoke"):
    """Revoke a member, or turn a candidate away."""

    name: Name
    reason: Reason


class LogKey(Request[KeyLogged], frozen=True, tag="key.log"):
    """State that a ceremony dealt this key (hex of its public part), by its transcript."""

    key: Annotated[str, Meta(pattern=r"\A([0-9a-f]{2})+\Z", max_length=131_072)]
    transcript: Annotated[str, Meta(max_length=65_536)]


class ShowRoster(Request[RosterShown], frozen=True, tag="roster.show"):
    """Return the roster in force with all proofs."""


Asked = (
    CreateToken
    | ListTokens
    | RevokeToken
    | ListMembers
    | ShowMember
    | ApproveMember
    | RevokeMember
    | LogKey
    | ShowRoster
    | Status
)
