"""A disk that is full or fails: the role goes read-only, says so, and comes back when the disk does.

While it is read-only nothing is decided, so nothing is acknowledged: a durable message is answered `retry-later`, a
timer or an outcome waits. A probe writes as much as an event may and decides when it is over. A reserved file of 64 MiB
is given back only when the daemon ends while the disk is full. Then the journal can be closed cleanly.

Rules: commands that only read are answered all the while. Leaves to others: what counts as a disk's fault
(secagg.daemon.faults), when to probe and what waits (secagg.daemon.loop). Source: docs/transport.md "Crash rules".
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from secagg.daemon.faults import explained, fault
from secagg.daemon.journal import Journal
from secagg.errors import TryLater

RESERVED = 64 * 2**20
"""Bytes kept for a clean end: far more than the journal's write-ahead log has when it is closed."""

PROBE = 2**20
"""Bytes that must be writable again: the largest chunk of an upload."""


class Storage:
    """What a daemon knows of its disk; `since` is wall time, None while it may be written."""

    def __init__(self, journal: Journal, wall: Callable[[], int], directory: Path | None = None) -> None:
        self.since: int | None = None
        self.cause = ""
        self._journal, self._wall = journal, wall
        self._reserve = directory / "reserve" if directory else None
        self._probe = directory / "probe" if directory else None

    @property
    def read_only(self) -> bool:
        """Say whether nothing may be written now."""
        return self.since is not None

    def reserve(self) -> None:
        """Set the reserve aside.

        Raises: OSError when there is no room for it, in which case there is none for anything else either.
        """
        if self._reserve is None or (self._reserve.exists() and self._reserve.stat().st_size == RESERVED):
            return
        descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVED)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def take(self, error: object) -> bool:
        """Go read-only if the disk is at fault; say whether it was writable before."""
        cause = fault(error)
        if not cause:
            return False
        self.cause = cause
        if self.read_only:
            return False
        self.since = self._wall()
        return True

    @contextmanager
    def needed(self) -> Iterator[None]:
        """Do what a daemon cannot begin without; without room it ends as one that may be started again.

        Raises: TryLater (`E-DISK`) when the disk is at fault, and what else was raised.
        """
        try:
            yield
        except (TryLater, OSError) as error:
            if full := explained(error):
                self.take(error)
                raise full from None
            raise

    def recovered(self) -> bool:
        """Write what an event may write; if the disk takes it, the role is no longer read-only."""
        try:
            with self._journal.transaction() as transaction:
                transaction.put("probe", b"")
                transaction.delete("probe")
            self._write_probe()
            self.reserve()
        except (TryLater, OSError) as error:
            self.cause = fault(error) or str(error)
            return False
        self.since, self.cause = None, ""
        return True

    def release(self) -> None:
        """Give the reserve back, if the daemon ends while nothing can be written."""
        if self.read_only and self._reserve:
            with suppress(OSError):
                self._reserve.unlink(missing_ok=True)

    def _write_probe(self) -> None:
        if self._probe is None:
            return
        try:
            with self._probe.open("wb") as file:
                file.write(bytes(PROBE))
                file.flush()
                os.fsync(file.fileno())
        finally:
            with suppress(OSError):
                self._probe.unlink(missing_ok=True)
