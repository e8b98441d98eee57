"""What the key server answers the operator's commands; one struct for each, named by its request.

Rules: as secagg.daemon.answers. The text of a token is told once, to who made it.
"""

from typing import Annotated, Literal

from msgspec import UNSET, UnsetType

from secagg.daemon.answers import Answer, RosterVersion
from secagg.daemon.config import means
from secagg.events import fields as f
from secagg.roster.members import Role

TokenState = Literal["open", "claimed", "used", "revoked", "expired"]
MemberState = Literal["waiting", "approved", "enrolled", "revoked"]

_Organisation = Annotated[str, means("The institution, by its name.")]
_Name = Annotated[str, means("The member, by its name.")]
_Role = Annotated[Role, means("What it is in the federation.")]
_TokenId = Annotated[str, means("The token's id, in hexadecimal.")]
_Expires = Annotated[int, means("Until when it can be used, in seconds since 1970.")]


class KeyserverStatus(Answer, frozen=True):
    """How the key server stands."""

    federation: Annotated[str, means("The federation, by its name.")]
    root_fingerprint: Annotated[str, means("The fingerprint of its root key, which everybody pins.")]
    curve_key: Annotated[str, means("The key server's CURVE key.")]
    roster: RosterVersion
    expires: Annotated[int | None, means("Until when that list is valid, in seconds since 1970.")]
    members: f.MemberCount
    waiting: Annotated[int, means("How many requests wait for the operator.")]
    decided: Annotated[int, means("Entries of the directory that were decided.")]
    published: Annotated[int, means("Entries of the directory that are published.")]
    set_aside: Annotated[tuple[int, ...], means("Entries that were set aside because their text is not readable.")]


class TokenShown(Answer, frozen=True):
    """A token, without its text."""

    id: Annotated[str, means("The beginning of its id, in hexadecimal.")]
    institution: _Organisation
    name: _Name
    role: _Role
    expires: _Expires
    state: Annotated[TokenState, means("What became of it.")]
    tries: Annotated[int, means("How many other requests were signed with it.")]


class TokenMade(Answer, frozen=True):
    """A token that was made."""

    token: Annotated[str, means("The line that the institution is given: a secret.")]
    id: _TokenId
    expires: _Expires


class TokenRevoked(Answer, frozen=True):
    """A token that was revoked."""

    id: _TokenId


class MemberShown(Answer, frozen=True):
    """A member, or a request that waits, with what to compare."""

    name: _Name
    organisation: _Organisation
    role: _Role
    fingerprint: Annotated[str, means("The fingerprint of its keys, in hexadecimal.")]
    groups: Annotated[str, means("The same in groups of letters, as it is read out.")]
    words: Annotated[tuple[str, ...], means("The same as eight words.")]
    state: Annotated[MemberState, means("Where it stands; it is `approved` until its entry is published.")]
    since: f.Since
    reason: f.Reason | UnsetType = UNSET


class Decided(Answer, frozen=True):
    """A member that was approved or revoked."""

    member: _Name
    version: Annotated[int | None, means("The version of the list that says so; nothing for a request turned away.")]


class KeyLogged(Answer, frozen=True):
    """A key of a ceremony that was stated in the directory."""

    key: Annotated[str, means("SHA-256 of its public part, in hexadecimal.")]


class EntryShown(Answer, frozen=True):
    """An entry of the directory with its proof."""

    leaf: Annotated[str, means("The entry.")]
    proof: Annotated[str, means("The proof that it is in the directory, in hexadecimal.")]


class RosterShown(Answer, frozen=True):
    """The list in force, as members get it, and the proof of each member's entry."""

    push: Annotated[str, means("The list with its proof, in hexadecimal.")]
    entries: Annotated[tuple[EntryShown, ...], means("The enrolment of each member.")]
