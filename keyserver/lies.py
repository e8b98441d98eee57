"""Evidence that an aggregator lied, at the key server: fetched from who found it, judged, logged, pushed to members.

How to read it: `take` hears of evidence, `pursue` fetches it, `finished` takes the verdict and states it. `published`
and `tell` push what was stated, `serve` hands it out.
Rules (protocol §7): evidence is believed by what is in it (secagg.protocol.round.lie), about a key that an aggregator
of this federation has or had. One statement per key is enough. What proves nothing changes nothing, and whoever brought
it three times is not listened to any more. One piece is judged at a time, and once, however often it is announced
meanwhile. Of what a member announces only the last is kept, whole or in part. Nobody
who brings nothing is waited for while others wait. The file lies beside the log before the statement that names it is
written.
Leaves to others: publishing (service.py), judging again and stopping (secagg.daemon.lies, at every member).
"""

from collections.abc import Iterable
from threading import Lock

from msgspec import Struct
from msgspec.structs import replace

from keyserver.directory import Directory
from keyserver.records import Register
from secagg.daemon.blobs import Blobs
from secagg.daemon.fetching import Fetching
from secagg.daemon.lies import TIMER, WORK, piece_of
from secagg.daemon.turn import Turn
from secagg.errors import BadInput, SecaggError, VerificationFailed
from secagg.events import members as told
from secagg.events.line import place
from secagg.ids import Count, Digest, Name
from secagg.log.statements import LieReported
from secagg.protocol.round.lie import EVIDENCE, Proven, check_lie
from secagg.protocol.session import Fetch
from secagg.roster.members import Member
from secagg.roster.messages import LIE, LieNotice, LiePush
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode

__all__ = ["TIMER", "WORK", "Lies"]

STRIKES = 3
"""Pieces of evidence that proved nothing, after which a member is not listened to: a bad disk is no malice."""

_FROM, _STRIKES, _REPORTED = "lie/from/", "lie/strikes/", "lie/reported/"

ELSEWHERE = "elsewhere"
"""The outcome of work that is already being done."""


class Reported(Struct, frozen=True, forbid_unknown_fields=True):
    """A stated lie: where `LieReported` stands, its evidence, and whether the members were told."""

    member: Name
    entry: Count
    leaf: bytes
    evidence: Digest
    length: Count
    told: bool = False


