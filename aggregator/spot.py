"""What members need to check a published sum themselves: the transcript of its round, and leaves of its uploads.

Rules (protocol §7): handed out only once the result is logged, only to members of the round, sealed to the key of the
check; from files, one part at a time, so that many checks cost memory for one part each. Trees over uploads are made
once and kept for a while. Leaves to others: what is drawn and how it is judged (secagg.protocol.masks.spot, node.spot).
"""

import mmap
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from msgspec import Struct

from aggregator import records
from secagg.crypto.seal import seal
from secagg.daemon.blobs import Blobs
from secagg.daemon.turn import Turn
from secagg.errors import BadInput
from secagg.ids import Digest, Name
from secagg.log.growing import Tree
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import spot
from secagg.protocol.masks.messages import MaskedInput
from secagg.protocol.masks.rounds import Unmasking
from secagg.protocol.masks.spot import Transcript
from secagg.protocol.session import PIECE, SpotPart, SpotRequest
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, open_signed

WORK = "spot"
_TREES = 128


class Upload(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose upload lies under which digest."""

    member: Name
    digest: Digest


class Opened(Struct, frozen=True, forbid_unknown_fields=True):
    """A round that was opened: its manifest, the blob of its transcript, its uploads in the order of U3."""

    scope: Scope
    manifest: Manifest
    transcript: Digest
    length: int
    uploads: tuple[Upload, ...]


class Handing:
    """The aggregator's part in spot checks."""

    def __init__(self, name: str, files: Path, blobs: Blobs) -> None:
        self._name, self._files, self._blobs = name, files, blobs
        self._trees: OrderedDict[bytes, Tree] = OrderedDict()
        self._lock = Lock()

    def remember(self, phase: Unmasking, turn: Turn) -> None:
        """Keep what opened a round."""
        data = encode(Transcript(phase.u1, phase.u2, phase.u3, phase.answers, phase.drawn))
        headers = decode(tuple[Signed, ...], phase.u3, LIMIT_LIST)
        uploads = tuple(Upload(entry.sender, decode(MaskedInput, entry.body).upload) for entry in headers)
        kept = Opened(phase.scope, phase.manifest, self._blobs.put(data), len(data), uploads)
        turn.put(spot.slot(phase.scope.round), encode(kept))

    def asked(self, message: Received, turn: Turn) -> None:
        """Hand out one part.

        Raises: BadInput when the round has no logged result or there is no such part; BadSignature.
        """
        signed = decode(Signed, message.body)
        request = decode(SpotRequest, signed.body)
        kept = turn.get(spot.slot(request.round))
        outcome = records.find_outcome(turn, request.round.job, request.round.round)
        if kept is None or outcome is None or outcome.lost or outcome.round != request.round:
            raise BadInput(f"{message.sender} checks a round without a result.", "It is not answered.")
        opened = decode(Opened, kept, records.WHOLE)
        if signed.sender != message.sender or signed.sender not in opened.manifest.names():
            raise BadInput(f"{message.sender} checks a round that it is no member of.", "It is not answered.")
        key = opened.manifest.key(signed.sender)
        open_signed(signed, key, "SpotRequest", opened.scope, self._name)
        turn.run(f"{WORK}/{message.sender}/{request.part}", lambda: self._part(opened, request, message.sender))

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Send a part. Raises: what making it raised."""
        if isinstance(outcome, BaseException):
            raise outcome
        if not isinstance(outcome, tuple):
            raise TypeError("a part is a header and a body")
        turn.emit(name.split("/")[1], "spot-part", *outcome)

    def _part(self, opened: Opened, request: SpotRequest, checker: str) -> tuple[bytes, bytes]:
        pieces = -(-opened.length // PIECE)
        parts = pieces + len(opened.uploads)
        if request.part >= parts:
            raise BadInput(f"{checker} asks for part {request.part} of {parts}.", "It is not answered.")
        if request.part < pieces:
            data = self._blobs.get(opened.transcript)[request.part * PIECE : (request.part + 1) * PIECE]
        else:
            data = encode(self._leaves(opened, opened.uploads[request.part - pieces], request))
        info = spot.info(opened.scope, self._name, checker, request.part)
        return encode(SpotPart(request.round, request.part, parts, pieces)), seal(request.key, data, info)

    def _leaves(self, opened: Opened, upload: Upload, request: SpotRequest) -> tuple[spot.Leaf, ...]:
        with (
            (self._files / upload.digest.hex()).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            return spot.leaves(opened.manifest, view, self._tree(opened, upload, view), request.indexes)

    def _tree(self, opened: Opened, upload: Upload, view: memoryview) -> Tree:
        with self._lock:
            tree = self._trees.pop(upload.digest, None) or spot.tree_of(opened.manifest, view)
            self._trees[upload.digest] = tree
            while len(self._trees) > _TREES:
                self._trees.popitem(last=False)
            return tree
