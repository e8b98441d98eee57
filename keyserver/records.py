"""What the key server keeps in its journal, and the one way to it.

`entry/<n>` leaves of the directory log that are not published yet; `aside/<n>` what there could not be read.
`log/next`, `log/published`; `token/<id>`; `candidate/<name>` requests that wait for a person; `member/<name>`.
`roster/<version>`, `roster/newest`, `roster/in-force`; `seen/<name>` the directory size a member stands at.
`boot/<name>` its newest start. `lie/from/<name>`, `lie/strikes/<name>`, `lie/reported/<key>`: evidence on its way,
false evidence, stated lies.

Rules: a statement is written in the transaction that decides it and appended to the log afterwards, in the same order.
What it says has no effect before its entry is published. Leaves to others: publishing (directory.py), deciding.
Source: docs/transport.md "Crash rules", docs/audit-log.md "Effects wait for inclusion".
"""

from typing import Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from keyserver.authority import Authority
from secagg.crypto.derive import sha256
from secagg.daemon.turn import Turn
from secagg.ids import NO_DIGEST, Count, Digest, Key, Name, Ordinal
from secagg.log.statements import KeyDealt, RosterChanged, Statement, sign_statement
from secagg.roster.chain import SignedRoster
from secagg.roster.members import Limits, Member, Role, Roster
from secagg.transport.link import KEYSERVER
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK

T = TypeVar("T", bound=Struct)

NEXT, PUBLISHED, NEWEST, IN_FORCE = "log/next", "log/published", "roster/newest", "roster/in-force"


class TokenRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """One token: its public key, whom it is for, where `TokenIssued` stands, and what became of it.

    `claim` is the digest of the request that used it, empty before; `tries` counts other requests signed with it.
    """

    public: Key
    institution: Name
    name: Name
    role: Role
    issued: Count
    expires: Count
    entry: Count
    state: Literal["open", "claimed", "used", "revoked"] = "open"
    claim: bytes = b""
    tries: int = 0


class Candidate(Struct, frozen=True, forbid_unknown_fields=True):
    """A request that waits for approval."""

    member: Member
    token: Digest
    fingerprint: Digest
    asked: Count


class MemberRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """An approved member: where `Enrolled` stands in the directory, and since when it is out, 0 while it is in."""

    member: Member
    fingerprint: Digest
    enrolled: Count
    entry: Count
    revoked: Count = 0
    reason: str = ""


class RosterRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """One version: signed bytes, the leaf and index of `RosterChanged`, and the checkpoint it was published under."""

    version: Ordinal
    signed: bytes
    leaf: bytes
    entry: Count
    note: bytes = b""

    def roster(self) -> Roster:
        """Return the roster."""
        return decode(Roster, decode(SignedRoster, self.signed, LIMIT_BULK).roster, LIMIT_BULK)


class BootRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A member's newest start: the epoch it was granted and the one it came from, whether it said that it holds it.

    `records` is the longest ledger it told of; `reported` the epoch of the last `Fenced` statement, `stated` how many
    there are.
    """

    sign_key: Key
    number: Count = 0
    before: Count = 0
    nonce: Digest = NO_DIGEST
    starts: Count = 0
    confirmed: bool = True
    records: Count = 0
    reported: Count = 0
    stated: Count = 0


class Register:
    """The records of one turn."""

    def __init__(self, turn: Turn, authority: Authority) -> None:
        self._turn = turn
        self._authority = authority

    # The directory -------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Return how many statements were decided."""
        return self._number(NEXT)

    @property
    def published(self) -> int:
        """Return how many statements are in a published checkpoint."""
        return self._number(PUBLISHED)

    def write(self, statement: Statement) -> tuple[int, bytes]:
        """Sign a statement and give it the next place in the directory; return (index, leaf)."""
        leaf = sign_statement(statement, KEYSERVER, self._authority.online)
        index = self.size
        self._turn.put(f"entry/{index:012}", leaf)
        self._turn.put(NEXT, str(index + 1).encode())
        return index, leaf

    def unpublished(self) -> list[tuple[int, bytes]]:
        """Return (index, leaf) of everything that is not published yet."""
        return [(int(key.rpartition("/")[2]), leaf) for key, leaf in self._turn.scan("entry/")]

    def set_aside(self, index: int, found: bytes, leaf: bytes) -> None:
        """Keep what was to be entry `index` and cannot be read, and put `leaf` in its place."""
        self._turn.put(f"aside/{index:012}", found)
        self._turn.put(f"entry/{index:012}", leaf)
        self._turn.delete(f"file/{index:012}")

    def all_set_aside(self) -> list[int]:
        """Return the indices of the entries that were set aside."""
        return [int(key.rpartition("/")[2]) for key, _ in self._turn.scan("aside/")]

    def publish(self, size: int) -> None:
        """Note that the first `size` statements are published."""
        for index, _ in self.unpublished():
            if index < size:
                self._turn.delete(f"entry/{index:012}")
                self._turn.delete(f"file/{index:012}")
        self._turn.put(PUBLISHED, str(max(size, self.published)).encode())

    # Tokens, candidates, members -----------------------------------------------------------------------------------

    def token(self, id: bytes) -> TokenRecord | None:
        """Return a token by its id."""
        return self._get(TokenRecord, f"token/{id.hex()}")

    def tokens(self) -> list[tuple[str, TokenRecord]]:
        """Return (id in hex, record) of all tokens."""
        return [(key.partition("/")[2], decode(TokenRecord, data)) for key, data in self._turn.scan("token/")]

    def keep_token(self, id: bytes, record: TokenRecord) -> None:
        """Keep a token."""
        self._turn.put(f"token/{id.hex()}", encode(record))

    def candidate(self, name: str) -> Candidate | None:
        """Return the request that waits under a name."""
        return self._get(Candidate, f"candidate/{name}")

    def candidates(self) -> list[Candidate]:
        """Return all requests that wait."""
        return [decode(Candidate, data) for _, data in self._turn.scan("candidate/")]

    def keep_candidate(self, record: Candidate) -> None:
        """Keep a request."""
        self._turn.put(f"candidate/{record.member.name}", encode(record))

    def drop_candidate(self, name: str) -> None:
        """Forget a request."""
        self._turn.delete(f"candidate/{name}")

    def member(self, name: str) -> MemberRecord | None:
        """Return a member, also one that was revoked."""
        return self._get(MemberRecord, f"member/{name}")

    def members(self) -> list[MemberRecord]:
        """Return all members by name, also revoked ones."""
        return [decode(MemberRecord, data) for _, data in self._turn.scan("member/")]

    def keep_member(self, record: MemberRecord) -> None:
        """Keep a member."""
        self._turn.put(f"member/{record.member.name}", encode(record))

    def boot(self, name: str) -> BootRecord | None:
        """Return a member's newest start."""
        return self._get(BootRecord, f"boot/{name}")

    def keep_boot(self, name: str, record: BootRecord) -> None:
        """Keep a member's newest start."""
        self._turn.put(f"boot/{name}", encode(record))

    # Keys of ceremonies --------------------------------------------------------------------------------------------

    def dealt(self, key: str) -> bool:
        """Say whether it was decided to state that the key with this digest (hex) was dealt."""
        return self._turn.get(f"dealt/{key}") is not None

    def deal(self, statement: KeyDealt, files: tuple[bytes, ...]) -> None:
        """State that a key was dealt, and keep the files that the statement names until they lie beside the log."""
        index, _ = self.write(statement)
        self._turn.put(f"dealt/{statement.key}", b"")
        self._turn.put(f"file/{index:012}", encode(files))

    def files(self) -> list[bytes]:
        """Return the files that unpublished statements name."""
        kept = (decode(tuple[bytes, ...], data, LIMIT_BULK) for _, data in self._turn.scan("file/"))
        return [data for files in kept for data in files]

    # Rosters -------------------------------------------------------------------------------------------------------

    def newest(self) -> RosterRecord | None:
        """Return the newest version, in force or not."""
        return self._roster(NEWEST)

    def in_force(self) -> RosterRecord | None:
        """Return the version whose entry is published."""
        return self._roster(IN_FORCE)

    def ahead(self) -> list[RosterRecord]:
        """Return the versions that are not in force yet, oldest first."""
        first, last = self.in_force(), self.newest()
        versions = range(first.version + 1 if first else 1, last.version + 1 if last else 1)
        return [record for number in versions if (record := self._version(f"{number:010}")) is not None]

    def issue(self, members: tuple[Member, ...], limits: Limits, now: int, life: int) -> RosterRecord:
        """Write the next version with these members; it is in force once published. `life` is seconds."""
        before = self.newest()
        roster = Roster(
            self._authority.federation, before.version + 1 if before else 1, now, now + life,
            sha256(before.signed) if before else bytes(32), limits, tuple(sorted(members, key=lambda m: m.name)),
        )  # fmt: skip
        signed = self._authority.sign(roster)
        record = RosterRecord(roster.version, signed, b"", 0)
        self._turn.put(NEWEST, f"{record.version:010}".encode())
        return self.state_again(record, now)

    def state_again(self, record: RosterRecord, now: int) -> RosterRecord:
        """State a version in a new place in the directory; return it with that place."""
        roster = sha256(record.signed).hex()
        said = RosterChanged(federation=self._authority.federation, time=now, version=record.version, roster=roster)
        entry, leaf = self.write(said)
        stated = replace(record, leaf=leaf, entry=entry)
        self._turn.put(f"roster/{record.version:010}", encode(stated))
        return stated

    def enforce(self, record: RosterRecord) -> None:
        """Put a version in force, with the checkpoint that holds it."""
        self._keep_roster(record, IN_FORCE)

    def seen(self, name: str) -> int:
        """Return the directory size at which a member stands, as far as we know."""
        return self._number(f"seen/{name}")

    def keep_seen(self, name: str, size: int) -> None:
        """Note the directory size that a member was shown."""
        self._turn.put(f"seen/{name}", str(size).encode())

    def _roster(self, pointer: str) -> RosterRecord | None:
        version = self._turn.get(pointer)
        return self._version(version.decode()) if version else None

    def _version(self, version: str) -> RosterRecord | None:
        return self._get(RosterRecord, f"roster/{version}")

    def _keep_roster(self, record: RosterRecord, pointer: str) -> None:
        version = f"{record.version:010}"
        self._turn.put(f"roster/{version}", encode(record))
        self._turn.put(pointer, version.encode())

    def _get(self, kind: type[T], key: str) -> T | None:
        data = self._turn.get(key)
        return decode(kind, data, 2 * LIMIT_BULK) if data is not None else None

    def _number(self, key: str) -> int:
        return int(self._turn.get(key) or b"0")
