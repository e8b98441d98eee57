"""What a power cut leaves of a role's files and of its journal: only what was synced is certain.

Files lie in a real directory, made with the product's own code; this room watches `os.fsync`. At a crash every change
that was not synced is kept, dropped or torn, each on its own. These are bytes of a file since its last fsync, and names
of a directory (new, renamed, removed) since the last fsync of that directory. Directories themselves are taken as kept.
The journal is a write-ahead log in memory: whole records with a digest, and a tail that may be torn.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from secagg.crypto.derive import sha256
from secagg.daemon.journal import Outgoing, Transaction
from secagg.errors import TryLater
from support.memory import waiting
from support.simulation_clock import Chance

Point = Callable[[str], None]
SECTOR = 512
"""Bytes that a disk writes whole or not at all."""


class Disk:
    """The files of one role under `root`, and what of them is certain to outlive a crash."""

    def __init__(self, root: Path, point: Point) -> None:
        self.root = root
        self.full = False
        self._point = point
        self._names: dict[str, dict[str, int]] = {}
        self._bytes: dict[int, bytes] = {}
        self.settle()

    def settle(self) -> None:
        """Take what is there now as certain."""
        self._names = _files(self.root)
        self._bytes = {node: _read(path) for path, node in _flat(self._names).items()}

    def synced(self, descriptor: int, path: str) -> None:
        """Take an fsync of an open file or directory of this role."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._point("disk.sync")
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            listed = {entry.path: entry.inode() for entry in os.scandir(path) if entry.is_file(follow_symlinks=False)}
            self._names[path] = listed
        else:
            self._bytes[found.st_ino] = _read(f"/proc/self/fd/{descriptor}")
        self._point("disk.synced")

    def crash(self, chance: Chance) -> int:
        """Leave what a power cut may leave; return how many files were not certain."""
        now, old = _flat(_files(self.root)), _flat(self._names)
        # Names hold digests of sealed bytes, which differ between runs; inodes count up alike in all of them.
        changed = sorted((path for path in {*now, *old} if now.get(path) != old.get(path)),
                         key=lambda path: (now.get(path, 0), old.get(path, 0)))  # fmt: skip
        left: dict[str, bytes | None] = {}
        coins: dict[int, bool] = {}
        for path in changed:
            # A name that went with a file to another name is one change: a rename happens or it does not.
            node = now.get(path) or old[path]
            if node not in coins:
                coins[node] = chance.happens(0.5)
            survivor = now.get(path) if coins[node] else old.get(path)
            left[path] = None if survivor is None else self._content(survivor, path, now, chance)
        for path in sorted(now, key=lambda path: now[path]):
            if path not in left and _read(path) != self._bytes.get(now[path], b""):
                left[path] = self._content(now[path], path, now, chance)
        for path, data in left.items():
            Path(path).unlink(missing_ok=True)
            if data is not None:
                Path(path).write_bytes(data)
                Path(path).chmod(0o600)
        self.settle()
        return len(left)

    def _content(self, node: int, path: str, now: dict[str, int], chance: Chance) -> bytes:
        certain = self._bytes.get(node, b"")
        at = path if now.get(path) == node else next((name for name, found in now.items() if found == node), "")
        if not at:
            return certain
        written = _read(at)
        if written == certain:
            return written
        return chance.choose((certain, written, _torn(certain, written, chance)))


def _torn(certain: bytes, written: bytes, chance: Chance) -> bytes:
    """Return a file some of whose sectors were written: bytes that were certain and not written again stay."""
    more = len(written) - len(certain)
    length = len(certain) + chance.below(more + 1) if more > 0 else len(written)
    old = certain.ljust(length, b"\0")
    places = range(0, length, SECTOR)
    return b"".join((written if chance.happens(0.5) else old)[at : at + SECTOR] for at in places)[:length]


def _read(path: str) -> bytes:
    # A path object and a buffered file for every fsync are a tenth of a seed's time.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _flat(names: dict[str, dict[str, int]]) -> dict[str, int]:
    return {path: node for listed in names.values() for path, node in listed.items()}


def _files(root: Path) -> dict[str, dict[str, int]]:
    """Return the inode of every file, by path, by directory."""
    found: dict[str, dict[str, int]] = {}
    places = [str(root)]
    while places:
        place = places.pop()
        found[place] = {}
        for entry in os.scandir(place):
            if entry.is_dir(follow_symlinks=False):
                places.append(entry.path)
            else:
                found[place][entry.path] = entry.inode()
    return found


