"""The journal and the ledger of inputs in memory, for tests: what is kept outlives `reopened`, and nothing else.

Rules: those of the contracts (secagg.daemon.journal, secagg.daemon.inputs), which one test each holds both against.
Leaves to others: what a disk does to what is not synced (the simulator's journal).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from secagg.crypto.secret import Secret
from secagg.daemon.inputs import Change, InputKeys, check_again
from secagg.daemon.journal import Outgoing, Transaction, unwritable
from secagg.ids import RoundId
from secagg.protocol.failing import Failed
from secagg.protocol.inputs import Allowed, Counted


class _Memory:
    """What a MemoryJournal holds; also the transaction on it."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.outbox: dict[bytes, Outgoing] = {}
        self.seen: dict[tuple[str, bytes], int] = {}

    def copy(self) -> "_Memory":
        other = _Memory()
        other.entries, other.outbox, other.seen = dict(self.entries), dict(self.outbox), dict(self.seen)
        return other

    def get(self, key: str) -> bytes | None:
        return self.entries.get(key)

    def put(self, key: str, value: bytes) -> None:
        self.entries[key] = bytes(value)

    def delete(self, key: str) -> None:
        self.entries.pop(key, None)

    def scan(self, prefix: str) -> list[tuple[str, bytes]]:
        return sorted(pair for pair in self.entries.items() if pair[0].startswith(prefix))

    def enqueue(self, message: Outgoing) -> None:
        self.outbox[message.id] = message

    def waiting(self, message: Outgoing) -> tuple[int, bool]:
        return waiting(self.outbox, message)

    def withdraw(self, to: str) -> list[bytes]:
        ids = [id for id, message in self.outbox.items() if message.to == to]
        for id in ids:
            del self.outbox[id]
        return ids

    def handled(self, sender: str, id: bytes) -> bool:
        return (sender, id) in self.seen

    def mark_handled(self, sender: str, id: bytes, now: int) -> None:
        self.seen[sender, id] = now


def waiting(outbox: Mapping[bytes, Outgoing], message: Outgoing) -> tuple[int, bool]:
    """Return how many messages of `outbox` are for the receiver of one, and if one of them says the same."""
    waits = [other for other in outbox.values() if other.to == message.to]
    said = (message.kind, message.header, message.body)
    return len(waits), any((other.kind, other.header, other.body) == said for other in waits)


class MemoryJournal:
    """The journal of simulations and tests; `writable = False` is a full disk, `reopened` a restart."""

    def __init__(self) -> None:
        self._kept = _Memory()
        self._grouping = False
        self.writable = True

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open the one transaction (see Journal)."""
        working = self._kept.copy()
        yield working
        self._check_writable()
        self._kept = working

    @contextmanager
    def group(self) -> Iterator[None]:
        """Keep everything in this block at once (see Journal)."""
        before, self._kept, self._grouping = self._kept, self._kept.copy(), True
        try:
            yield
            self._grouping = False
            self._check_writable()
        except BaseException:
            self._kept = before
            raise
        finally:
            self._grouping = False

    def _check_writable(self) -> None:
        # As with SQLite, a full disk is met at the commit.
        if not (self.writable or self._grouping):
            raise unwritable("disk is full")

    def pending(self) -> list[Outgoing]:
        """Return the outbox, oldest first."""
        return list(self._kept.outbox.values())

    def outgoing(self, id: bytes) -> Outgoing | None:
        """Return one message of the outbox, or None."""
        return self._kept.outbox.get(id)

    def acknowledge(self, id: bytes, by: str) -> bool:
        """Remove a message from the outbox if `by` is whom it was for."""
        self._check_writable()
        message = self._kept.outbox.get(id)
        if message is None or message.to != by:
            return False
        del self._kept.outbox[id]
        return True

    def forget(self, before: int) -> None:
        """Forget which messages were handled before wall time `before`."""
        self._kept.seen = {key: time for key, time in self._kept.seen.items() if time >= before}

    def close(self) -> None:
        """Nothing is held."""

    def reopened(self) -> "MemoryJournal":
        """Return a journal over what was kept, as after a restart."""
        again = MemoryJournal()
        again._kept = self._kept.copy()
        return again


class MemoryInputs:
    """The ledger of simulations and tests; `writable = False` is a full disk."""

    def __init__(self, key: bytes = bytes(32), writer: bytes = b"", shared: "MemoryInputs | None" = None) -> None:
        """`shared` is another node's, whose entries are the same ones."""
        self.keys = InputKeys(Secret(key))
        self._writer = writer
        self._kept: _Inputs = shared._kept if shared else _Inputs()
        self.writable = True

    @property
    def revision(self) -> int:
        """Return how often this node wrote."""
        return self._kept.revisions.get(self._writer, 0)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep all of the block, or nothing (see InputLedger)."""
        before = self._kept.copy()
        try:
            yield
            if not self.writable and before != self._kept:
                raise unwritable("disk is full")
        except BaseException:
            self._kept.take(before)
            raise

    def entries(self) -> tuple[Counted, ...]:
        """Return every entry."""
        return tuple(self._kept.entries.values())

    def find(self, round_id: RoundId) -> Counted | None:
        """Return this node's entry of an attempt."""
        return self._kept.entries.get((self._writer, round_id))

    def count(self, entry: Counted) -> None:
        """Write an entry (see InputLedger)."""
        check_again(self.find(entry.round), entry)
        self._write(entry)

    def change(self, round_id: RoundId, function: Change) -> Counted | None:
        """Change an entry (see InputLedger)."""
        before = self.find(round_id)
        after = function(before) if before else None
        if after and after != before:
            self._write(after)
        return after

    def allowed(self) -> tuple[Allowed, ...]:
        """Return what persons allowed."""
        return tuple(self._kept.allowed)

    def allow(self, federation: str, root: bytes, job: str, overlap: bool, now: int) -> Allowed:
        """Write that a person allows a job (see InputLedger)."""
        with self.hold():
            made = Allowed(federation, root, job, overlap, len(self._kept.entries), now)
            self._kept.allowed.append(made)
            self._kept.revisions[self._writer] = self.revision + 1
        return made

    def failures(self) -> tuple[Failed, ...]:
        """Return every failure."""
        return tuple(self._kept.failures)

    def fail(self, found: Failed) -> None:
        """Write a failure (see InputLedger)."""
        with self.hold():
            self._kept.failures.append(found)
            self._kept.revisions[self._writer] = self.revision + 1

    def tag(self, federation: str, identity: bytes) -> bytes:
        """Return `keys.tag`."""
        return self.keys.tag(federation, identity)

    def close(self) -> None:
        """Nothing is held."""

    def _write(self, entry: Counted) -> None:
        with self.hold():
            self._kept.entries[self._writer, entry.round] = entry
            self._kept.revisions[self._writer] = self.revision + 1


class _Inputs:
    def __init__(self) -> None:
        self.entries: dict[tuple[bytes, RoundId], Counted] = {}
        self.allowed: list[Allowed] = []
        self.failures: list[Failed] = []
        self.revisions: dict[bytes, int] = {}

    def copy(self) -> "_Inputs":
        other = _Inputs()
        other.take(self)
        return other

    def take(self, other: "_Inputs") -> None:
        self.entries, self.allowed = dict(other.entries), list(other.allowed)
        self.failures, self.revisions = list(other.failures), dict(other.revisions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Inputs) and self.revisions == other.revisions

    __hash__ = None  # type: ignore[assignment]  # changes all the time
