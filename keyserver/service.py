"""The key server's service: judges newcomers, carries out what the operator decides, tells everybody the roster.

A decision is kept with its statements, then published in the directory (beside the loop), and only then has effect. A
roster goes to the broker, which lets its members in, and to every member with proof. A newcomer is told that it is one.

Rules: one checkpoint per roster version, so that a manifest can name it. The broker is reminded of the roster, because
it may have lost it. Leaves to others: who may become a candidate (enrolment.py), decisions (desk.py).
Source: docs/operations.md "Enrolment", docs/transport.md "Sockets".
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from keyserver import boots, dealing, enrolment, lies, views
from keyserver.answers import (
    Decided,
    EntryShown,
    KeyLogged,
    KeyserverStatus,
    MemberShown,
    RosterShown,
    TokenMade,
    TokenRevoked,
    TokenShown,
)
from keyserver.authority import Authority
from keyserver.desk import ROSTER_LIFE, Desk, Settings
from keyserver.directory import Directory, Published
from keyserver.lies import Lies
from keyserver.records import Register, RosterRecord
from keyserver.requests import (
    ApproveMember,
    Asked,
    CreateToken,
    ListMembers,
    ListTokens,
    LogKey,
    RevokeMember,
    RevokeToken,
    ShowMember,
    ShowRoster,
    Status,
)
from keyserver.restating import set_aside
from secagg.crypto.rng import Rng
from secagg.daemon.answers import Reply
from secagg.daemon.requests import parse
from secagg.daemon.turn import Turn
from secagg.errors import BadConfiguration, BadInput, ProtocolViolation, TryLater
from secagg.events import federation as told
from secagg.events import lines
from secagg.events.line import Logger, write
from secagg.log.checkpoint import read_checkpoint
from secagg.log.statements import Fenced, RosterRoot
from secagg.roster.boot import BOOT, open_request, sign_reply
from secagg.roster.members import Member
from secagg.roster.messages import (
    ENROL,
    LIE,
    ROSTER,
    Admitted,
    Denied,
    EnrolReply,
    RosterPush,
    RosterRequest,
    Waiting,
)
from secagg.transport.curve import key_text
from secagg.transport.link import BROKER, Received, guest_name
from secagg.wire.codec import decode, encode

PUBLISH, REMIND, RENEW = "publish", "remind", "renew"

REMINDER = 5.0
"""Seconds between two reminders of the broker: after its restart members wait no longer than this."""

CHECK_AGE = 3600.0
"""Seconds between two looks at the roster's age."""

AGAIN = 2.0
"""Seconds until publishing is tried again that failed."""


