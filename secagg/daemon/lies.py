"""Evidence that an aggregator lied, at a member: brought to the key server, or fetched from it, judged here, kept.

How to read it: `found` is for who found a lie, `serve` hands the evidence to the key server. `pushed` is the key
server's word that there is some, `finished` the verdict on it. `require_trust` ends all work with who lied.
Rules (protocol §7): evidence is believed by what is in it and not by who sends it (secagg.protocol.round.lie), so a
forged one changes nothing. Only the federation's aggregator of now is judged, once. What proves a lie is kept for good.
Leaves to others: finding lies (node.spot), logging and pushing them (keyserver.lies), leaving rounds (the roles).
"""

from collections.abc import Callable
from os import SEEK_END
from pathlib import Path

from secagg.daemon.blobs import Blobs
from secagg.daemon.fetching import Fetching
from secagg.daemon.turn import Turn
from secagg.errors import BadInput, NotAuthorised, ProtocolViolation, Refused, SecaggError
from secagg.events import members as told
from secagg.events.line import place
from secagg.log.statements import LieReported, parse_statement
from secagg.protocol.round.lie import EVIDENCE, Proven, check_lie
from secagg.protocol.session import PIECE, Fetch, PieceHeader
from secagg.roster.messages import LIE, LieNotice, LiePush
from secagg.transport.link import KEYSERVER, Received
from secagg.wire.codec import decode, encode

TIMER, WORK = "lies", "lie"

KEPT = "evidence/"
"""How keys begin that name a blob, in hex, which proves a lie and is kept for good."""

_WANTED = "lie/wanted"
_DISTRUST = "distrust/"


class Lies:
    """The evidence that a member holds; `key_of` gives the signing key of the federation's aggregator, if there is one.
    """

    def __init__(self, blobs: Blobs, key_of: Callable[[Turn], bytes | None]) -> None:
        self._blobs, self._key_of = blobs, key_of
        self._fetching = Fetching(blobs, TIMER)

    def found(self, digest: bytes, length: int, key: bytes, cause: str, turn: Turn) -> None:
        """Take evidence that this member made (a blob): distrust the aggregator, and bring it to the key server."""
        self._keep(digest, key, cause, turn)
        if length <= EVIDENCE:
            turn.send(KEYSERVER, LIE, b"", encode(LieNotice(key, digest, length)))
        else:
            cause = f"The evidence has {length} bytes, more than the {EVIDENCE} that are sent to the key server."
            turn.tell(told.LongEvidence(cause, "Show it to the other members yourself."))

    def serve(self, message: Received, turn: Turn) -> None:
        """Send the key server a piece of evidence. Raises: NotAuthorised; BadInput for anything else."""
        _require(message)
        asked = decode(Fetch, message.body)
        if turn.get(f"{KEPT}{asked.digest.hex()}") is None:
            raise BadInput("The key server asks for what is no evidence.", "It is not answered.")
        turn.reply("piece", *piece_of(self._blobs.path(asked.digest), asked))

    def pushed(self, message: Received, turn: Turn) -> None:
        """Take the key server's word that there is evidence; it is fetched and judged. Raises: NotAuthorised."""
        _require(message)
        push, key = decode(LiePush, message.body), self._key_of(turn)
        statement = parse_statement(push.leaf)[0]
        if not isinstance(statement, LieReported) or push.length > EVIDENCE:
            raise ProtocolViolation("The key server pushes what is no evidence.", "It is discarded.", rule="kind")
        if key is None or statement.aggregator_key != key.hex() or turn.get(f"{_DISTRUST}{key.hex()}") is not None:
            return
        turn.put(_WANTED, encode(LieNotice(key, bytes.fromhex(statement.evidence), push.length)))
        self.pursue(turn)

    def pursue(self, turn: Turn) -> None:
        """Fetch what is wanted; judge it once it is here."""
        kept = turn.get(_WANTED)
        if kept is None:
            return
        wanted = decode(LieNotice, kept)
        if self._fetching.want(KEYSERVER, wanted.digest, wanted.length, turn):
            digest, key = wanted.digest, wanted.aggregator_key
            turn.run(f"{WORK}/{digest.hex()}", lambda: check_lie(self._blobs.get(digest), key))

    def piece(self, message: Received, turn: Turn) -> None:
        """Take a piece of evidence. Raises: ProtocolViolation, VerificationFailed when it is not what was wanted."""
        if self._fetching.piece(message, turn):
            self.pursue(turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Take the verdict on evidence."""
        wanted, digest = turn.get(_WANTED), bytes.fromhex(name.partition("/")[2])
        if wanted is None or decode(LieNotice, wanted).digest != digest:
            return
        turn.delete(_WANTED)
        if isinstance(outcome, Proven):
            self._keep(digest, outcome.key, outcome.cause, turn)
            remedy, path = "Take part in nothing more of this aggregator.", str(self._blobs.path(digest))
            where = place(outcome.round)
            turn.tell(told.Lie(*where, cause=outcome.cause, remedy=remedy, rule="spot.sum", path=path))
            return
        turn.run(f"forget/{digest.hex()}", lambda: self._blobs.delete(digest))
        cause = outcome.cause if isinstance(outcome, SecaggError) else str(outcome)
        turn.tell(told.FalseEvidence(cause, "Nothing changes; tell the operator."))

    def _keep(self, digest: bytes, key: bytes, cause: str, turn: Turn) -> None:
        turn.put(f"{_DISTRUST}{key.hex()}", cause.encode())
        turn.put(f"{KEPT}{digest.hex()}", b"")


def require_trust(aggregator_key: bytes, turn: Turn) -> None:
    """Raises: Refused when it is proven here that the aggregator with this key lies."""
    lie = turn.get(f"{_DISTRUST}{aggregator_key.hex()}")
    if lie is not None:
        raise Refused(lie.decode(), "Show the evidence to the other members.", rule="spot.sum")


def kept(turn: Turn) -> set[bytes]:
    """Return the blobs of evidence, kept or being judged."""
    wanted = turn.get(_WANTED)
    found = {bytes.fromhex(key.removeprefix(KEPT)) for key, _ in turn.scan(KEPT)}
    return found | ({decode(LieNotice, wanted).digest} if wanted else set())


def piece_of(path: Path, asked: Fetch) -> tuple[bytes, bytes]:
    """Return header and body of a piece of a file that was asked for. Raises: BadInput when it lies outside."""
    start = asked.index * PIECE
    with path.open("rb") as file:
        total = file.seek(0, SEEK_END)
        if start >= total:
            raise BadInput("A piece outside of the evidence is asked for.", "It is not answered.")
        file.seek(start)
        return encode(PieceHeader(asked.digest, asked.index, total)), file.read(PIECE)


def _require(message: Received) -> None:
    if message.sender != KEYSERVER:
        raise NotAuthorised(f"{message.sender} sends a {message.kind}, which only the key server may.")
