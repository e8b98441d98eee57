"""What the operator decides: tokens, approvals, revocations; each is one transaction and its statements.

Rules: a name is given once while it is in use, an institution has one node, a federation one aggregator. An approval is
for the fingerprint that the operator saw, and for words that were read out. `TokenConsumed`, `Enrolled` and the roster
that holds the member are decided together or not at all. Leaves to others: publishing and telling (service.py).
Source: docs/operations.md "Enrolment".
"""

from collections.abc import Callable
from typing import NamedTuple, TypedDict

from msgspec.structs import replace

from keyserver.authority import Authority
from keyserver.records import Candidate, MemberRecord, Register, RosterRecord, TokenRecord
from keyserver.requests import ApproveMember, CreateToken, RevokeMember
from keyserver.restating import enrolled
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.errors import BadInput, VerificationFailed
from secagg.log.statements import Revoked, TokenConsumed, TokenIssued
from secagg.protocol.manifest import default_colluders
from secagg.roster.fingerprints import check_words
from secagg.roster.members import Limits, Member
from secagg.roster.tokens import Token, token_id, token_key, write_token
from secagg.transport.curve import Addresses
from secagg.transport.link import BROKER, GUEST, KEYSERVER

ROSTER_LIFE = 86_400
"""Seconds that a roster is valid; it is renewed when half of them have passed."""


class When(TypedDict):
    """What every statement says first."""

    federation: str
    time: int


class Settings(NamedTuple):
    """What the configuration says: the broker as members dial it, and the federation's limits."""

    addresses: Addresses
    broker_key: bytes
    colluders: int | None = None
    min_nodes: int = 3

    def limits(self, nodes: int) -> Limits:
        """Return the limits of a roster of `nodes` nodes: c is floor((R − 1)/3) unless configured."""
        default = max(0, default_colluders(nodes))
        return Limits(default if self.colluders is None else self.colluders, self.min_nodes)


