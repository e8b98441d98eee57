"""What a node or a trustee has taken part in, opened and witnessed, kept in its journal for as long as it exists.

Rules (protocol §3): records are only ever appended, and numbered, so that their order survives a restart. They are
written in the turn that keeps the phase depending on them. They hold no secret and so are not sealed. Of a log only the
last checkpoint matters, so it has one place per origin and never goes back. What goes into the ledger of inputs is
written there before the turn is kept, and the journal keeps how often this node wrote.
Leaves to others: what a record forbids (secagg.protocol.memory), the transaction (secagg.daemon.turn), the ledger of
inputs (secagg.daemon.inputs).
"""

from collections.abc import Iterable
from typing import TypeVar

from secagg.daemon.inputs import Change, InputLedger, require
from secagg.daemon.turn import Turn
from secagg.errors import VerificationFailed
from secagg.ids import RoundId
from secagg.log.checkpoint import Checkpoint
from secagg.protocol.binding import seats_digest
from secagg.protocol.failing import Failed
from secagg.protocol.inputs import Counted
from secagg.protocol.memory import Accepted, AttemptOver, Opened, Record, Summed, Witnessed
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK

ACCEPTED, OPENED, WITNESSED = "ledger/accepted/", "ledger/opened/", "ledger/witnessed/"
SUMMED, INPUT, OVER = "ledger/summed/", "ledger/input/", "ledger/over/"
WRITTEN = "ledger/inputs"
"""Where it stands how often this node wrote in the ledger of inputs."""

_NEXT = "ledger/next"
_DIGITS = 16
"""Numbers are written with this many digits, so that the order of keys is their order."""

_T = TypeVar("_T")


class Ledger:
    """The `Memory` of a member during one turn."""

    def __init__(self, turn: Turn, inputs: InputLedger | None = None) -> None:
        """Without `inputs`, no record of an input is taken or given."""
        self._turn, self._inputs = turn, inputs

    @property
    def size(self) -> int:
        """Return how many records there are; it only ever grows."""
        return int(self._turn.get(_NEXT) or b"0")

    def accepted(self) -> tuple[Accepted, ...]:
        """Return every manifest this node took part in, oldest first."""
        return self._all(Accepted, ACCEPTED)

    def opened(self) -> tuple[Opened, ...]:
        """Return every opening this node released for, oldest first."""
        return self._all(Opened, OPENED)

    def counted(self, round_id: RoundId) -> Counted | None:
        """Return this node's entry of an attempt in the ledger of inputs."""
        return self._inputs.find(round_id) if self._inputs else None

    def summed(self, key: bytes, tag: bytes) -> tuple[Summed, ...]:
        """Return the sets over which this trustee opened the input `tag` of the seat with this key, each set once."""
        numbers = (number for _, number in self._turn.scan(_input(key, tag)))
        kept = (self._turn.get(SUMMED + number.decode()) for number in numbers)
        return tuple(decode(Summed, value, LIMIT_BULK) for value in kept if value is not None)

    def over(self, round_id: RoundId, manifest: bytes) -> AttemptOver | None:
        """Return the word that an attempt is over for this trustee, if it gave it."""
        kept = self._turn.get(_attempt(round_id, manifest))
        return decode(AttemptOver, kept, LIMIT_BULK) if kept else None

    def last(self, origin: str) -> Checkpoint | None:
        """Return the last checkpoint of a log that this node accepted."""
        kept = self._turn.get(WITNESSED + origin)
        if kept is None:
            return None
        seen = decode(Witnessed, kept)
        return Checkpoint(origin=seen.origin, size=seen.size, root=seen.root)

    def add(self, records: Iterable[Record]) -> None:
        """Keep `records` in the transaction of this turn.

        Raises: VerificationFailed when a checkpoint is older than, or another one of the same size as, the last.
        Refused (`ledger.lifted`) for an input whose attempt is over.
        """
        for record in records:
            match record:
                case Accepted():
                    self._append(ACCEPTED, record)
                case Opened():
                    self._append(OPENED, record)
                case Summed():
                    self._sum(record)
                case AttemptOver():
                    self._turn.put(_attempt(record.round, record.manifest), encode(record))
                case Witnessed():
                    self._witness(record)
                case Counted():
                    self._count(record)

    def move(self, round_id: RoundId, function: Change) -> None:
        """Change the entry of an attempt in the ledger of inputs, if there is one. Raises: what `function` raises."""
        if self._inputs and self._inputs.change(round_id, function):
            self._turn.put(WRITTEN, str(self._inputs.revision).encode())

    def fail(self, found: Failed) -> None:
        """Write in the ledger of inputs that a round failed here. Raises: TryLater."""
        if self._inputs:
            self._inputs.fail(found)
            self._turn.put(WRITTEN, str(self._inputs.revision).encode())

    def require_inputs(self) -> None:
        """Refuse to go on with a ledger of inputs that has forgotten something. Raises: BadConfiguration."""
        if self._inputs:
            require(self._inputs, int(self._turn.get(WRITTEN) or b"0"))

    def _count(self, record: Counted) -> None:
        if self._inputs is None:
            raise RuntimeError("an input is to be counted, and there is no ledger of inputs")
        if record.state == "pending":
            self._inputs.count(record)
        else:
            self._inputs.change(record.round, lambda before: record)
        self._turn.put(WRITTEN, str(self._inputs.revision).encode())

    def _all(self, kind: type[_T], prefix: str) -> tuple[_T, ...]:
        return tuple(decode(kind, value, LIMIT_BULK) for _, value in self._turn.scan(prefix))

    def _append(self, prefix: str, record: Accepted | Opened | Summed) -> str:
        number = self.size
        self._turn.put(_NEXT, str(number + 1).encode())
        self._turn.put(f"{prefix}{number:0{_DIGITS}}", encode(record))
        return f"{number:0{_DIGITS}}"

    def _sum(self, record: Summed) -> None:
        """Keep a set, and under every input in it where it is: an input that is summed again is found by its tag."""
        number, digest = self._append(SUMMED, record), seats_digest(record.seats).hex()
        for seat, tag in zip(record.seats, record.inputs, strict=True):
            self._turn.put(_input(seat.key, tag) + digest, number.encode())

    def _witness(self, record: Witnessed) -> None:
        last = self.last(record.origin)
        if last and (record.size < last.size or (record.size == last.size and record.root != last.root)):
            raise VerificationFailed(
                f"A checkpoint of {record.size} entries does not follow the one of {last.size} of {record.origin}.",
                "Keep both: they are evidence that the log was forked.",
            )
        self._turn.put(WITNESSED + record.origin, encode(record))


def _input(key: bytes, tag: bytes) -> str:
    return f"{INPUT}{key.hex()}/{tag.hex()}/"


def _attempt(round_id: RoundId, manifest: bytes) -> str:
    return f"{OVER}{round_id.label()}/{manifest.hex()}"
