"""What the key server does when a statement that it decided cannot be read: say so in its place, and state it anew.

Rules: the place stays (secagg.log.aside); what was found is kept in the journal, told to those who watch and shown by
`status`. A roster that is not in force yet and a member's enrolment are stated again, with a place of their own. A
token whose statement is lost is revoked, because nobody could prove that it was issued.
Leaves to others: publishing (directory.py), writing statements (records.py).
"""

from msgspec.structs import replace

from keyserver.authority import Authority
from keyserver.records import MemberRecord, Register
from secagg.daemon.turn import Turn
from secagg.log.aside import unreadable
from secagg.log.statements import Enrolled
from secagg.transport.link import KEYSERVER


def set_aside(register: Register, authority: Authority, written: int, turn: Turn) -> None:
    """Set aside what cannot be read of the statements that the log, of `written` entries, does not hold yet."""
    places = range(written, register.size)
    found = unreadable(
        dict(register.unpublished()), places, authority.federation, turn.now(), KEYSERVER, authority.online
    )
    for one in list(found):
        register.set_aside(one.index, one.found, one.leaf)
        turn.tell(one.event())
    lost = {index for index in register.all_set_aside() if index >= written}
    if lost:
        _state_again(register, authority, lost, turn.now())


def _state_again(register: Register, authority: Authority, lost: set[int], now: int) -> None:
    for id, token in register.tokens():
        if token.entry in lost and token.state != "used":
            register.keep_token(bytes.fromhex(id), replace(token, state="revoked"))
    for record in register.members():
        if record.entry in lost:
            entry, _ = register.write(enrolled(record, authority.federation, now))
            register.keep_member(replace(record, entry=entry))
    for version in register.ahead():
        if version.entry in lost:
            register.state_again(version, now)


def enrolled(record: MemberRecord, federation: str, now: int) -> Enrolled:
    """Return the statement that a human approved a member and its keys."""
    member = record.member
    return Enrolled(
        federation=federation, time=now, member=member.name, organisation=member.organisation, role=member.role,
        sign_key=member.sign_key.hex(), curve_key=member.curve_key.hex(), fingerprint=record.fingerprint.hex(),
    )  # fmt: skip
