"""The epochs of members' starts: each start gets the next number, and only one that continues the newest.

A start continues the newest when it comes with the number granted last (or, if nobody ever used that grant, the one
before). It has to have started more often, and to have a ledger at least as long as any this key server was told of.
Everything else is a restored backup or a second copy, and is fenced.

Rules: a message that was delayed or came twice changes nothing and fences nobody: what it is answered names the nonce
of its own start. That a copy was fenced is stated once for each epoch. Of one key it is stated so many times at most,
because a member may start as often as it likes.
Leaves to others: messages (secagg.roster.boot), keeping the record (records.py).
"""

from msgspec.structs import replace

from keyserver.records import BootRecord
from secagg.errors import ProtocolViolation
from secagg.roster.boot import BootReply, BootRequest

STATED = 64
"""Statements that a copy of one member was fenced: a statement is for ever, and backups are put back by people."""


def judge(record: BootRecord | None, asked: BootRequest, sign_key: bytes) -> tuple[BootRecord, BootReply]:
    """Return what is known of a member after a request, and the reply; `sign_key` is the member's in the roster.

    Raises: ProtocolViolation when the member comes from an epoch that this key server never granted.
    """
    known = record if record and record.sign_key == sign_key else BootRecord(sign_key)
    if asked.number > known.number:
        raise ProtocolViolation(
            f"{asked.member} stands at epoch {asked.number}, and {known.number} was granted last.",
            "If that member is right, this key server was restored from an old backup.", rule="boot.number",
        )  # fmt: skip
    if asked.nonce == known.nonce:
        if asked.number == known.number:
            known = replace(known, confirmed=True, records=max(known.records, asked.records))
            return known, _reply(asked, known, "held")
        return known, _reply(asked, known, "granted")
    if not _continues(known, asked):
        return known, _reply(asked, known, "fenced")
    known = replace(
        known, number=known.number + 1, before=asked.number, nonce=asked.nonce, starts=asked.starts, confirmed=False
    )
    return known, _reply(asked, known, "granted")


def stated(record: BootRecord, asked: BootRequest) -> BootRecord | None:
    """Return what is known of a member once it is stated that a copy of it was fenced; None when that is not due."""
    if not asked.fenced or record.reported >= record.number or record.stated >= STATED:
        return None
    return replace(record, reported=record.number, stated=record.stated + 1)


def _continues(known: BootRecord, asked: BootRequest) -> bool:
    """Say whether another start than the newest one known takes up exactly where that left off."""
    used = asked.number == known.number or (not known.confirmed and asked.number == known.before)
    return used and asked.starts > known.starts and asked.records >= known.records


def _reply(asked: BootRequest, known: BootRecord, state: str) -> BootReply:
    return BootReply(
        asked.federation, asked.member, asked.nonce, known.number, known.records, state,  # type: ignore[arg-type]
    )  # fmt: skip
