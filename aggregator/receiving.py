"""Pieces of uploads at the door: each is stored and gets a signed receipt; who asks is told what is not here.

Rules: a receipt is for bytes on disk, and the same for the same chunk however often. The first bytes of a chunk stay,
and a second body under its sender's signature is logged with both signatures. Which phase takes uploads is the caller's
to know (aggregator.rounds). Leaves to others: checks and storage (aggregator.uploads).
Source: docs/transport.md "Uploads".
"""

from aggregator.desk import Desk
from aggregator.telling import step_of
from aggregator.uploads import Equivocated, shell_of
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation
from secagg.log.statements import Equivocation
from secagg.protocol.round import stating
from secagg.protocol.round.phases import Common
from secagg.transport.link import Received
from secagg.wire.chunks import ChunkAck, ChunksAsked, ChunksMissing
from secagg.wire.codec import decode, encode
from secagg.wire.signed import sign


class Receiving:
    """The chunks of the round that is running."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def chunk(self, phase: Common, message: Received, turn: Turn) -> bool:
        """Store a chunk and send its receipt; return whether it was taken: not when another body of it is here.

        Raises: ProtocolViolation when it does not fit.
        """
        try:
            found = self._desk.uploads.chunk(phase, message.sender, message.header, message.body)
        except Equivocated as both:
            self._state_equivocation(phase, message.sender, both.headers, turn)
            return False
        self._receipt(phase, message.sender, found.index, found.hash, turn)
        return True

    def asked(self, phase: Common, message: Received, turn: Turn) -> None:
        """Send the receipts of what is here once more, and name the rest; a question about another round is old.

        Raises: ProtocolViolation when a stranger to the round asks.
        """
        member, asked = message.sender, decode(ChunksAsked, message.body)
        if member not in phase.manifest.names():
            raise ProtocolViolation(f"{member} asks for chunks and is not in the round.", rule="chunk.sender")
        if asked.round != phase.scope.round:
            return
        known = {index: self._desk.uploads.hash_of(phase, member, index) for index in asked.indices}
        for index, digest in known.items():
            if digest is not None:
                self._receipt(phase, member, index, digest, turn)
        missing = tuple(index for index, digest in known.items() if digest is None)
        if missing:
            turn.emit(member, "missing-chunks", b"", encode(ChunksMissing(asked.round, asked.number, missing)))

    def _receipt(self, phase: Common, member: str, index: int, digest: bytes, turn: Turn) -> None:
        ack = encode(ChunkAck(phase.scope.round, member, index, digest))
        signed = sign(self._desk.key, "ChunkAck", phase.scope, self._desk.name, member, ack)
        turn.emit(member, "ack-chunk", b"", encode(signed))

    def _state_equivocation(self, phase: Common, member: str, both: tuple[bytes, bytes], turn: Turn) -> None:
        """Log that a member signed two bodies for one chunk, and keep both signatures beside the log as the proof."""
        key = f"equivocated/{member}"
        if turn.get(key) is not None:
            return
        turn.put(key, b"")
        where = stating.where(phase.scope, turn.now())
        digests = tuple(self._desk.bundle.put_file(header) for header in both)
        self._desk.book.add(Equivocation(**where, member=member, digests=digests), turn)
        reason = "sent two different bodies for one chunk; the first stays"
        upload = shell_of(phase.manifest).UPLOAD
        turn.tell(step_of(phase.manifest.round, upload, member, "refused", reason))