class Lies:
    """The key server's part in what follows from a lie."""

    def __init__(self, directory: Directory, federation: str) -> None:
        self._directory, self._federation = directory, federation
        self._made: tuple[Blobs, Fetching] | None = None
        self._after = ""
        self._judging = Lock()
        self._judged: tuple[LieNotice, Proven | SecaggError] | None = None

    def take(self, message: Received, register: Register, turn: Turn) -> None:
        """Hear that a member holds evidence. Raises: WireError; BadInput for one that is not listened to."""
        notice, strikes = decode(LieNotice, message.body), _strikes(message.sender, turn)
        if strikes >= STRIKES:
            cause = f"{message.sender} brought {strikes} pieces of evidence that proved nothing."
            raise BadInput(cause, "It is not listened to any more.")
        if turn.get(f"{_REPORTED}{notice.aggregator_key.hex()}") is not None:
            return
        known = {one.member.sign_key for one in register.members() if one.member.role == "aggregator"}
        if notice.aggregator_key not in known or not 0 < notice.length <= EVIDENCE:
            self._strike(message.sender, "It is about no aggregator of this federation, or too long.", turn)
            return
        before = turn.get(f"{_FROM}{message.sender}")
        turn.put(f"{_FROM}{message.sender}", encode(notice))
        if before is not None:
            self._abandon(decode(LieNotice, before).digest, turn)
        self.pursue(turn)

    def _abandon(self, digest: bytes, turn: Turn) -> None:
        """Let go of what arrived of evidence that nobody brings now: a member that never ends any would fill the disk.
        """
        if all(decode(LieNotice, kept).digest != digest for _, kept in turn.scan(_FROM)):
            self._arriving()[1].abandon(digest)

    def pursue(self, turn: Turn, *, other: bool = False) -> None:
        """Fetch the evidence of one member, `other` than before if there is one; judge it once it is here."""
        waiting = dict(turn.scan(_FROM))
        if not waiting:
            return
        place = self._after if self._after in waiting else ""
        if other or not place:
            place = next((name for name in sorted(waiting) if name > place), min(waiting))
        self._after = place
        notice, sender = decode(LieNotice, waiting[place]), place.removeprefix(_FROM)
        blobs, fetching = self._arriving()
        if fetching.want(sender, notice.digest, notice.length, turn):
            turn.run(f"{WORK}/{sender}", lambda: self._judge(blobs, notice))

    def piece(self, message: Received, turn: Turn) -> None:
        """Take a piece of evidence; the whole is not what was announced at its bringer's cost. Raises: as Fetching."""
        if message.sender != self._after.removeprefix(_FROM):
            return
        try:
            whole = self._arriving()[1].piece(message, turn)
        except VerificationFailed as error:
            # Fetched again and again it would hold up the others, and the line.
            turn.delete(self._after)
            self._strike(message.sender, error.cause, turn)
            whole = True
        if whole:
            self.pursue(turn)

    def finished(self, name: str, outcome: object, register: Register, turn: Turn) -> None:
        """Take the verdict on evidence: state what is proven, once for each key."""
        sender = name.partition("/")[2]
        kept = turn.get(f"{_FROM}{sender}")
        if kept is None or outcome == ELSEWHERE:
            return
        notice = decode(LieNotice, kept)
        turn.delete(f"{_FROM}{sender}")
        blobs = self._arriving()[0]
        turn.run(f"forget/{notice.digest.hex()}", lambda: blobs.delete(notice.digest))
        if not isinstance(outcome, Proven):
            self._strike(sender, outcome.cause if isinstance(outcome, SecaggError) else str(outcome), turn)
        elif turn.get(f"{_REPORTED}{notice.aggregator_key.hex()}") is None:
            self._state(sender, notice, outcome, register, turn)
        self.pursue(turn)

    def published(self, size: int, members: Iterable[Member], turn: Turn) -> None:
        """Push to everybody what is in the directory now."""
        for key, data in turn.scan(_REPORTED):
            found = decode(Reported, data)
            if found.entry < size and not found.told:
                turn.put(key, encode(replace(found, told=True)))
                for member in members:
                    self._push(member, found, turn)

    def tell(self, member: Member, turn: Turn) -> None:
        """Push to a member what was stated, beside a roster: it may be new, or have been told before and not heard."""
        for _, data in turn.scan(_REPORTED):
            found = decode(Reported, data)
            if found.told:
                self._push(member, found, turn)

    def serve(self, message: Received, turn: Turn) -> None:
        """Send a member a piece of evidence that was stated. Raises: BadInput for anything else."""
        asked = decode(Fetch, message.body)
        if not any(decode(Reported, kept).evidence == asked.digest for _, kept in turn.scan(_REPORTED)):
            raise BadInput(f"{message.sender} asks the key server for what is no evidence.", "It is not answered.")
        turn.reply("piece", *piece_of(self._directory.path(asked.digest), asked))

    def _judge(self, blobs: Blobs, notice: LieNotice) -> Proven | SecaggError | str:
        """Return the verdict on evidence, `ELSEWHERE` when some is being judged now; what was judged last is not again.

        Raises: VerificationFailed, BadInput for a file that is damaged or gone, which says nothing of the evidence.
        """
        if not self._judging.acquire(blocking=False):
            return ELSEWHERE
        try:
            if self._judged is None or self._judged[0] != notice:
                self._judged = notice, self._verdict(blobs.get(notice.digest), notice)
            return self._judged[1]
        finally:
            self._judging.release()

    def _verdict(self, data: bytes, notice: LieNotice) -> Proven | SecaggError:
        try:
            return self._proven(data, notice)
        except VerificationFailed as error:
            return error

    def _proven(self, data: bytes, notice: LieNotice) -> Proven:
        """Judge evidence, and keep it beside the log if it holds. Raises: VerificationFailed."""
        proven = check_lie(data, notice.aggregator_key)
        if proven.round.federation != self._federation:
            raise VerificationFailed("The evidence is of another federation.", "It is discarded.")
        self._directory.keep(data)
        return proven

    def _state(self, sender: str, notice: LieNotice, proven: Proven, register: Register, turn: Turn) -> None:
        statement = LieReported(
            federation=self._federation, time=turn.now(), member=sender, evidence=notice.digest.hex(),
            aggregator_key=notice.aggregator_key.hex(),
        )  # fmt: skip
        entry, leaf = register.write(statement)
        found = Reported(sender, entry, leaf, notice.digest, notice.length)
        turn.put(f"{_REPORTED}{notice.aggregator_key.hex()}", encode(found))
        remedy = "Revoke this aggregator; every member is told, and judges the evidence itself."
        turn.tell(told.Lie(*place(proven.round), cause=proven.cause, remedy=remedy, member=sender))

    def _strike(self, member: str, cause: str, turn: Turn) -> None:
        strikes = _strikes(member, turn) + 1
        turn.put(f"{_STRIKES}{member}", str(strikes).encode())
        turn.tell(told.FalseEvidence(cause, f"Ask {member}; nothing changes.", member, strikes))

    def _push(self, member: Member, found: Reported, turn: Turn) -> None:
        if member.role in ("node", "trustee"):
            turn.send(member.name, LIE, b"", encode(LiePush(found.leaf, found.length)))

    def _arriving(self) -> tuple[Blobs, Fetching]:
        """Return where evidence arrives; made when the first does, and emptied of what an earlier process left."""
        if self._made is None:
            blobs = Blobs(self._directory.arriving)
            blobs.sweep((), None)
            self._made = blobs, Fetching(blobs, TIMER)
        return self._made


def _strikes(member: str, turn: Turn) -> int:
    return int(turn.get(f"{_STRIKES}{member}") or b"0")