class Desk:
    """The operator's decisions on one register."""

    def __init__(self, register: Register, authority: Authority, settings: Settings, now: int) -> None:
        self._register, self._authority, self._settings, self._now = register, authority, settings, now

    def create_token(self, asked: CreateToken, rng: Rng) -> tuple[str, str]:
        """Make a token; return (its line, its id in hex). The line is not kept.

        Raises: BadInput when the name is reserved, in use, or has an open token.
        """
        name = asked.name or asked.institution
        self._check_name(name, asked)
        drawn = Secret(rng(32))
        key, where = token_key(drawn, self._authority.federation), self._settings.addresses
        id, expires = token_id(key.public), self._now + asked.ttl
        entry, _ = self._register.write(
            TokenIssued(**self._when(), token_hash=id.hex(), institution=asked.institution, expires=expires)
        )
        record = TokenRecord(key.public, asked.institution, name, asked.role, self._now, expires, entry)
        self._register.keep_token(id, record)
        token = Token(
            where.control, where.bulk, where.enrol, self._settings.broker_key, self._authority.root_fingerprint,
            self._authority.federation, asked.institution, name, asked.role, self._now, expires, drawn.reveal(),
        )  # fmt: skip
        return write_token(token), id.hex()

    def revoke_token(self, prefix: str) -> str:
        """Revoke the one token whose id begins with `prefix`; return its id. A candidate that used it is dropped.

        Raises: BadInput when there is none or several, or its member is enrolled.
        """
        found = [(id, token) for id, token in self._register.tokens() if id.startswith(prefix)]
        if len(found) != 1:
            raise BadInput(f"{len(found)} tokens begin with {prefix}.", "See `secagg token list`.")
        id, token = found[0]
        if token.state == "used":
            raise BadInput(f"The token was used by {token.name}.", f"Use `secagg member revoke {token.name}`.")
        self._register.keep_token(bytes.fromhex(id), replace(token, state="revoked"))
        if token.state == "claimed":
            self._register.drop_candidate(token.name)
        return id

    def approve(self, asked: ApproveMember) -> RosterRecord:
        """Enrol a candidate; return the roster that will hold it.

        Raises: BadInput when nobody waits; VerificationFailed when the words or the fingerprint are others.
        """
        candidate = self._register.candidate(asked.name)
        if candidate is None:
            raise BadInput(f"No request of {asked.name} waits.", "See `secagg member list`.", code="E-CANDIDATE")
        if candidate.fingerprint.hex() != asked.fingerprint:
            raise VerificationFailed("The request changed since it was shown.", "Look again with `secagg member show`.")
        if not asked.unread:
            check_words(candidate.fingerprint, asked.words)
        self._check_seat(candidate.member)
        return self._enrol(candidate)

    def revoke(self, asked: RevokeMember) -> RosterRecord | None:
        """Take a member out; return the roster without it, None when only a candidate was turned away.

        Raises: BadInput when there is neither.
        """
        candidate = self._register.candidate(asked.name)
        if candidate is not None:
            self._turn_away(candidate)
            return None
        record = self._register.member(asked.name)
        if record is None or record.revoked:
            raise BadInput(f"{asked.name} is not a member.", "See `secagg member list`.", code="E-CANDIDATE")
        self._register.write(Revoked(**self._when(), member=asked.name, reason=asked.reason))
        self._register.keep_member(replace(record, revoked=self._now, reason=asked.reason))
        return self.issue(lambda member: member.name != asked.name)

    def issue(self, keep: Callable[[Member], bool], *more: Member) -> RosterRecord:
        """Write the next roster: the members to keep, and `more`."""
        newest = self._register.newest()
        before = newest.roster().members if newest else ()
        members = (*filter(keep, before), *more)
        nodes = sum(member.role == "node" for member in members)
        return self._register.issue(members, self._settings.limits(nodes), self._now, ROSTER_LIFE)

    def _enrol(self, candidate: Candidate) -> RosterRecord:
        member, token = candidate.member, self._register.token(candidate.token)
        if token is None:
            raise BadInput(f"The token of {member.name} is gone.", f"`secagg member revoke {member.name}`, then anew.")
        self._register.keep_token(candidate.token, replace(token, state="used"))
        self._register.write(
            TokenConsumed(**self._when(), token_hash=candidate.token.hex(), institution=member.organisation)
        )
        record = MemberRecord(member, candidate.fingerprint, self._now, 0)
        entry, _ = self._register.write(enrolled(record, self._authority.federation, self._now))
        self._register.keep_member(replace(record, entry=entry))
        self._register.drop_candidate(member.name)
        return self.issue(lambda other: other.name != member.name, member)

    def _turn_away(self, candidate: Candidate) -> None:
        token = self._register.token(candidate.token)
        if token is not None:
            self._register.keep_token(candidate.token, replace(token, state="revoked"))
        self._register.drop_candidate(candidate.member.name)

    def _check_name(self, name: str, asked: CreateToken) -> None:
        if name in (BROKER, KEYSERVER) or name.startswith(GUEST):
            raise BadInput(f"The name {name} is taken by the service itself.", "Choose another name.")
        record = self._register.member(name)
        if record is not None and not record.revoked:
            raise BadInput(f"{name} is a member already.", f"Revoke it first: `secagg member revoke {name}`.")
        for id, token in self._register.tokens():
            waiting = token.state == "claimed" or (token.state == "open" and self._now < token.expires)
            if token.name == name and waiting:
                raise BadInput(f"{name} has a token that is not used up.", f"`secagg token revoke {id[:16]}`")

    def _check_seat(self, member: Member) -> None:
        """Check that the seat is free: one node per institution, one aggregator."""
        newest = self._register.newest()
        for other in newest.roster().members if newest else ():
            if other.role == member.role == "aggregator":
                raise BadInput(
                    f"{other.name} is the aggregator.", f"Revoke it first: `secagg member revoke {other.name}`."
                )
            if other.role == member.role and other.organisation == member.organisation:
                raise BadInput(
                    f"{other.name} has the seat of {other.organisation}.",
                    "One institution has one node: revoke it first.",
                )

    def _when(self) -> When:
        return {"federation": self._authority.federation, "time": self._now}