@contextmanager
def watched(disks: list[Disk]) -> Iterator[None]:
    """Let every fsync below the roots of `disks` be an event of the simulation."""
    real = os.fsync
    depth = len(disks[0].root.parts)

    def fsync(descriptor: Any) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - as above
        root = "/".join(path.split("/", depth)[:depth])
        disk = next((disk for disk in disks if str(disk.root) == root), None)
        if disk:
            disk.synced(descriptor, path)
        else:
            real(descriptor)

    os.fsync = fsync  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = real


class _Tables:
    """The journal's three tables."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.outbox: dict[bytes, Outgoing] = {}
        self.seen: dict[tuple[str, bytes], int] = {}

    def copy(self) -> "_Tables":
        other = _Tables()
        other.entries, other.outbox, other.seen = dict(self.entries), dict(self.outbox), dict(self.seen)
        return other

    def apply(self, op: tuple[Any, ...]) -> None:
        """Carry out one change."""
        match op:
            case ("put", key, value):
                self.entries[key] = value
            case ("delete", key):
                self.entries.pop(key, None)
            case ("enqueue", id, *rest):
                self.outbox[id] = Outgoing(id, *rest)
            case ("drop", id):
                self.outbox.pop(id, None)
            case ("mark", sender, id, now):
                self.seen[sender, id] = now
            case ("forget", before):
                self.seen = {key: time for key, time in self.seen.items() if time >= before}


class Storage:
    """The journal's medium: records that are on disk, and a tail that is only written."""

    def __init__(self) -> None:
        self._base = _Tables()
        self._synced: list[bytes] = []
        self._tail: list[bytes] = []
        self.full = False

    def write(self, ops: list[tuple[Any, ...]]) -> None:
        """Append one record."""
        body = msgspec.msgpack.encode(ops)
        self._tail.append(sha256(body) + body)

    def sync(self) -> None:
        """Put everything that is written on disk."""
        self._synced += self._tail
        self._tail = []

    def crash(self, chance: Chance) -> int:
        """Keep a beginning of the tail, its last record perhaps torn; return whether anything was in it, as 0 or 1."""
        cut = min(1, len(self._tail))
        kept = self._tail[: chance.below(len(self._tail) + 1)]
        torn = self._tail[len(kept) : len(kept) + 1]
        self._synced += [*kept, *(record[: chance.below(len(record))] for record in torn)]
        self._tail = []
        return cut

    def read(self) -> _Tables:
        """Return the tables after the last whole record; what follows a torn one was never acknowledged."""
        tables = self._base
        for record in (*self._synced, *self._tail):
            if sha256(record[32:]) != record[:32]:
                break
            for op in msgspec.msgpack.decode(record[32:]):
                tables.apply(tuple(op))
        self._base, self._synced, self._tail = tables, [], []
        return tables.copy()


