"""A blob of the aggregator, piece by piece, by its digest: a job's first model, a round's result, a member's upload.

Rules: what is fetched is known by its SHA-256 and by the largest length it may have before the first byte arrives.
Pieces are on disk one by one, so that a restart goes on where it stopped. A piece that does not come is asked for
again. Leaves to others: what is wanted (the roles), serving it (aggregator). Source: docs/transport.md "Uploads".
"""

from secagg.daemon.blobs import Blobs, Partial
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation, VerificationFailed
from secagg.protocol.session import PIECE, Fetch, PieceHeader
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode

TIMER = "fetch"
AGAIN = 2.0
"""Seconds until a piece that did not come is asked for again."""


class Fetching:
    """One blob at a time."""

    def __init__(self, blobs: Blobs, timer: str = TIMER) -> None:
        self._blobs, self._timer = blobs, timer
        self._wanted = b""
        self._limit = self._total = 0
        self._partial: Partial | None = None

    def want(self, to: str, digest: bytes, limit: int, turn: Turn) -> bool:
        """Ask for the next piece of a blob of at most `limit` bytes; return whether it is here already."""
        if self._blobs.has(digest):
            self.stop(turn)
            return True
        if digest != self._wanted:
            self._wanted, self._partial = digest, None
        # Also of what is being fetched: the first word of a length may have been bent on its way.
        self._limit = limit
        self._ask(to, turn)
        return False

    def stop(self, turn: Turn) -> None:
        """Want nothing any more."""
        self._wanted, self._partial = b"", None
        turn.cancel(self._timer)

    def abandon(self, digest: bytes) -> None:
        """Let go of what has arrived of a blob that nobody wants any more."""
        if digest == self._wanted:
            self._wanted, self._partial = b"", None
        self._blobs.abandon(_name(digest))

    def piece(self, message: Received, turn: Turn) -> bool:
        """Store a piece and ask for the next one; return whether the blob is whole.

        Raises: ProtocolViolation for a piece that was not asked for or is too long; VerificationFailed when the whole
        is not what was asked for.
        """
        header = decode(PieceHeader, message.header)
        if header.digest != self._wanted:
            return False
        if not 0 < header.total <= self._limit:
            raise ProtocolViolation(
                f"A blob of {header.total} bytes is announced, {self._limit} are the most it can have.",
                "It is not fetched.", rule="piece.length",
            )  # fmt: skip
        if self._partial is not None and header.total != self._total:
            # One of the two lengths is a lie, and only the whole tells which: nothing of the first is worth keeping.
            self._partial.discard()
            self._partial = None
        if self._partial is None:
            self._total = header.total
            self._partial = self._blobs.partial(_name(self._wanted), header.total, PIECE)
        self._partial.write(header.index, message.body)
        if len(self._partial.have()) < self._partial.chunks:
            self._ask(message.sender, turn)
            return False
        return self._complete(self._partial, turn)

    def _complete(self, partial: Partial, turn: Turn) -> bool:
        stored = partial.complete()
        partial.discard()
        if stored != self._wanted:
            self._blobs.delete(stored)
            self._partial = None
            raise VerificationFailed("What was fetched is not what was asked for.", "It is fetched again.")
        self.stop(turn)
        return True

    def _ask(self, to: str, turn: Turn) -> None:
        have = self._partial.have() if self._partial else set()
        index = next(number for number in range(len(have) + 1) if number not in have)
        turn.emit(to, "fetch", b"", encode(Fetch(self._wanted, index)))
        turn.after(self._timer, AGAIN)


def _name(digest: bytes) -> str:
    return f"fetch-{digest.hex()}"
