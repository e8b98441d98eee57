"""A key from a ceremony, as the key server sees it: its public part and the transcript, logged once.

In order: the transcript is one, of this federation. The key is the one that it names. Every trustee in it is a member
with that role, organisation and key. Then the directory states who can open sums under this key, and both files are
kept for auditors.
Rules: the key server never gets a share, and needs no big integers: whether the key is good, trustees and nodes check.
Leaves to others: the ceremony (secagg.protocol.ceremony), publishing (service). Source: docs/protocol.md §5.
"""

from keyserver.authority import Authority
from keyserver.records import Register
from keyserver.requests import LogKey
from secagg.crypto.derive import sha256
from secagg.errors import Refused
from secagg.log.statements import KeyDealt
from secagg.protocol.ceremony.files import Place, Transcript, read_transcript
from secagg.roster.members import Member


def log_key(asked: LogKey, register: Register, authority: Authority, now: int) -> str:
    """State that a key was dealt; return its digest in hex. The same key twice is stated once.

    Raises: WireError when there is no transcript; Refused (ceremony.federation, key, seat).
    """
    key, written = bytes.fromhex(asked.key), asked.transcript.encode()
    told = read_transcript(written)
    if (told.federation, told.root_fingerprint) != (authority.federation, authority.root_fingerprint):
        raise _refusal("The ceremony was of another federation, or under another root.", "federation")
    if sha256(key).hex() != told.key:
        raise _refusal("The key is not the one of the transcript.", "key")
    if register.dealt(told.key):
        return told.key
    newest = register.newest()
    known = {member.name: member for member in (newest.roster().members if newest else ())}
    for place in told.trustees:
        if not _seated(place, known.get(place.name)):
            raise _refusal(f"{place.name} is no trustee of this federation with that key.", "seat")
    register.deal(_statement(told, written, now), (key, written))
    return told.key


def _seated(place: Place, member: Member | None) -> bool:
    return member is not None and (place.organisation, place.sign_key, "trustee") == (
        member.organisation, member.sign_key.hex(), member.role,
    )  # fmt: skip


def _statement(told: Transcript, written: bytes, now: int) -> KeyDealt:
    return KeyDealt(
        federation=told.federation, time=now, key=told.key, transcript=sha256(written).hex(), bits=told.bits,
        trustees=tuple(place.name for place in told.trustees), threshold=told.threshold, colluders=told.colluders,
    )  # fmt: skip


def _refusal(cause: str, rule: str) -> Refused:
    return Refused(cause, "Log nothing; ask the dealer.", rule=f"ceremony.{rule}")
