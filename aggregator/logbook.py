"""The round log behind the journal: statements are queued in the transaction that makes them, then written, once each.

Rules: a leaf is signed when it is queued and has its index from then on. Writing appends what the log does not hold yet
and publishes, so that a crash between journal and log neither loses nor doubles an entry. Whoever waits for an entry
waits until a checkpoint covers it. What cannot be read back is refused where it would be queued. One that is found in
the queue is set aside and never stops what is behind it. Leaves to others: what to state
(secagg.protocol.round.stating), the log's files (secagg.log.durable). Source: docs/transport.md "Crash rules".
"""

from threading import Lock

from secagg.crypto.sign import SigningKey
from secagg.daemon.turn import Turn
from secagg.errors import BadConfiguration, VerificationFailed
from secagg.log.aside import readable, unreadable
from secagg.log.checkpoint import read_checkpoint
from secagg.log.log import Log
from secagg.log.statements import Statement, sign_statement
from secagg.log.witness import LogProof

WORK = "log"
"""Name of the work that writes, and of the timer that tries again."""

AGAIN = 2.0
"""Seconds until a log that could not be written is tried again."""

_COUNT = "log/count"
_LEAF = "log/leaf/"
_ASIDE = "log/aside/"
_OTHER = "log/other/"
"""Where it stands whose a queued leaf is that this aggregator did not sign: 32 bytes of public key, then the name."""


class LogBook:
    """The aggregator's log: `add` in a turn, `finished` when it is written, `prove` from then on."""

    def __init__(self, log: Log, federation: str, name: str, key: SigningKey) -> None:
        self._log, self._federation, self._name, self._key = log, federation, name, key
        self._lock = Lock()

    def start(self, turn: Turn) -> None:
        """Take up what was queued and not written.

        Raises: BadConfiguration when the log holds entries that this journal never made.
        """
        if turn.get(_COUNT) is None:
            turn.put(_COUNT, str(self._log.size).encode())
        if self._log.size > _count(turn):
            raise BadConfiguration(
                f"The round log has {self._log.size} entries, the journal knows of {_count(turn)}.",
                "Restore journal and log from the same backup.",
                code="E-JOURNAL",
            )
        self._set_aside(turn)
        self._request(turn)

    def add(self, statement: Statement, turn: Turn) -> int:
        """Queue a signed statement and return its index in the log.

        Raises: ProtocolViolation (`statement.form`) when no reader would take it back.
        """
        return self._queue(sign_statement(statement, self._name, self._key), turn)

    def add_leaf(self, leaf: bytes, signer: str, public: bytes, turn: Turn) -> int:
        """Queue an entry that a member signed under this key, read before, and return its index in the log."""
        turn.put(f"{_OTHER}{_count(turn):012d}", public + signer.encode())
        return self._queue(leaf, turn)

    def _queue(self, leaf: bytes, turn: Turn) -> int:
        index = _count(turn)
        turn.put(f"{_LEAF}{index:012d}", leaf)
        turn.put(_COUNT, str(index + 1).encode())
        self._request(turn)
        return index

    def finished(self, outcome: object, turn: Turn) -> None:
        """Let go of what is written; write again later when the disk refused."""
        if isinstance(outcome, BaseException):
            turn.after(WORK, AGAIN)
            return
        published = self.published
        for key, _ in turn.scan(_LEAF):
            if int(key.removeprefix(_LEAF)) < published:
                turn.delete(key)
                turn.delete(key.replace(_LEAF, _OTHER))

    def wake(self, turn: Turn) -> None:
        """Try again to write."""
        self._set_aside(turn)
        self._request(turn)

    def set_aside(self, index: int, turn: Turn) -> bool:
        """Say whether what was to be this entry could not be read: its place says so, and proves nothing else."""
        return turn.get(f"{_ASIDE}{index:012d}") is not None

    def all_set_aside(self, turn: Turn) -> list[int]:
        """Return the indices of the entries that were set aside; what they were is kept in the journal."""
        return [int(key.removeprefix(_ASIDE)) for key, _ in turn.scan(_ASIDE)]

    @property
    def published(self) -> int:
        """Return how many entries the published checkpoint covers."""
        with self._lock:
            return self._published()

    def leaf(self, index: int) -> bytes:
        """Return a published entry."""
        with self._lock:
            return self._log.leaf(index)

    def prove(self, index: int, old_size: int) -> LogProof:
        """Prove a published entry and consistency from `old_size`.

        Raises: BadInput when the log was never that large.
        """
        with self._lock:
            return self._log.prove(index, old_size)

    def _published(self) -> int:
        return read_checkpoint(self._log.checkpoint).size if self._log.checkpoint else 0

    def _set_aside(self, turn: Turn) -> None:
        """Give the place of what cannot be read to a statement that says so, and keep what was found."""
        with self._lock:
            places = range(self._log.size, _count(turn))
        queued = {int(key.removeprefix(_LEAF)): leaf for key, leaf in turn.scan(_LEAF)}
        found = unreadable(queued, places, self._federation, turn.now(), self._name, self._key, _others(turn))
        for one in found:
            turn.put(f"{_ASIDE}{one.index:012d}", one.found)
            turn.put(f"{_LEAF}{one.index:012d}", one.leaf)
            turn.delete(f"{_OTHER}{one.index:012d}")
            turn.tell(one.event())

    def _request(self, turn: Turn) -> None:
        queued = tuple((int(key.removeprefix(_LEAF)), leaf) for key, leaf in turn.scan(_LEAF))
        others = _others(turn)
        if queued:
            turn.run(WORK, lambda: self._write(queued, others))

    def _write(self, queued: tuple[tuple[int, bytes], ...], others: dict[int, tuple[str, bytes]]) -> None:
        with self._lock:
            for index, leaf in queued:
                signer = others.get(index, (self._name, self._key.public))
                if index == self._log.size and readable(leaf, *signer):
                    self._log.append(leaf)
            self._log.publish()
            if queued[-1][0] >= self._log.size:
                # What is in its way is set aside when this is tried again.
                raise VerificationFailed(f"Entry {self._log.size} of the round log cannot be read.", "It is set aside.")


def _count(turn: Turn) -> int:
    return int(turn.get(_COUNT) or b"0")


def _others(turn: Turn) -> dict[int, tuple[str, bytes]]:
    """Return whose the queued leaves are that members signed, by their places."""
    return {int(key.removeprefix(_OTHER)): (kept[32:].decode(), kept[:32]) for key, kept in turn.scan(_OTHER)}
