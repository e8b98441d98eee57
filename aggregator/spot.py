"""What members need to check a published sum themselves: the transcript of its round, and leaves of its uploads.

Rules (protocol §7): handed out only once the result is logged, only to members of the round, sealed to the key of the
check. From files, one part at a time, so that many checks cost memory for a few parts each. Trees over uploads are made
once and kept for a while. What one member may ask of a round is bounded: each part a few times, then one now and then.
Leaves to others: what is drawn and how it is judged (secagg.protocol.round.spots, node.spot).
"""

import mmap
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from msgspec import Struct

from aggregator import records
from aggregator.logbook import LogBook
from aggregator.uploads import named
from secagg.crypto.seal import seal
from secagg.daemon.blobs import Blobs
from secagg.daemon.turn import Turn
from secagg.errors import BadInput
from secagg.ids import Digest, Name
from secagg.log.growing import Tree
from secagg.protocol import engines
from secagg.protocol.manifest import Manifest
from secagg.protocol.round import spots
from secagg.protocol.round.phases import Common
from secagg.protocol.round.spots import Leaf
from secagg.protocol.session import PIECE, SpotPart, SpotRequest
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, open_signed

WORK = "spot"

TIMES = 8
"""How often a member is answered each part of a round at once: replies may be lost, and a node asks again."""

REFILL = 30
"""Seconds after which a member that has had all that may ask for one part more, so that a bad line ends in a check."""

AT_ONCE = 4
"""Parts that are made for one member at a time; a node has as many on their way."""

_ROUNDS = 4096
"""Members' counts that are kept, the oldest forgotten first."""

_LEAVES = 1_048_576
"""Leaves of the trees that are kept, at about 130 bytes each: all uploads of a hundred members with 10^7 parameters."""


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


class Plan(NamedTuple):
    """How an answer is cut: `pieces` of the transcript, then leaves of `each` members in a part."""

    pieces: int
    each: int
    parts: int


@dataclass
class Spent:
    """What a member has left to ask of a round, and when (wall time) that was counted last."""

    left: float
    at: int
    told: bool = False


