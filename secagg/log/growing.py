"""A Merkle tree that grows: every complete subtree is hashed once, so that roots and proofs take O(log n).

Rules: `levels[k][i]` is the hash of leaves [i·2^k, (i+1)·2^k); exactly what tlog-tiles stores for k = 0, 8, 16, ….
Leaves to others: verification (tree). Source: RFC 6962 §2.1.
"""

from secagg.crypto.derive import sha256
from secagg.errors import BadInput
from secagg.log.tree import node_hash


class Tree:
    """The hashes of a log; `size` leaves."""

    def __init__(self) -> None:
        self.levels: list[list[bytes]] = [[]]

    @property
    def size(self) -> int:
        """Return the number of leaves."""
        return len(self.levels[0])

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        level, found = 0, leaf
        self.levels[0].append(found)
        while len(self.levels[level]) % 2 == 0:
            found = node_hash(self.levels[level][-2], found)
            level += 1
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level].append(found)

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves (all by default)."""
        size = self.size if size is None else size
        return self._hash(0, size) if size else sha256(b"")

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the siblings of leaf `index` in the tree of the first `size` leaves, from the leaf up.

        Raises: BadInput when there is no such leaf.
        """
        if not 0 <= index < size <= self.size:
            raise BadInput(f"Entry {index} is not in a published log of {size}.", "Publish before proving.")
        proof: list[bytes] = []
        low, high = 0, size
        while high - low > 1:
            at = low + _split(high - low)
            proof.append(self._hash(at, high) if index < at else self._hash(low, at))
            low, high = (low, at) if index < at else (at, high)
        return tuple(reversed(proof))

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """Return the proof that the first `old` leaves are unchanged in the first `size`; empty for 0 or all.

        Raises: BadInput when `old` lies outside.
        """
        if not 0 <= old <= size <= self.size:
            raise BadInput(f"A published log of {size} entries never had {old}.", "Check which log was asked.")
        if old in (0, size):
            return ()
        proof: list[bytes] = []
        low, high = 0, size
        while old != high:
            at = low + _split(high - low)
            proof.append(self._hash(at, high) if old <= at else self._hash(low, at))
            low, high = (low, at) if old <= at else (at, high)
        return (*([self._hash(low, high)] if low else []), *reversed(proof))

    def _hash(self, low: int, high: int) -> bytes:
        """Return the hash of leaves [low, high), where `low` is a multiple of the next power of two."""
        count = high - low
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self.levels[level][low >> level]
        at = low + _split(count)
        return node_hash(self._hash(low, at), self._hash(at, high))


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
