"""A party's memory in a list: for rounds in process and tests.

Rules: those of secagg.protocol.memory, whose contracts it fits. Leaves to others: a memory that lasts (daemon.ledger).
"""

from secagg.ids import RoundId
from secagg.log.checkpoint import Checkpoint
from secagg.protocol.binding import seats_digest
from secagg.protocol.inputs import Counted
from secagg.protocol.memory import Accepted, AttemptOver, Opened, Record, Summed, Witnessed


class Notebook:
    """Memory in a list: for rounds in process and tests."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def accepted(self) -> tuple[Accepted, ...]:
        """Return every manifest this node took part in."""
        return tuple(record for record in self.records if isinstance(record, Accepted))

    def opened(self) -> tuple[Opened, ...]:
        """Return every opening this node released for."""
        return tuple(record for record in self.records if isinstance(record, Opened))

    def counted(self, round_id: RoundId) -> Counted | None:
        """Return this node's newest entry of an attempt."""
        found = [record for record in self.records if isinstance(record, Counted) and record.round == round_id]
        return found[-1] if found else None

    def entries(self) -> tuple[Counted, ...]:
        """Return the newest entry of every attempt."""
        return tuple({r.round: r for r in self.records if isinstance(r, Counted)}.values())

    def summed(self, key: bytes, tag: bytes) -> tuple[Summed, ...]:
        """Return the sets over which the input `tag` of the seat with this key was opened."""
        found = (record for record in self.records if isinstance(record, Summed))
        mine = (one for one in found if (key, tag) in zip((seat.key for seat in one.seats), one.inputs, strict=True))
        return tuple({seats_digest(one.seats): one for one in mine}.values())

    def over(self, round_id: RoundId, manifest: bytes) -> AttemptOver | None:
        """Return the word that an attempt is over for this trustee."""
        found = (record for record in self.records if isinstance(record, AttemptOver))
        return next((one for one in found if (one.round, one.manifest) == (round_id, manifest)), None)

    def last(self, origin: str) -> Checkpoint | None:
        """Return the last checkpoint of a log that this node accepted."""
        seen = [record for record in self.records if isinstance(record, Witnessed) and record.origin == origin]
        return Checkpoint(origin=origin, size=seen[-1].size, root=seen[-1].root) if seen else None
