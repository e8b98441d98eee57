"""An append-only log: append leaves, publish a signed checkpoint, prove entries.

Rules: a checkpoint is published only after what it covers is stored; proofs are against the published checkpoint. The
in-memory log serves rounds in process; the durable one is in tiles.
"""

from typing import Protocol

from secagg.crypto.sign import SigningKey
from secagg.log.checkpoint import Checkpoint, sign_checkpoint
from secagg.log.tree import consistency_proof, inclusion_proof, leaf_hash, root
from secagg.log.witness import LogProof


class Log(Protocol):
    """What every role asks of a log."""

    def append(self, leaf: bytes) -> int:
        """Add a leaf and return its index; it counts once published."""
        ...

    def publish(self) -> bytes:
        """Sign and return a checkpoint over everything appended."""
        ...

    def prove(self, index: int, old_size: int = 0) -> LogProof:
        """Prove entry `index` and consistency from `old_size` against the published checkpoint."""
        ...

    def leaf(self, index: int) -> bytes:
        """Return an entry."""
        ...

    @property
    def size(self) -> int:
        """Return how many entries were appended."""
        ...


class MemoryLog:
    """A log in a list."""

    def __init__(self, origin: str, name: str, key: SigningKey) -> None:
        self._origin, self._name, self._key = origin, name, key
        self._leaves: list[bytes] = []
        self._hashes: list[bytes] = []
        self._published = 0
        self.checkpoint = b""

    def append(self, leaf: bytes) -> int:
        """Add a leaf and return its index."""
        self._leaves.append(leaf)
        self._hashes.append(leaf_hash(leaf))
        return len(self._leaves) - 1

    def publish(self) -> bytes:
        """Sign and return a checkpoint over everything appended."""
        self._published = len(self._leaves)
        found = Checkpoint(origin=self._origin, size=self._published, root=root(self._hashes))
        self.checkpoint = sign_checkpoint(found, self._name, self._key)
        return self.checkpoint

    def prove(self, index: int, old_size: int = 0) -> LogProof:
        """Prove entry `index` and consistency from `old_size` against the published checkpoint."""
        covered = self._hashes[: self._published]
        return LogProof(
            index=index, checkpoint=self.checkpoint, inclusion=inclusion_proof(covered, index), old_size=old_size,
            consistency=consistency_proof(covered, old_size),
        )  # fmt: skip

    def leaf(self, index: int) -> bytes:
        """Return an entry."""
        return self._leaves[index]

    @property
    def size(self) -> int:
        """Return how many entries were appended."""
        return len(self._leaves)
