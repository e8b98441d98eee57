"""The members of a federation, their public keys and the limits that every manifest must keep.

Rules (operations, Enrolment): a name is a routing name. One organisation has one seat per round. The roster carries the
federation's c, so that a hand-picked cohort does not lower it. Leaves to others: who signed it (chain.py), approval.
"""

from typing import Literal

from msgspec import Struct

from secagg.errors import NotAuthorised
from secagg.ids import Count, Digest, Key, Name, Ordinal, Organisation

Role = Literal["node", "aggregator", "keyserver", "trustee", "analyst", "auditor"]


class Member(Struct, frozen=True, forbid_unknown_fields=True):
    """One enrolled party: Ed25519 key for messages, CURVE key for the link."""

    name: Name
    organisation: Organisation
    role: Role
    sign_key: Key
    curve_key: Key


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What no job may go below: c, an absolute number, and the smallest cohort."""

    colluders: Count
    min_nodes: Ordinal


class Roster(Struct, frozen=True, forbid_unknown_fields=True):
    """One version of the member list; `previous` is the SHA-256 of the signed bytes of the version before."""

    federation: Name
    version: Ordinal
    issued: Count
    expires: Count
    previous: Digest
    limits: Limits
    members: tuple[Member, ...]

    def member(self, name: str) -> Member:
        """Return the member called `name`.

        Raises: NotAuthorised when there is none.
        """
        for member in self.members:
            if member.name == name:
                return member
        raise NotAuthorised(f"{name} is not a member of {self.federation}.", "Enrol it, or check the name.")

    def nodes(self) -> tuple[Member, ...]:
        """Return the members that hold data, by name."""
        return tuple(sorted((m for m in self.members if m.role == "node"), key=lambda member: member.name))

    def aggregator(self) -> Member:
        """Return the member that aggregates.

        Raises: NotAuthorised when there is none.
        """
        for member in self.members:
            if member.role == "aggregator":
                return member
        raise NotAuthorised(f"{self.federation} has no aggregator yet.", "Enrol one with role aggregator.")
