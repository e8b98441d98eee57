"""The ledger of inputs of one institution: every header that its nodes signed, what became of it, what was allowed.

How to read it: `InputLedger` is what a node asks. `SqliteInputs` is the file that all nodes of an institution on a
machine share. `MemoryInputs` (tests/support/memory.py) is what tests use, under the same contract. `hold` keeps others
away while a node reads, decides and writes. Rules (protocol §6.5): entries are appended, and changed by
secagg.protocol.inputs alone. What is written here is on disk before the journal's turn that relies on it is kept. So a
crash leaves one entry too many and never one too few. A file that has forgotten something is noticed, because each
writer's journal keeps how often it wrote (`require`).
Leaves to others: what follows from entries (secagg.protocol.inputs), what is an input (node.inputs).
"""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from secagg.crypto import box
from secagg.crypto.derive import derive, hmac_sha256
from secagg.crypto.labels import fields
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.daemon.journal import unwritable
from secagg.daemon.vault import check_file
from secagg.errors import BadConfiguration, Refused, SealBroken
from secagg.ids import RoundId
from secagg.protocol.failing import Failed
from secagg.protocol.inputs import Allowed, Counted
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK

FILE = "ledger.db"
COST = 2**15
"""Of scrypt, as for a key file."""

_TAG, _VECTOR, _SKETCH = "secagg/v2/ledger/tag", "secagg/v2/ledger/vector", "secagg/v2/ledger/sketch"
_SEALED, _KEY = "secagg/v2/ledger/sealed", "secagg/v2/ledger/key"
_BUSY = 5.0
"""Seconds to wait for another node of this institution, whose transactions take milliseconds."""

_VERSION = 1
_TABLES = (
    "CREATE TABLE seal (one INTEGER PRIMARY KEY CHECK (one = 1), cost INTEGER NOT NULL, salt BLOB NOT NULL,"
    " box BLOB NOT NULL)",
    "CREATE TABLE entries (place INTEGER PRIMARY KEY AUTOINCREMENT, writer BLOB NOT NULL, round BLOB NOT NULL,"
    " value BLOB NOT NULL, UNIQUE (writer, round))",
    "CREATE TABLE allowed (place INTEGER PRIMARY KEY AUTOINCREMENT, value BLOB NOT NULL)",
    "CREATE TABLE writers (writer BLOB PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID",
    f"PRAGMA user_version = {_VERSION}",
)

_FAILURES = "CREATE TABLE IF NOT EXISTS failures (place INTEGER PRIMARY KEY AUTOINCREMENT, value BLOB NOT NULL)"
"""Beside the tables of a version, so that a ledger that is older than it needs no other version."""

Change = Callable[[Counted], Counted]


class InputKeys:
    """What is derived from the key of a ledger; safe on any thread, holds no file."""

    def __init__(self, key: Secret) -> None:
        self._tag, self._vector, self._sealing = (_derived(key, label) for label in (_TAG, _VECTOR, _SEALED))
        self.sketch = _derived(key, _SKETCH)
        """Key of the sketches (secagg.protocol.sketch)."""

    def tag(self, federation: str, identity: bytes) -> bytes:
        """Return what names an input in one federation, to those who do not have this ledger."""
        return hmac_sha256(self._tag.reveal(), fields(_TAG, federation, identity))

    def vector(self, data: bytes) -> bytes:
        """Return a keyed digest of a sum's exact values."""
        return hmac_sha256(self._vector.reveal(), fields(_VECTOR, data))

    def seal(self, data: bytes, rng: Rng) -> bytes:
        """Return what only this ledger opens again."""
        return box.encrypt(self._sealing.reveal(), data, fields(_SEALED), rng)

    def open(self, sealed: bytes) -> bytes:
        """Return what `seal` sealed. Raises: SealBroken."""
        return box.decrypt(self._sealing.reveal(), sealed, fields(_SEALED))


