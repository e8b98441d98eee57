"""The directory log on disk: appends what the journal decided, publishes, and proves entries as of any checkpoint.

Rules: appending is repeatable, by index, so that a crash between journal and log loses and doubles nothing. A log that
holds another entry than the journal decided is evidence and stops the key server. Every signed roster, and what else an
entry names, is kept beside the log by its SHA-256, for auditors.
Leaves to others: what the statements say (records.py), the format (secagg.log).
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.daemon.vault import write_private
from secagg.errors import VerificationFailed
from secagg.log.checkpoint import read_checkpoint
from secagg.log.growing import Tree
from secagg.log.log import Log
from secagg.log.tree import leaf_hash
from secagg.log.witness import LogProof

LOG, ROSTERS = "log", "rosters"
"""Directories in the state directory: tiles and checkpoint of the log, signed rosters and other files by digest."""


class Published(Struct, frozen=True):
    """A checkpoint of the directory: how many entries, and the signed note."""

    size: int
    note: bytes


class Directory:
    """The log and the hashes of all its entries; used by the loop and by one worker at a time."""

    def __init__(self, log: Log, rosters: Path) -> None:
        self._log, self._rosters = log, rosters
        self._lock = Lock()
        self._tree = Tree()
        for index in range(log.size):
            self._tree.append(leaf_hash(log.leaf(index)))

    @property
    def size(self) -> int:
        """Return how many entries the log holds."""
        return self._log.size

    def publish(self, entries: Sequence[tuple[int, bytes]], files: Sequence[bytes]) -> Published:
        """Keep the files that entries name, append what is missing of `entries` (index, leaf), publish.

        Raises: VerificationFailed when the log holds something else at an index.
        """
        with self._lock:
            for data in files:
                self._keep(data)
            for index, leaf in entries:
                self._append(index, leaf)
            note = self._log.publish()
            return Published(read_checkpoint(note).size, note)

    @property
    def arriving(self) -> Path:
        """Return the directory of files that are still on their way and may come to lie beside the log."""
        return self._rosters / "arriving"

    def path(self, digest: bytes) -> Path:
        """Return where the file with this SHA-256 lies beside the log, or would lie."""
        return self._rosters / digest.hex()

    def keep(self, data: bytes) -> None:
        """Keep a file beside the log that a later entry will name."""
        with self._lock:
            self._keep(data)

    def prove(self, index: int, note: bytes, old_size: int) -> LogProof:
        """Prove entry `index` and consistency from `old_size` against an earlier checkpoint of this log.

        Raises: BadInput when either lies outside that checkpoint.
        """
        size = read_checkpoint(note).size
        with self._lock:
            return LogProof(
                index=index, checkpoint=note, inclusion=self._tree.inclusion(index, size), old_size=old_size,
                consistency=self._tree.consistency(old_size, size),
            )  # fmt: skip

    def leaf(self, index: int) -> bytes:
        """Return an entry."""
        with self._lock:
            return self._log.leaf(index)

    def _keep(self, data: bytes) -> None:
        path = self.path(sha256(data))
        if not path.exists():
            write_private(path, data)

    def _append(self, index: int, leaf: bytes) -> None:
        if index == self._log.size:
            self._log.append(leaf)
            self._tree.append(leaf_hash(leaf))
        elif index > self._log.size or self._log.leaf(index) != leaf:
            raise VerificationFailed(
                f"Entry {index} of the directory log is not what this key server decided.",
                "Stop it: its journal and its log are of different backups.",
                code="E-FORK",
            )
