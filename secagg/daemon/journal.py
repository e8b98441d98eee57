"""What a daemon remembers: keys and values, the outbox, and which messages it has already handled.

One event is one transaction; what the event sends lies in the outbox of the same transaction, so a crash leaves either
both or neither. Transactions within a group are kept by one commit, at its end. Two implementations under one contract
test: SQLite for daemons, memory (tests/support/memory.py) for tests.

Rules: one daemon per journal. Nothing is acknowledged or sent before `transaction()`, or the `group()` around it, has
ended without an error. A journal that cannot be written raises TryLater and remembers nothing of that event or group.
Secrets are sealed by the service before they come here (secagg.daemon.vault).
Leaves to others: when to send (secagg.daemon.outbox), what keys mean.
Source: docs/transport.md "Crash rules".
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from secagg.daemon.schema import FIRST, MIGRATIONS
from secagg.errors import BadConfiguration, TryLater

_END = "\U0010ffff"
"""Sorts behind every character: `prefix` to `prefix + _END` is what begins with the prefix."""

_MISUSE = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError, sqlite3.DataError)
"""Errors of SQLite that are bugs of ours and not a full or broken disk."""

REMEMBERED = 4_096
"""Handled messages of one sender that are remembered at least: far more than it may have without an acknowledgement."""

_TRIM = 1_024
"""Marks of a sender after which those above are forgotten: nobody fills a disk with messages that mean nothing."""

_WHOLE = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
_PART = ("SAVEPOINT turn", "RELEASE turn", ("ROLLBACK TO turn", "RELEASE turn"))
"""How a unit of changes begins, is kept and is dropped: on its own, and as a part of a group."""

class Outgoing(Struct, frozen=True):
    """A durable message: kept, and sent again until its receiver acknowledges `id` (16 bytes)."""

    id: bytes
    to: str
    kind: str
    header: bytes
    body: bytes


class Transaction(Protocol):
    """Everything one event reads and changes; kept or dropped as a whole."""

    def get(self, key: str) -> bytes | None:
        """Return the value of `key`, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Set `key`."""

    def delete(self, key: str) -> None:
        """Remove `key`; a missing key is no error."""

    def scan(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return all pairs whose key begins with `prefix`, in order of keys."""

    def enqueue(self, message: Outgoing) -> None:
        """Add `message` to the outbox."""

    def waiting(self, message: Outgoing) -> tuple[int, bool]:
        """Return how many messages to the same receiver are in the outbox, and if one is the same but for its id."""

    def withdraw(self, to: str) -> list[bytes]:
        """Remove everything in the outbox that is for `to`; return the ids."""

    def handled(self, sender: str, id: bytes) -> bool:
        """Say whether this durable message was handled before."""

    def mark_handled(self, sender: str, id: bytes, now: int) -> None:
        """Remember that this durable message is handled, at wall time `now`.

        Of each sender the last 4,096 are remembered at least.
        """


class Journal(Protocol):
    """One daemon's memory."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open the one transaction; it is kept when the block ends, dropped when the block raises.

        Raises: TryLater when it cannot be written; then nothing of it is remembered.
        """

    def group(self) -> AbstractContextManager[None]:
        """Keep what the transactions and acknowledgements in this block change by one commit when it ends, or nothing.

        A transaction in it that raises is dropped alone. Groups are not nested.
        Raises: TryLater when it cannot be written; then nothing of the block is remembered.
        """

    def pending(self) -> list[Outgoing]:
        """Return the outbox, oldest first."""

    def outgoing(self, id: bytes) -> Outgoing | None:
        """Return one message of the outbox, or None when it is acknowledged. Raises: TryLater when the disk fails."""

    def acknowledge(self, id: bytes, by: str) -> bool:
        """Remove a message from the outbox if `by` is whom it was for; return whether it was there."""

    def forget(self, before: int) -> None:
        """Forget which messages were handled before wall time `before`."""

    def close(self) -> None:
        """Release the journal."""


