"""An append-only log: append leaves, publish a signed checkpoint, prove entries.

Rules: a checkpoint is published only after what it covers is stored; proofs are against the published checkpoint. The
in-memory log serves rounds in process; the one on disk is durable.TileLog.

An entry is proven against the published checkpoint, and anybody with the log's public key can follow:

>>> key = SigningKey.from_private_bytes(bytes(32))
>>> log = MemoryLog("fed/rounds", "fed/rounds", key)
>>> log.append(b"first"), log.append(b"second")
(0, 1)
>>> print(log.publish().decode().splitlines()[1])
2
>>> proof = log.prove(1)
>>> proof.inclusion == (leaf_hash(b"first"),)
True
"""

from typing import Protocol

from secagg.crypto.sign import SigningKey
from secagg.errors import BadInput
from secagg.log.checkpoint import Checkpoint, add_cosignatures, sign_checkpoint
from secagg.log.growing import Tree
from secagg.log.tiles import check_entry
from secagg.log.tree import leaf_hash
from secagg.log.witness import LogProof


class Log(Protocol):
    """What every role asks of a log."""

    checkpoint: bytes

    def append(self, leaf: bytes) -> int:
        """Add a leaf and return its index; it counts once published."""
        ...

    def publish(self) -> bytes:
        """Sign and return a checkpoint over everything appended; the same as before when nothing was."""
        ...

    def add_cosignatures(self, lines: tuple[bytes, ...]) -> bytes:
        """Append verified witness lines to the published checkpoint and return it."""
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


def publish_entry(log: Log, leaf: bytes, old_sizes: tuple[int, ...]) -> tuple[LogProof, ...]:
    """Append a statement, publish the log at once, and return its proofs for witnesses that hold these sizes."""
    index = log.append(leaf)
    log.publish()
    return tuple(log.prove(index, size) for size in old_sizes)


class MemoryLog:
    """A log in a list."""

    def __init__(self, origin: str, name: str, key: SigningKey) -> None:
        self._origin, self._name, self._key = origin, name, key
        self._leaves: list[bytes] = []
        self._tree = Tree()
        self._published = 0
        self.checkpoint = b""

    def append(self, leaf: bytes) -> int:
        """Add a leaf and return its index.

        Raises: BadInput when it is longer than 65,535 bytes.
        """
        check_entry(leaf)
        self._leaves.append(leaf)
        self._tree.append(leaf_hash(leaf))
        return self.size - 1

    def publish(self) -> bytes:
        """Sign and return a checkpoint over everything appended."""
        if not self.checkpoint or self._published < self.size:
            self._published = self.size
            found = Checkpoint(origin=self._origin, size=self._published, root=self._tree.root())
            self.checkpoint = sign_checkpoint(found, self._name, self._key)
        return self.checkpoint

    def add_cosignatures(self, lines: tuple[bytes, ...]) -> bytes:
        """Append verified witness lines to the published checkpoint and return it."""
        self.checkpoint = add_cosignatures(self.checkpoint, lines)
        return self.checkpoint

    def prove(self, index: int, old_size: int = 0) -> LogProof:
        """Prove entry `index` and consistency from `old_size` against the published checkpoint.

        Raises: BadInput when either lies outside what is published.
        """
        return LogProof(
            index=index, checkpoint=self.checkpoint, inclusion=self._tree.inclusion(index, self._published),
            old_size=old_size, consistency=self._tree.consistency(old_size, self._published),
        )  # fmt: skip

    def leaf(self, index: int) -> bytes:
        """Return an entry.

        Raises: BadInput when there is none.
        """
        if not 0 <= index < self.size:
            raise BadInput(f"There is no entry {index} in a log of {self.size}.", "Count from 0.")
        return self._leaves[index]

    @property
    def size(self) -> int:
        """Return how many entries were appended."""
        return self._tree.size
