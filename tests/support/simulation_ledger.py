"""The ledger of inputs of a node that may crash: what is written in a block is on disk when the block ends, or not.

Leaves to others: what is written (secagg.daemon.inputs, of which this keeps the contract), what a crash leaves of the
journal and of files (simulation_disk).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from secagg.daemon.inputs import Change
from secagg.ids import RoundId
from secagg.protocol.inputs import Counted
from support.memory import MemoryInputs


class SimulatedInputs(MemoryInputs):
    """A ledger that outlives every life of its node; `writable` is false while its disk is full."""

    def __init__(self, key: bytes, writer: bytes, point: Callable[[str], None]) -> None:
        super().__init__(key, writer)
        self._point = point
        self._depth = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep all of the block, or nothing: a life may end before, which keeps nothing, or after."""
        if self._depth:
            yield
            return
        before = self.revision
        self._depth = 1
        try:
            with super().hold():
                yield
                if self.revision != before:
                    self._point("ledger.sync")
        finally:
            self._depth = 0
        if self.revision != before:
            self._point("ledger.synced")

    def count(self, entry: Counted) -> None:
        """Write an entry, on disk when this returns."""
        with self.hold():
            super().count(entry)

    def change(self, round_id: RoundId, function: Change) -> Counted | None:
        """Change an entry, on disk when this returns."""
        with self.hold():
            return super().change(round_id, function)