class SqliteJournal:
    """The journal of a daemon: one SQLite file, WAL, every commit on disk before it returns."""

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
        self._migrations, self._grouping = migrations, False
        self._marked: Counter[str] = Counter()
        self._db = _connect(path)
        try:
            # A second daemon on the same state would answer twice: whoever opens first holds the file alone.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {pragma}").fetchall()
            self._migrate(path)
        except sqlite3.Error as error:
            self._db.close()
            raise _unopened(path, error) from None

    def _migrate(self, path: Path) -> None:
        """Bring the schema to the newest version, each step in a transaction of its own."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        done, newest = max(0, version - FIRST + 1), FIRST - 1 + len(self._migrations)
        if 0 < version < FIRST or version > newest:
            self._db.close()
            raise _of_another_version(path, version)
        # An empty write takes the exclusive lock at once, also when nothing is to migrate.
        for number, statements in enumerate((*self._migrations[done:], ()), FIRST + done):
            self._db.execute("BEGIN EXCLUSIVE")
            for statement in statements:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {min(number, newest)}")
            self._db.execute("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open the one transaction (see Journal)."""
        with self._unit(*(_PART if self._grouping else _WHOLE)):
            yield _SqliteTransaction(self._db, self._marked)

    @contextmanager
    def group(self) -> Iterator[None]:
        """Keep everything in this block by one commit (see Journal)."""
        with self._unit(*_WHOLE):
            self._grouping = True
            try:
                yield
            finally:
                self._grouping = False

    @contextmanager
    def _unit(self, begin: str, keep: str, drop: Sequence[str]) -> Iterator[None]:
        try:
            self._check_group()
            self._db.execute(begin)
            yield
            self._db.execute(keep)
        except _MISUSE:
            self._roll_back(drop)
            raise
        except sqlite3.Error as error:
            self._roll_back(drop)
            raise unwritable(str(error)) from None
        except BaseException:
            self._roll_back(drop)
            raise

    def _check_group(self) -> None:
        # SQLite rolls everything back by itself when the disk is full: what follows in the group would be kept alone.
        if self._grouping and not self._db.in_transaction:
            raise unwritable("what came before in the group could not be written")

    def _roll_back(self, drop: Sequence[str]) -> None:
        try:
            for statement in drop:
                self._db.execute(statement)
        except sqlite3.Error:
            # Rolled back already; or a part cannot be taken back alone, and then the whole group is.
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def pending(self) -> list[Outgoing]:
        """Return the outbox, oldest first."""
        rows = self._db.execute("SELECT id, receiver, kind, header, body FROM outbox ORDER BY place")
        return [Outgoing(*row) for row in rows]

    def outgoing(self, id: bytes) -> Outgoing | None:
        """Return one message of the outbox, or None."""
        try:
            row = self._db.execute("SELECT id, receiver, kind, header, body FROM outbox WHERE id = ?", (id,)).fetchone()
        except sqlite3.Error as error:
            raise unwritable(str(error)) from None
        return Outgoing(*row) if row else None

    def acknowledge(self, id: bytes, by: str) -> bool:
        """Remove a message from the outbox if `by` is whom it was for."""
        return self._write("DELETE FROM outbox WHERE id = ? AND receiver = ?", (id, by)) > 0

    def forget(self, before: int) -> None:
        """Forget which messages were handled before wall time `before`."""
        self._write("DELETE FROM handled WHERE time < ?", (before,))

    def _write(self, statement: str, values: tuple[object, ...]) -> int:
        try:
            self._check_group()
            return self._db.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise unwritable(str(error)) from None

    def close(self) -> None:
        """Release the file."""
        self._db.close()


class _SqliteTransaction:
    def __init__(self, db: sqlite3.Connection, marked: Counter[str]) -> None:
        self._db, self._marked = db, marked

    def get(self, key: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        return bytes(row[0]) if row else None

    def put(self, key: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO entries VALUES (?, ?)", (key, value))

    def delete(self, key: str) -> None:
        self._db.execute("DELETE FROM entries WHERE key = ?", (key,))

    def scan(self, prefix: str) -> list[tuple[str, bytes]]:
        span = (prefix, prefix + _END)
        rows = self._db.execute("SELECT key, value FROM entries WHERE key >= ? AND key < ? ORDER BY key", span)
        return rows.fetchall()

    def enqueue(self, message: Outgoing) -> None:
        row = (message.id, message.to, message.kind, message.header, message.body)
        self._db.execute("INSERT INTO outbox (id, receiver, kind, header, body) VALUES (?, ?, ?, ?, ?)", row)

    def waiting(self, message: Outgoing) -> tuple[int, bool]:
        same = "SELECT count(*), max(kind = ? AND header = ? AND body = ?) FROM outbox WHERE receiver = ?"
        row = self._db.execute(same, (message.kind, message.header, message.body, message.to)).fetchone()
        return row[0], bool(row[1])

    def withdraw(self, to: str) -> list[bytes]:
        ids = [row[0] for row in self._db.execute("SELECT id FROM outbox WHERE receiver = ? ORDER BY place", (to,))]
        self._db.execute("DELETE FROM outbox WHERE receiver = ?", (to,))
        return ids

    def handled(self, sender: str, id: bytes) -> bool:
        row = self._db.execute("SELECT 1 FROM handled WHERE sender = ? AND id = ?", (sender, id)).fetchone()
        return row is not None

    def mark_handled(self, sender: str, id: bytes, now: int) -> None:
        row = (sender, id, now)
        self._db.execute("INSERT OR REPLACE INTO handled (sender, id, time) VALUES (?, ?, ?)", row)
        self._marked[sender] += 1
        if self._marked[sender] >= _TRIM:
            self._trim(sender)
            del self._marked[sender]

    def _trim(self, sender: str) -> None:
        """Forget all but the newest of a sender."""
        newest = "SELECT place FROM handled WHERE sender = ? ORDER BY place DESC LIMIT 1 OFFSET ?"
        statement = f"DELETE FROM handled WHERE sender = ? AND place <= ({newest})"  # noqa: S608 - no value is in it
        self._db.execute(statement, (sender, sender, REMEMBERED))


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, isolation_level=None, timeout=0.5)
    except sqlite3.Error as error:
        raise _unopened(path, error) from None


def _of_another_version(path: Path, version: int) -> BadConfiguration:
    if version < FIRST:
        return BadConfiguration(
            f"The journal {path} was written by secagg 0.1 (version {version}), whose state no later version reads.",
            "Keep it for audits; begin with an empty state_dir and enrol again (docs/upgrading.md).",
            code="E-JOURNAL",
        )  # fmt: skip
    return BadConfiguration(
        f"The journal {path} was written by a newer version ({version}).",
        "Install that version again, or restore the backup made before it.", code="E-JOURNAL",
    )  # fmt: skip


def _unopened(path: Path, error: sqlite3.Error) -> BadConfiguration:
    return BadConfiguration(
        f"The journal {path} cannot be opened: {error}.",
        "Check that no other daemon uses this state directory and that it may be written.",
        code="E-JOURNAL",
    )


def unwritable(reason: str) -> TryLater:
    """Return the error of a journal whose disk takes nothing."""
    remedy = "Free space on the disk of the state directory."
    return TryLater(f"The journal cannot be written: {reason}.", remedy, code="E-DISK")