class KeyserverService:
    """The service of one federation."""

    def __init__(self, authority: Authority, settings: Settings, directory: Directory, rng: Rng, log: Logger) -> None:
        self._authority, self._settings, self._directory = authority, settings, directory
        self._rng, self._log = rng, log
        self._lies = Lies(directory, authority.federation)
        self._acts: dict[type, Callable[[Any, Turn], Reply]] = {
            CreateToken: self._create_token,
            ListTokens: self._list_tokens,
            RevokeToken: self._revoke_token,
            ListMembers: self._list_members,
            ShowMember: self._show_member,
            ApproveMember: self._approve,
            RevokeMember: self._revoke,
            LogKey: self._log_key,
            ShowRoster: self._show_roster,
            Status: self._status,
        }

    def start(self, turn: Turn) -> None:
        """Found the federation if it is new, publish what was decided before a crash, take up the timers.

        Raises: BadConfiguration when the log is ahead of the journal.
        """
        register = self._register(turn)
        if self._directory.size > register.size:
            raise BadConfiguration(
                f"The directory log holds {self._directory.size} entries, the journal decided {register.size}.",
                "They are of different backups: restore both from the same one.",
                code="E-FORK",
            )
        set_aside(register, self._authority, self._directory.size, turn)
        if register.newest() is None:
            when = {"federation": self._authority.federation, "time": turn.now()}
            root, online = self._authority.founded.root_key.hex(), self._authority.online.public.hex()
            register.write(RosterRoot(root_key=root, online_key=online, **when))  # type: ignore[arg-type]
            self._desk(turn).issue(lambda member: True)
        self._renew(turn)
        self._publish(turn)
        self._remind(turn)
        self._lies.pursue(turn)

    def receive(self, message: Received, turn: Turn) -> None:
        """Answer newcomers (`enrol`) and members (`roster`, `boot`, and what is about evidence of a lie).

        Raises: WireError or ProtocolViolation for anything else.
        """
        if message.kind == ENROL:
            turn.reply(ENROL, b"", encode(self._judge(message, turn)))
        elif message.kind == ROSTER and not message.curve_key:
            self._show(message, turn)
        elif message.kind == BOOT and not message.curve_key:
            self._boot(message, turn)
        elif message.kind in (LIE, "piece", "fetch") and not message.curve_key:
            self._evidence(message, turn)
        else:
            raise ProtocolViolation(f"{message.sender} sends {message.kind} to the key server.", rule="kind")

    def wake(self, name: str, turn: Turn) -> None:
        """Publish again, remind the broker, or renew the roster."""
        if name == PUBLISH:
            set_aside(self._register(turn), self._authority, self._directory.size, turn)
            self._publish(turn)
        elif name == REMIND:
            self._remind(turn)
        elif name == lies.TIMER:
            self._lies.pursue(turn, other=True)
        else:
            self._renew(turn)
            self._publish(turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Let what is published take effect; take the verdict on evidence."""
        kind, register = name.partition("/")[0], self._register(turn)
        if kind == lies.WORK:
            self._lies.finished(name, outcome, register, turn)
            self._publish(turn)
        if kind != PUBLISH:
            return
        if not isinstance(outcome, Published):
            write(self._log, lines.Publish(str(outcome), "It is tried again; nothing took effect."))
            turn.after(PUBLISH, AGAIN)
            return
        register.publish(outcome.size)
        newest, old = register.newest(), register.in_force()
        self._lies.published(outcome.size, old.roster().members if old else (), turn)
        if newest and newest.entry < outcome.size and (old is None or old.version < newest.version):
            record = replace(newest, note=outcome.note)
            register.enforce(record)
            self._tell(record, old.roster().members if old else (), turn)

    def command(self, request: dict[str, object], turn: Turn) -> Reply:
        """Carry out what the operator asks.

        Raises: BadInput and what desk.py raises.
        """
        asked: Asked = parse(request, Asked, "key server")
        register = self._register(turn)
        before = register.size
        answer = self._acts[type(asked)](asked, turn)
        if register.size > before:
            self._publish(turn)
        return answer

    # What the operator asks ----------------------------------------------------------------------------------------

    def _create_token(self, asked: CreateToken, turn: Turn) -> TokenMade:
        line, id = self._desk(turn).create_token(asked, self._rng)
        write(self._log, lines.CreateToken(asked.institution, turn.now() + asked.ttl))
        return TokenMade(line, id, turn.now() + asked.ttl)

    def _list_tokens(self, asked: ListTokens, turn: Turn) -> tuple[TokenShown, ...]:
        return tuple(views.token(id, record, turn.now()) for id, record in self._register(turn).tokens())

    def _revoke_token(self, asked: RevokeToken, turn: Turn) -> TokenRevoked:
        id = self._desk(turn).revoke_token(asked.id)
        write(self._log, lines.RevokeToken(id[:16]))
        return TokenRevoked(id)

    def _list_members(self, asked: ListMembers, turn: Turn) -> tuple[MemberShown, ...]:
        register = self._register(turn)
        return (
            *(views.candidate(record) for record in register.candidates()),
            *(views.member(record, register.published) for record in register.members()),
        )

    def _show_member(self, asked: ShowMember, turn: Turn) -> MemberShown:
        register = self._register(turn)
        candidate, record = register.candidate(asked.name), register.member(asked.name)
        if candidate is not None:
            return views.candidate(candidate)
        if record is not None:
            return views.member(record, register.published)
        raise BadInput(
            f"{asked.name} is neither a member nor waiting.", "See `secagg member list`.", code="E-CANDIDATE"
        )

    def _approve(self, asked: ApproveMember, turn: Turn) -> Decided:
        record = self._desk(turn).approve(asked)
        turn.tell(told.Approve(asked.name, record.version))
        return Decided(asked.name, record.version)

    def _revoke(self, asked: RevokeMember, turn: Turn) -> Decided:
        record = self._desk(turn).revoke(asked)
        turn.tell(told.Revoke(asked.name, asked.reason))
        return Decided(asked.name, record.version if record else None)

    def _log_key(self, asked: LogKey, turn: Turn) -> KeyLogged:
        key = dealing.log_key(asked, self._register(turn), self._authority, turn.now())
        turn.tell(told.DealKey(key))
        return KeyLogged(key)

    def _show_roster(self, asked: ShowRoster, turn: Turn) -> RosterShown:
        """Return the push that members get and, for each member, the proof of its entry under the same checkpoint."""
        register = self._register(turn)
        record = register.in_force()
        if record is None:
            raise TryLater("The first roster is not published yet.", "Try again in a second.")
        present = [kept for member in record.roster().members if (kept := register.member(member.name))]
        entries = [(self._directory.leaf(one.entry), self._prove(one.entry, record.note, 0)) for one in present]
        shown = tuple(EntryShown(leaf.decode(), proof.hex()) for leaf, proof in entries)
        return RosterShown(self._push(record, 0).hex(), shown)

    def _status(self, asked: Status, turn: Turn) -> KeyserverStatus:
        register = self._register(turn)
        force = register.in_force()
        return KeyserverStatus(
            federation=self._authority.federation,
            root_fingerprint=self._authority.root_fingerprint,
            curve_key=key_text(self._authority.curve_key),
            roster=force.version if force else None,
            expires=force.roster().expires if force else None,
            members=len(force.roster().members) if force else 0,
            waiting=len(register.candidates()),
            decided=register.size,
            published=register.published,
            set_aside=tuple(register.all_set_aside()),
        )

    # What newcomers and members ask --------------------------------------------------------------------------------

    def _judge(self, message: Received, turn: Turn) -> EnrolReply:
        """Return what a newcomer is told; every refusal is logged."""
        register = self._register(turn)
        try:
            member = enrolment.consider(message.body, message.curve_key, register, self._authority, turn.now())
        except enrolment.Refusal as refusal:
            error = refusal.error
            write(self._log, lines.RefuseEnrolment(refusal.name, error.code, error.cause))
            return Denied(error.code, error.cause[:512], error.remedy[:512])
        return self._standing(member, register)

    def _standing(self, member: Member, register: Register) -> EnrolReply:
        record, force = register.member(member.name), register.in_force()
        if record is None or record.member != member:
            return Waiting(self._authority.fingerprint_of(member))
        if record.revoked:
            return Denied("E-REVOKED", f"{member.name} was revoked: {record.reason}"[:512], "Ask the operator.")
        if force is None or member not in force.roster().members:
            return Waiting(record.fingerprint)
        return Admitted(self._push(force, 0))

    def _show(self, message: Received, turn: Turn) -> None:
        """Send the roster in force to a member, from the checkpoint at which it stands."""
        register = self._register(turn)
        asked = decode(RosterRequest, message.body) if message.body else RosterRequest(0)
        force = register.in_force()
        if force is None:
            raise TryLater("The first roster is not published yet.", "Ask again.")
        size = read_checkpoint(force.note).size
        if asked.size > size:
            raise ProtocolViolation(
                f"{message.sender} stands at entry {asked.size} of the directory, which has {size}.",
                "If that member is right, this key server was restored from an old backup.",
                rule="directory.size",
            )
        turn.reply(ROSTER, b"", self._push(force, asked.size))
        register.keep_seen(message.sender, size)

    def _boot(self, message: Received, turn: Turn) -> None:
        """Grant a member's start its epoch, or fence it; one that says that it is fenced is stated in the directory."""
        register = self._register(turn)
        force = register.in_force()
        members = force.roster().members if force else ()
        member = next((found for found in members if found.name == message.sender), None)
        if member is None:
            raise ProtocolViolation(f"{message.sender} is no member.", rule="boot.member")
        asked = open_request(message.body, member.sign_key)
        if (asked.federation, asked.member) != (self._authority.federation, member.name):
            raise ProtocolViolation(f"{message.sender} asks for {asked.member}.", rule="boot.member")
        record, reply = boots.judge(register.boot(member.name), asked, member.sign_key)
        after = boots.stated(record, asked)
        if after is not None:
            record = after
            when = {"federation": asked.federation, "time": turn.now()}
            register.write(Fenced(member=member.name, epoch=record.number, **when))  # type: ignore[arg-type]
            turn.tell(told.MemberFenced(member.name, record.number))
            self._publish(turn)
        register.keep_boot(member.name, record)
        turn.reply(BOOT, b"", sign_reply(reply, self._authority.online))

    def _evidence(self, message: Received, turn: Turn) -> None:
        """Hear of evidence that an aggregator lied, take a piece of it, or send one. Raises: as keyserver.lies."""
        register = self._register(turn)
        force = register.in_force()
        if force is None or message.sender not in {member.name for member in force.roster().members}:
            raise ProtocolViolation(f"{message.sender} is no member.", rule="kind")
        if message.kind == LIE:
            self._lies.take(message, register, turn)
        elif message.kind == "piece":
            self._lies.piece(message, turn)
        else:
            self._lies.serve(message, turn)

    # Effects -------------------------------------------------------------------------------------------------------

    def _tell(self, record: RosterRecord, before: tuple[Member, ...], turn: Turn) -> None:
        """Send a roster that has come into force to the broker, the members and those who are new in it."""
        register, members = self._register(turn), record.roster().members
        size = read_checkpoint(record.note).size
        turn.withdraw(BROKER)
        turn.send(BROKER, ROSTER, b"", record.signed)
        for gone in {member.name for member in before} - {member.name for member in members}:
            turn.withdraw(gone)
        for member in members:
            if member not in before:
                turn.emit(guest_name(member.curve_key), ENROL, b"", encode(Admitted(self._push(record, 0))))
                register.keep_seen(member.name, 0)
            turn.withdraw(member.name)
            turn.send(member.name, ROSTER, b"", self._push(record, register.seen(member.name)))
            register.keep_seen(member.name, size)
            self._lies.tell(member, turn)
        turn.tell(told.Roster(record.version, len(members)))

    def _publish(self, turn: Turn) -> None:
        """Publish what was decided and is not in the directory yet."""
        register = self._register(turn)
        entries = register.unpublished()
        if entries:
            files = [*(record.signed for record in register.ahead()), *register.files()]
            turn.run(PUBLISH, lambda: self._directory.publish(entries, files))

    def _remind(self, turn: Turn) -> None:
        force = self._register(turn).in_force()
        if force is not None:
            turn.emit(BROKER, ROSTER, b"", force.signed)
        turn.after(REMIND, REMINDER)

    def _renew(self, turn: Turn) -> None:
        """Issue the same roster anew when half its life is over."""
        newest = self._register(turn).newest()
        if newest and newest.roster().expires - turn.now() < ROSTER_LIFE // 2:
            self._desk(turn).issue(lambda member: True)
        turn.after(RENEW, CHECK_AGE)

    def _push(self, record: RosterRecord, old_size: int) -> bytes:
        """Return the encoded push of a roster for somebody who stands at `old_size`."""
        return encode(RosterPush(record.signed, record.leaf, self._prove(record.entry, record.note, old_size)))

    def _prove(self, entry: int, note: bytes, old_size: int) -> bytes:
        return encode(self._directory.prove(entry, note, old_size))

    def _register(self, turn: Turn) -> Register:
        return Register(turn, self._authority)

    def _desk(self, turn: Turn) -> Desk:
        return Desk(self._register(turn), self._authority, self._settings, turn.now())