class SimulatedJournal:
    """A `Journal` over a `Storage`; one record per transaction, on disk before the transaction ends."""

    def __init__(self, storage: Storage, point: Point = lambda name: None, again: Point = lambda name: None) -> None:
        self._storage, self._point, self._again = storage, point, again
        self._tables = storage.read()
        self._group: list[_Working] | None = None

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open the one transaction (see Journal)."""
        return _Opened(self)

    @contextmanager
    def group(self) -> Iterator[None]:
        """Write everything in this block as one record (see Journal)."""
        self._group = []
        try:
            yield
            ops = [op for working in self._group for op in working.ops]
            if ops:
                self._commit(ops)
        except BaseException:
            for working in reversed(self._group):
                working.undo()
            raise
        finally:
            self._group = None

    def _keep(self, working: "_Working") -> None:
        if self._group is not None:
            self._group.append(working)
        elif working.ops:
            self._commit(working.ops)

    def _commit(self, ops: list[tuple[Any, ...]]) -> None:
        if self._storage.full:
            raise TryLater("The journal cannot be written: disk is full.", "Free space.", code="E-DISK")
        self._point("journal.write")
        self._storage.write(ops)
        self._point("journal.sync")
        self._storage.sync()
        self._point("journal.synced")

    def _write(self, op: tuple[Any, ...]) -> None:
        self._commit([op])
        self._tables.apply(op)

    def pending(self) -> list[Outgoing]:
        """Return the outbox, oldest first."""
        return list(self._tables.outbox.values())

    def outgoing(self, id: bytes) -> Outgoing | None:
        """Return one message of the outbox, or None."""
        return self._tables.outbox.get(id)

    def acknowledge(self, id: bytes, by: str) -> bool:
        """Remove a message from the outbox if `by` is whom it was for."""
        message = self._tables.outbox.get(id)
        if message is None or message.to != by:
            return False
        with _Opened(self) as working:
            working.drop(id)
        return True

    def forget(self, before: int) -> None:
        """Forget which messages were handled before wall time `before`."""
        if any(time < before for time in self._tables.seen.values()):
            self._write(("forget", before))

    def unacknowledged(self) -> list[Outgoing]:
        """Return the outbox; for oracles, so that a bug planted in `pending` does not blind them."""
        return list(self._tables.outbox.values())

    def handled(self, sender: str, id: bytes) -> bool:
        """Say whether a durable message was handled; for oracles, outside any transaction."""
        return (sender, id) in self._tables.seen

    def get(self, key: str) -> bytes | None:
        """Return what is kept; for oracles, outside any transaction."""
        return self._tables.entries.get(key)

    def scan(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return what is kept under a prefix; for oracles, outside any transaction."""
        return sorted(pair for pair in self._tables.entries.items() if pair[0].startswith(prefix))

    def close(self) -> None:
        """Nothing is held."""


class _Opened:
    """The one transaction of a journal, from its begin to its commit. A generator would take twice the time."""

    def __init__(self, journal: SimulatedJournal) -> None:
        self._journal = journal
        self._working = _Working(journal._tables, journal._again)

    def __enter__(self) -> "_Working":
        self._journal._point("journal.begin")
        return self._working

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._working.undo()
        else:
            try:
                self._journal._keep(self._working)
            except BaseException:
                self._working.undo()
                raise


class _Working:
    """A transaction: changes take effect at once and are taken back when it fails."""

    def __init__(self, tables: _Tables, again: Point) -> None:
        self._tables, self._again = tables, again
        self.ops: list[tuple[Any, ...]] = []
        self._before: list[tuple[dict[Any, Any], Any, Any]] = []
        self._outbox: dict[bytes, Outgoing] | None = None

    def _change(self, table: dict[Any, Any], key: object, op: tuple[Any, ...]) -> None:
        if table is self._tables.outbox:
            # Its order counts, so it is taken back as a whole.
            self._outbox = dict(table) if self._outbox is None else self._outbox
        else:
            self._before.append((table, key, table.get(key)))
        self.ops.append(op)
        self._tables.apply(op)

    def undo(self) -> None:
        """Take every change back."""
        for table, key, value in reversed(self._before):
            table.pop(key, None)
            if value is not None:
                table[key] = value
        if self._outbox is not None:
            self._tables.outbox = self._outbox

    def get(self, key: str) -> bytes | None:
        return self._tables.entries.get(key)

    def put(self, key: str, value: bytes) -> None:
        self._change(self._tables.entries, key, ("put", key, bytes(value)))

    def delete(self, key: str) -> None:
        self._change(self._tables.entries, key, ("delete", key))

    def scan(self, prefix: str) -> list[tuple[str, bytes]]:
        return sorted(pair for pair in self._tables.entries.items() if pair[0].startswith(prefix))

    def enqueue(self, message: Outgoing) -> None:
        row = (message.id, message.to, message.kind, message.header, message.body)
        self._change(self._tables.outbox, message.id, ("enqueue", *row))

    def waiting(self, message: Outgoing) -> tuple[int, bool]:
        return waiting(self._tables.outbox, message)

    def withdraw(self, to: str) -> list[bytes]:
        ids = [id for id, message in self._tables.outbox.items() if message.to == to]
        for id in ids:
            self.drop(id)
        return ids

    def drop(self, id: bytes) -> None:
        """Take one message out of the outbox."""
        self._change(self._tables.outbox, id, ("drop", id))

    def handled(self, sender: str, id: bytes) -> bool:
        return (sender, id) in self._tables.seen

    def mark_handled(self, sender: str, id: bytes, now: int) -> None:
        if (sender, id) in self._tables.seen:
            self._again(sender)
        self._change(self._tables.seen, (sender, id), ("mark", sender, id, now))
