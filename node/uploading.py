"""An upload on its way: signed chunks, at most eight unacknowledged, each sent until its receipt arrives.

When no receipt comes for a while, or after a restart, the aggregator is asked which chunks it has. Only what it lacks
is sent again. A link that is slow carries nothing twice, and one that broke costs no more than what it lost.

Rules: the same bytes are sent however often a chunk goes out, also after a restart. A chunk counts as stored only by
the aggregator's signed receipt for exactly this chunk. What is on its way is a cache; what is stored is in the journal.
Leaves to others: masking (node.work), when an upload ends (node.rounds). Source: docs/transport.md "Uploads".
"""

from msgspec.structs import replace

from node import records
from node.records import Upload
from secagg.crypto.sign import SigningKey
from secagg.daemon.blobs import Blobs
from secagg.daemon.outbox import WINDOW
from secagg.daemon.turn import Turn
from secagg.errors import BadSignature
from secagg.wire.chunks import ChunkAck, ChunkHeader, ChunksAsked, ChunksMissing
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed, open_signed, sign

TIMER = "chunks"
AGAIN = 2.0
"""Seconds without a receipt until the aggregator is asked what it has, and asked again."""

RECEIVER = "aggregator"
"""Receiver of signed chunk headers: the role, since its bytes are for whoever aggregates."""


class Uploading:
    """The upload of the round this node is in."""

    def __init__(self, name: str, key: SigningKey, blobs: Blobs) -> None:
        self._name, self._key, self._blobs = name, key, blobs
        self._flying: set[int] = set()
        # Of the question that may be answered now: once something is sent again, earlier answers are old.
        self._number = 0

    def begin(self, upload: Upload, to: str, turn: Turn) -> None:
        """Send the first chunks of an upload that lies in the blobs."""
        self._flying = set()
        records.put_upload(turn, upload)
        self._send(upload, to, turn)

    def again(self, to: str, turn: Turn) -> None:
        """Ask what has arrived: after a while without any receipt, or after a restart."""
        upload = records.find_upload(turn)
        if upload is None or len(upload.stored) == len(upload.chunks):
            return
        # After a restart nobody knows what was on its way: these may have been.
        self._flying = self._flying or set(_first(upload))
        asked = ChunksAsked(upload.scope.round, self._number, tuple(sorted(self._flying)))
        turn.emit(to, "ask-chunks", b"", encode(asked))
        turn.after(TIMER, AGAIN)

    def missing(self, body: bytes, to: str, turn: Turn) -> None:
        """Send again what the aggregator lacks of what it was asked for; an answer that is old means nothing."""
        upload, answer = records.find_upload(turn), decode(ChunksMissing, body)
        if upload is None or (answer.round, answer.number) != (upload.scope.round, self._number):
            return
        self._number += 1
        for index in sorted(self._flying.intersection(answer.indices)):
            self._send_chunk(upload, index, to, turn)
        turn.after(TIMER, AGAIN)

    def stored(self, body: bytes, aggregator: str, aggregator_key: bytes, turn: Turn) -> bool:
        """Take a receipt; return whether it was the last one.

        Raises: BadSignature when it is not the aggregator's, or is for other bytes.
        """
        upload = records.find_upload(turn)
        if upload is None:
            return False
        receipt = self._opened(decode(Signed, body), upload, aggregator_key)
        if receipt is None or receipt.index in upload.stored:
            return False
        self._flying.discard(receipt.index)
        upload = replace(upload, stored=(*upload.stored, receipt.index))
        records.put_upload(turn, upload)
        if len(upload.stored) == len(upload.chunks):
            turn.cancel(TIMER)
            return True
        self._send(upload, aggregator, turn)
        return False

    def end(self, turn: Turn) -> None:
        """Let go of the upload: its round is over."""
        upload = records.find_upload(turn)
        self._flying = set()
        turn.cancel(TIMER)
        if upload:
            records.drop_upload(turn, upload)
            # Kept by the aggregator for the audit; here it has no further use.
            turn.run(f"forget/{upload.blob.hex()}", lambda: self._blobs.delete(upload.blob))

    def drop(self, blob: bytes, turn: Turn) -> None:
        """Delete masked words that came too late for their round, unless they are the upload on its way."""
        upload = records.find_upload(turn)
        if upload is None or upload.blob != blob:
            turn.run(f"forget/{blob.hex()}", lambda: self._blobs.delete(blob))

    def _opened(self, signed: Signed, upload: Upload, key: bytes) -> ChunkAck | None:
        """Return the receipt, or None when it is of an earlier round. Raises: BadSignature."""
        receipt = decode(ChunkAck, signed.body)
        if receipt.round != upload.scope.round:
            return None
        open_signed(signed, key, "ChunkAck", upload.scope, self._name)
        known = receipt.index < len(upload.chunks) and upload.chunks[receipt.index]
        if (receipt.node, receipt.hash) != (self._name, known):
            raise BadSignature("A receipt is for another chunk than was sent.", "The chunk is sent again.")
        return receipt

    def _send(self, upload: Upload, to: str, turn: Turn) -> None:
        for index in range(len(upload.chunks)):
            if len(self._flying) >= WINDOW:
                break
            if index not in self._flying and index not in upload.stored:
                self._flying.add(index)
                self._send_chunk(upload, index, to, turn)
        turn.after(TIMER, AGAIN)

    def _send_chunk(self, upload: Upload, index: int, to: str, turn: Turn) -> None:
        body = self._part(upload, index)
        header = ChunkHeader(
            upload.scope.round, self._name, index, upload.size, upload.total, upload.chunks[index]
        )
        signed = sign(self._key, "ChunkHeader", upload.scope, self._name, RECEIVER, encode(header))
        turn.emit(to, "chunk", encode(signed), body)

    def _part(self, upload: Upload, index: int) -> bytes:
        with self._blobs.path(upload.blob).open("rb") as file:
            file.seek(index * upload.size)
            return file.read(upload.size)


def _first(upload: Upload) -> list[int]:
    """Return the first chunks without a receipt, as many as may be on their way."""
    return [index for index in range(len(upload.chunks)) if index not in upload.stored][:WINDOW]