class Handing:
    """The aggregator's part in spot checks."""

    def __init__(self, name: str, files: Path, blobs: Blobs, book: LogBook) -> None:
        self._name, self._files, self._blobs, self._book = name, files, blobs, book
        self._trees: OrderedDict[bytes, Tree] = OrderedDict()
        self._lock = Lock()
        self._spent: OrderedDict[tuple[str, str], Spent] = OrderedDict()
        self._making: dict[str, dict[str, int]] = {}

    def remember(self, phase: Common, turn: Turn) -> None:
        """Keep what opens a round, in the phase that opens it, where members check leaves."""
        checks = engines.load(phase.manifest.engine).spots
        if checks is None:
            return
        data = checks.transcript(
            phase, lambda: spots.frozen_entry(self._book.published, self._book.leaf, phase.scope)
        )
        if data is None:
            return
        headers = decode(tuple[Signed, ...], checks.listed(data), LIMIT_LIST)
        uploads = tuple(Upload(entry.sender, named(entry).upload) for entry in headers)
        kept = Opened(phase.scope, phase.manifest, self._blobs.put(data), len(data), uploads)
        turn.put(spots.slot(phase.scope.round), encode(kept))

    def asked(self, message: Received, turn: Turn) -> None:
        """Hand out one part.

        Raises: BadInput when the round has no logged result or there is no such part. BadInput once, too, when the
        member has asked more than it may; BadSignature.
        """
        signed = decode(Signed, message.body)
        request = decode(SpotRequest, signed.body)
        kept = turn.get(spots.slot(request.round))
        outcome = records.find_outcome(turn, request.round.job, request.round.round)
        if kept is None or outcome is None or outcome.lost or outcome.round != request.round:
            raise BadInput(f"{message.sender} checks a round without a result.", "It is not answered.")
        opened = decode(Opened, kept, records.WHOLE)
        if signed.sender != message.sender or signed.sender not in opened.manifest.names():
            raise BadInput(f"{message.sender} checks a round that it is no member of.", "It is not answered.")
        key = opened.manifest.key(signed.sender)
        open_signed(signed, key, "SpotRequest", opened.scope, self._name)
        plan = _plan(opened, request.indexes)
        if request.part >= plan.parts:
            raise BadInput(f"{signed.sender} asks for part {request.part} of {plan.parts}.", "It is not answered.")
        work = f"{WORK}/{signed.sender}/{request.round.label()}/{request.part}"
        if self._may(signed.sender, request, plan, work, turn.now()):
            self._making.setdefault(signed.sender, {})[work] = turn.now()
            turn.run(work, lambda: self._part(opened, request, plan, signed.sender))

    def _may(self, member: str, request: SpotRequest, plan: Plan, work: str, now: int) -> bool:
        """Count a request; say whether it is answered. Raises: BadInput, once, when it was one too many."""
        # One that was lost, because its turn could not be saved, holds its place for a while and not for ever.
        making = {work: since for work, since in self._making.pop(member, {}).items() if now - since < REFILL}
        if making:
            self._making[member] = making
        if work in making or len(making) >= AT_ONCE:
            return False
        place, most = (member, request.round.label()), float(TIMES * plan.parts)
        spent = self._spent.pop(place, None) or Spent(most, now)
        # A clock that goes back gives nothing, and nothing twice when it comes again.
        spent.left, spent.at = min(most, spent.left + max(0, now - spent.at) / REFILL), max(now, spent.at)
        self._spent[place] = spent
        while len(self._spent) > _ROUNDS:
            self._spent.popitem(last=False)
        if spent.left >= 1:
            spent.left, spent.told = spent.left - 1, False
            return True
        if not spent.told:
            spent.told = True
            cause = f"{member} has asked for every part of {place[1]} {TIMES} times."
            raise BadInput(cause, f"It is answered once in {REFILL} seconds.")
        return False

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Send a part. Raises: what making it raised."""
        member = name.split("/")[1]
        self._making.get(member, {}).pop(name, None)
        if isinstance(outcome, BaseException):
            raise outcome
        if not isinstance(outcome, tuple):
            raise TypeError("a part is a header and a body")
        turn.emit(member, "spot-part", *outcome)

    def _part(self, opened: Opened, request: SpotRequest, plan: Plan, checker: str) -> tuple[bytes, bytes]:
        if request.part < plan.pieces:
            data = self._blobs.get(opened.transcript)[request.part * PIECE : (request.part + 1) * PIECE]
        else:
            first = (request.part - plan.pieces) * plan.each
            uploads = opened.uploads[first : first + plan.each]
            data = encode(tuple(self._leaves(opened, upload, request) for upload in uploads))
        info = spots.info(opened.scope, self._name, checker, request.part)
        header = SpotPart(request.round, request.part, plan.parts, plan.pieces)
        return encode(header), seal(request.key, data, info)

    def _leaves(self, opened: Opened, upload: Upload, request: SpotRequest) -> tuple[Leaf, ...]:
        with (
            (self._files / upload.digest.hex()).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            return spots.leaves(opened.manifest, view, self._tree(opened, upload, view), request.indexes)

    def _tree(self, opened: Opened, upload: Upload, view: memoryview) -> Tree:
        with self._lock:
            tree = self._trees.pop(upload.digest, None) or spots.tree_of(opened.manifest, view)
            self._trees[upload.digest] = tree
            while sum(kept.size for kept in self._trees.values()) > _LEAVES and len(self._trees) > 1:
                self._trees.popitem(last=False)
            return tree


def _plan(opened: Opened, indexes: Sequence[int]) -> Plan:
    """Return how the answer to a request is cut into messages. Raises: BadInput when a leaf does not exist."""
    pieces = -(-opened.length // PIECE)
    each = max(1, PIECE // spots.handed_bytes(opened.manifest, indexes))
    return Plan(pieces, each, pieces + -(-len(opened.uploads) // each))