class InputLedger(Protocol):
    """What a node asks of its institution's ledger; `revision` counts what this node (its writer) ever wrote."""

    keys: InputKeys

    @property
    def revision(self) -> int:
        """Return how often this node wrote."""
        ...

    def hold(self) -> AbstractContextManager[None]:
        """Keep other nodes away until the block ends, and keep what is written in it then, or nothing if it raises.

        Raises: TryLater when it cannot be written.
        """
        ...

    def entries(self) -> tuple[Counted, ...]:
        """Return every entry of every node of this institution, in the order in which they were counted."""
        ...

    def find(self, round_id: RoundId) -> Counted | None:
        """Return this node's entry of an attempt."""
        ...

    def count(self, entry: Counted) -> None:
        """Write an entry; one of the very same attempt, whose header never left, gives its place to it.

        Raises: Refused (`ledger.lifted`) when that attempt is over or went on; TryLater.
        """
        ...

    def change(self, round_id: RoundId, function: Change) -> Counted | None:
        """Change this node's entry of an attempt, if there is one, and return it. Raises: what `function` raises."""
        ...

    def allowed(self) -> tuple[Allowed, ...]:
        """Return what persons allowed, oldest first."""
        ...

    def allow(self, federation: str, root: bytes, job: str, overlap: bool, now: int) -> Allowed:
        """Write that a person allows a job, over other sets than those of all entries so far with `overlap`."""
        ...

    def failures(self) -> tuple[Failed, ...]:
        """Return every round that failed on data at a node of this institution, oldest first."""
        ...

    def fail(self, found: Failed) -> None:
        """Write that a round failed here. Raises: TryLater."""
        ...

    def tag(self, federation: str, identity: bytes) -> bytes:
        """Return `keys.tag`."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def require(ledger: InputLedger, written: int) -> None:
    """Refuse a ledger that has forgotten what this node wrote.

    Raises: BadConfiguration (`E-LEDGER`).
    """
    if ledger.revision < written:
        raise BadConfiguration(
            f"The ledger of inputs is an old one or a new one: this node wrote {written} times, and it holds "
            f"{ledger.revision}.",
            "Put the newest copy back, or set [ledger] path to it. Without it nobody knows what was given to sums: "
            "revoke this member and enrol it anew.", code="E-LEDGER",
        )  # fmt: skip


class SqliteInputs:
    """One SQLite file, 0600, shared by short transactions, each on disk before it returns."""

    def __init__(self, path: Path, phrase: Secret, writer: bytes, rng: Rng, cost: int = COST) -> None:
        """Open the ledger at `path`, or make it; `writer` is this node's signing key, `phrase` opens the ledger's key.

        Raises: BadConfiguration (`E-LEDGER`) when the file or its directory is open to others. So it is when the
        passphrase is another one, or it is no ledger of this version.
        """
        _check_place(path)
        self._path, self._writer, self._holding = path, writer, False
        self._seen: tuple[int, tuple[Counted, ...]] | None = None
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY)
        except sqlite3.Error as error:
            raise _unopened(path, str(error)) from None
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {pragma}").fetchall()
            self.keys = InputKeys(self._unlocked(phrase, rng, cost))
            self._db.execute(_FAILURES)
        except sqlite3.Error as error:
            self._db.close()
            raise _unopened(path, str(error)) from None
        except BaseException:
            self._db.close()
            raise

    def _unlocked(self, phrase: Secret, rng: Rng, cost: int) -> Secret:
        """Return the key of the ledger; the first node draws it."""
        with self.hold():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _TABLES:
                    self._db.execute(statement)
                key, salt = rng(32), rng(16)
                stretched = box.stretch(phrase.reveal(), salt, cost).reveal()
                sealed = box.encrypt(stretched, key, fields(_KEY, cost, salt), rng)
                self._db.execute("INSERT INTO seal VALUES (1, ?, ?, ?)", (cost, salt, sealed))
                return Secret(key)
            if version != _VERSION:
                raise _unopened(self._path, f"it was written by another version ({version})")
            cost, salt, sealed = self._db.execute("SELECT cost, salt, box FROM seal").fetchone()
        try:
            stretched = box.stretch(phrase.reveal(), salt, cost).reveal()
            return Secret(box.decrypt(stretched, sealed, fields(_KEY, cost, salt)))
        except SealBroken:
            raise BadConfiguration(
                f"The ledger {self._path} does not open with this passphrase: another node of the institution made it.",
                "Set `[ledger] passphrase_file` in node.toml to the file that that node uses.", code="E-LEDGER",
            ) from None  # fmt: skip

    @property
    def revision(self) -> int:
        """Return how often this node wrote."""
        row = self._read("SELECT revision FROM writers WHERE writer = ?", (self._writer,))
        return int(row[0][0]) if row else 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other nodes away (see InputLedger); a hold within a hold is part of it."""
        if self._holding:
            yield
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._holding = True
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise unwritable(f"{self._path}: {error}") from None
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._holding = False

    def _roll_back(self) -> None:
        self._seen = None
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def entries(self) -> tuple[Counted, ...]:
        """Return every entry; decoded again only when somebody wrote."""
        version, seen = int(self._read("PRAGMA data_version")[0][0]), self._seen
        if seen is None or seen[0] != version:
            rows = self._read("SELECT value FROM entries ORDER BY place")
            seen = self._seen = version, tuple(decode(Counted, row[0], LIMIT_BULK) for row in rows)
        return seen[1]

    def find(self, round_id: RoundId) -> Counted | None:
        """Return this node's entry of an attempt."""
        rows = self._read(
            "SELECT value FROM entries WHERE writer = ? AND round = ?", (self._writer, encode(round_id))
        )  # fmt: skip
        return decode(Counted, rows[0][0], LIMIT_BULK) if rows else None

    def count(self, entry: Counted) -> None:
        """Write an entry (see InputLedger)."""
        with self.hold():
            check_again(self.find(entry.round), entry)
            self._write(entry)

    def change(self, round_id: RoundId, function: Change) -> Counted | None:
        """Change an entry (see InputLedger)."""
        with self.hold():
            before = self.find(round_id)
            after = function(before) if before else None
            if after and after != before:
                self._write(after)
        return after

    def allowed(self) -> tuple[Allowed, ...]:
        """Return what persons allowed."""
        return tuple(decode(Allowed, row[0]) for row in self._read("SELECT value FROM allowed ORDER BY place"))

    def allow(self, federation: str, root: bytes, job: str, overlap: bool, now: int) -> Allowed:
        """Write that a person allows a job (see InputLedger)."""
        with self.hold():
            made = Allowed(federation, root, job, overlap, len(self.entries()), now)
            self._db.execute("INSERT INTO allowed (value) VALUES (?)", (encode(made),))
            self._wrote()
        return made

    def failures(self) -> tuple[Failed, ...]:
        """Return every failure."""
        return tuple(decode(Failed, row[0]) for row in self._read("SELECT value FROM failures ORDER BY place"))

    def fail(self, found: Failed) -> None:
        """Write a failure (see InputLedger)."""
        with self.hold():
            self._db.execute("INSERT INTO failures (value) VALUES (?)", (encode(found),))
            self._wrote()

    def tag(self, federation: str, identity: bytes) -> bytes:
        """Return `keys.tag`."""
        return self.keys.tag(federation, identity)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def _read(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[bytes, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise unwritable(f"{self._path}: {error}") from None

    def _write(self, entry: Counted) -> None:
        row = (self._writer, encode(entry.round), encode(entry))
        self._db.execute(
            "INSERT INTO entries (writer, round, value) VALUES (?, ?, ?)"
            " ON CONFLICT (writer, round) DO UPDATE SET value = excluded.value", row,
        )  # fmt: skip
        self._wrote()

    def _wrote(self) -> None:
        self._seen = None
        self._db.execute(
            "INSERT INTO writers VALUES (?, 1) ON CONFLICT (writer) DO UPDATE SET revision = revision + 1",
            (self._writer,),
        )


def _derived(key: Secret, label: str) -> Secret:
    return derive(key, salt=b"", info=fields(label))


def check_again(before: Counted | None, entry: Counted) -> None:
    """Let an attempt be counted again only while nothing is known to have left for it.

    Raises: Refused (`ledger.lifted`).
    """
    if before and (before.state != "pending" or before.manifest != entry.manifest):
        raise Refused(
            f"Attempt {entry.round.attempt} of round {entry.round.round} is over for this node.",
            "Propose the next attempt.", rule="ledger.lifted",
        )  # fmt: skip


def _check_place(path: Path) -> None:
    """Refuse a place where others could replace the ledger; make the file so that nobody else may read it.

    Raises: BadConfiguration.
    """
    try:
        found = path.parent.stat()
        if stat.S_IMODE(found.st_mode) & 0o022 or found.st_uid not in (os.geteuid(), 0):
            raise BadConfiguration(
                f"The ledger of inputs {path} could be replaced: others may write in {path.parent}.",
                f"chmod go-w {path.parent}, or name another place with `[ledger] path` in node.toml.", code="E-LEDGER",
            )  # fmt: skip
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise _unopened(path, error.strerror or "it cannot be made") from None
    check_file(path)


def _unopened(path: Path, reason: str) -> BadConfiguration:
    return BadConfiguration(
        f"The ledger of inputs {path} cannot be opened: {reason}.",
        "Let `[ledger] path` in node.toml name a file in a directory where only this user may write.", code="E-LEDGER",
    )  # fmt: skip
