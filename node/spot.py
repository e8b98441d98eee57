"""This node's spot checks: after a round, drawn leaves of its sum are fetched, recomputed and compared.

How to read it: `begin` throws the coin and queues a round, `pursue` asks for parts of the oldest one, `part` takes
them. `finished` takes the verdict; `accept` is a person's way on without one.
Rules (protocol §7): what is drawn comes from this node's own generator, once. Whoever could have it drawn again would
wait for a draw that misses. Every part is sealed to a key of this check alone. No answer, or one that does not hold, is
no verdict. It is asked for again for as long as it takes, and no upload header is signed before (node.rounds). A sum
that is not the sum of signed uploads is the aggregator's lie. The evidence is kept and brought to the key server.
Leaves to others: recomputing (the engine's `SpotSide`), refusing (node.rounds), evidence (secagg.daemon.lies).
"""

from dataclasses import dataclass, field
from itertools import chain

from msgspec import Raw, Struct

from node.answers import UncheckedShown
from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.crypto.sign import SigningKey
from secagg.daemon.blobs import Blobs
from secagg.daemon.following import Follower
from secagg.daemon.lies import Lies
from secagg.daemon.participant import WHOLE, Round
from secagg.daemon.turn import Turn
from secagg.errors import BadInput, SealBroken, VerificationFailed, WireError
from secagg.events import members as told
from secagg.events.line import place
from secagg.ids import NO_DIGEST, Count, Digest
from secagg.log.statements import UncheckedAccepted, sign_statement
from secagg.protocol import engines
from secagg.protocol.engine import SpotSide
from secagg.protocol.manifest import Manifest, Published
from secagg.protocol.round import spots
from secagg.protocol.round.lie import Lie
from secagg.protocol.round.lists import senders
from secagg.protocol.round.spots import Leaf
from secagg.protocol.session import ResultNotice, SpotPart, SpotRequest
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, sign

TIMER = WORK = "spot"
AGAIN, LONGEST = 2.0, 60.0
"""Seconds until parts that did not come, or did not hold, are asked for again: at first, and at most."""

WINDOW = 4
"""Parts on their way."""

TELL = 3
"""Times that parts are asked for in vain before people are told."""

STATE = "state"
"""Kind of a message that holds a statement of this member for the round log: the signed leaf."""


class Due(Struct, frozen=True, forbid_unknown_fields=True):
    """A round that is to be checked: its manifest and whose it is, the published result (a blob) and what was said of
    it. It has H(U3) as this node signed it (zeros if it never did), the drawn leaves, and since when it waits."""

    scope: Scope
    manifest: Manifest
    aggregator_key: Digest
    notice: ResultNotice
    u3: Digest = NO_DIGEST
    indexes: tuple[Count, ...] = ()
    since: Count = 0

    @property
    def name(self) -> str:
        """Return how people name the round."""
        return f"{self.scope.round.job}.{self.scope.round.round}"


@dataclass
class Check:
    """The check that is going on."""

    due: Due
    key: SealingKey
    parts: int = 1
    pieces: int = 1
    had: dict[int, bytes] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    vain: int = 0
    cause: str = "Parts of what a check needs do not come, or not whole."

    def again(self) -> float:
        """Count that it was asked in vain; return the seconds until it is asked again."""
        self.vain += 1
        return min(LONGEST, AGAIN * 2.0 ** min(self.vain, 8))


class Spots:
    """One check at a time, the oldest round first; a lie that is found goes to `lies`."""

    def __init__(
        self, name: str, key: SigningKey, rng: Rng, follower: Follower, blobs: Blobs, leaves: int,
        lies: Lies,
    ) -> None:  # fmt: skip
        self._name, self._key, self._rng = name, key, rng
        self._follower, self._blobs, self._count, self._lies = follower, blobs, leaves, lies
        self._now: Check | None = None

    def begin(self, due: Due, turn: Turn) -> None:
        """Throw this node's coin for a round whose result was taken in, and queue its check if it falls so."""
        if not self._count or not spots.throw(due.manifest, self._rng):
            self._forget(due, turn)
            return
        indexes = spots.draw(due.manifest, self._rng, self._count)
        drawn = Due(due.scope, due.manifest, due.aggregator_key, due.notice, due.u3, indexes, turn.now())
        turn.put(spots.slot(due.scope.round), encode(drawn))
        self.pursue(turn)

    def pursue(self, turn: Turn) -> None:
        """Ask for what is missing; also after a restart, and for parts that did not come."""
        if self._now is None:
            waiting = dues(turn)
            if not waiting:
                return
            # With the leaves that were drawn once, also after a restart.
            self._now = Check(waiting[0], SealingKey.from_private_bytes(self._rng(96)))
        self._now.asked.clear()
        self._go_on(self._now, turn)

    def wake(self, turn: Turn) -> None:
        """Ask again for parts that did not come."""
        if self._now is not None and len(self._now.had) < self._now.parts:
            self._tell(self._now, turn)
        self.pursue(turn)

    def part(self, message: Received, turn: Turn) -> None:
        """Take one part. Raises: WireError, SealBroken when it was bent on its way."""
        now, header = self._now, decode(SpotPart, message.header)
        if now is None or header.round != now.due.scope.round or header.part in now.had:
            return
        aggregator = now.due.manifest.aggregator
        if message.sender != aggregator or not header.part < header.parts <= 2 * len(now.due.manifest.members) + 64:
            raise SealBroken("A part of a spot check is not the aggregator's.", "It is asked for again.")
        info = spots.info(now.due.scope, aggregator, self._name, header.part)
        now.had[header.part] = now.key.open(message.body, info)
        now.parts, now.pieces = header.parts, header.pieces
        self._go_on(now, turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Take the verdict on a round."""
        now = self._now
        if now is None or name != spots.slot(now.due.scope.round):
            # Also when a verdict could not be saved: what is queued in the journal is checked anew.
            self.pursue(turn)
        elif isinstance(outcome, VerificationFailed) and outcome.code == "E-SPOT":
            self._expose(now, outcome, turn)
            self._drop(now.due, turn)
        elif isinstance(outcome, BaseException):
            now.cause = outcome.cause if isinstance(outcome, VerificationFailed) else str(outcome)
            # The same leaves again: a draw that could be had anew would be had anew until it misses.
            now.had.clear()
            now.parts = now.pieces = 1
            self._tell(now, turn)
        else:
            size = sum(map(len, now.had.values()))
            count = len(now.due.indexes)
            turn.tell(told.Spot(*place(now.due.scope.round), state="holds", count=count, bytes=size))
            self._drop(now.due, turn)

    def accept(self, named: str, turn: Turn) -> UncheckedShown:
        """Go on without the verdict on a round, because a person says so; the round log will say it too.

        Raises: BadInput when no check of this round waits.
        """
        due = next((due for due in dues(turn) if named in (due.name, due.scope.round.label())), None)
        if due is None:
            raise BadInput(f"No check of {named} waits here.", "See `secagg node status` for what waits.")
        round_id = due.scope.round
        leaf = sign_statement(
            UncheckedAccepted(
                federation=round_id.federation, time=turn.now(), job=round_id.job, round=round_id.round,
                attempt=round_id.attempt, group=round_id.group, member=self._name,
            ),
            self._name, self._key,
        )  # fmt: skip
        turn.send(due.manifest.aggregator, STATE, b"", leaf)
        turn.tell(told.UncheckedAccepted(*place(due.scope.round)))
        self._drop(due, turn)
        return UncheckedShown(due.name)

    def _drop(self, due: Due, turn: Turn) -> None:
        """Let go of a check, and go on with the next one."""
        if self._now is not None and self._now.due.scope == due.scope:
            self._now = None
            turn.cancel(TIMER)
        turn.delete(spots.slot(due.scope.round))
        self._forget(due, turn)
        self.pursue(turn)

    def _tell(self, now: Check, turn: Turn) -> None:
        """Wait a while longer than before until it is asked again, and say so to people once it is no accident."""
        turn.after(TIMER, now.again())
        if now.vain == TELL:
            remedy = f"No upload leaves without a verdict, or `secagg node unchecked accept {now.due.name}`."
            turn.tell(told.Unchecked(*place(now.due.scope.round), cause=now.cause, remedy=remedy))

    def _forget(self, due: Due, turn: Turn) -> None:
        """Delete a result that has no further use; a sum is one for the jobs that build on it."""
        if due.manifest.purpose == "training":
            published = due.notice.published
            turn.run(f"forget/{published.hex()}", lambda: self._blobs.delete(published))

    def _expose(self, now: Check, lie: VerificationFailed, turn: Turn) -> None:
        """Keep the evidence, and say what it is."""
        (transcript, leaves), notice = _opened(now), now.due.notice
        evidence = Lie(
            aggregator_key=now.due.aggregator_key, result=notice.leaf, proof=notice.proof, salt=notice.salt,
            published=self._blobs.get(notice.published), transcript=Raw(transcript), leaves=tuple(leaves.values()),
        )  # fmt: skip
        data = encode(evidence)
        digest = self._blobs.put(data)
        where, path = place(now.due.scope.round), str(self._blobs.path(digest))
        turn.tell(told.Lie(*where, cause=lie.cause, remedy=lie.remedy, rule="spot.sum", path=path))
        self._lies.found(digest, len(data), now.due.aggregator_key, lie.cause, turn)

    def _go_on(self, now: Check, turn: Turn) -> None:
        """Ask for what is missing, or judge once nothing is."""
        if len(now.had) < now.parts:
            self._ask(now, turn)
            return
        turn.cancel(TIMER)
        turn.run(spots.slot(now.due.scope.round), lambda: _judge(now, self._blobs))

    def _ask(self, now: Check, turn: Turn) -> None:
        aggregator = now.due.manifest.aggregator
        if not self._follower.reachable(turn):
            return
        for part in range(now.parts):
            if len(now.asked - now.had.keys()) >= WINDOW:
                break
            if part not in now.had and part not in now.asked:
                now.asked.add(part)
                turn.emit(aggregator, "spot", b"", self._request(now, aggregator, part))
        turn.after(TIMER, min(LONGEST, AGAIN * 2.0 ** min(now.vain, 8)))

    def _request(self, now: Check, aggregator: str, part: int) -> bytes:
        scope = now.due.scope
        body = encode(SpotRequest(scope.round, now.key.public, now.due.indexes, part))
        return encode(sign(self._key, "SpotRequest", scope, self._name, aggregator, body))


def _checks(manifest: Manifest) -> SpotSide:
    found = engines.load(manifest.engine).spots
    if found is None:
        raise VerificationFailed("Leaves of such a sum prove nothing by themselves.", "Have it audited.")
    return found


def _opened(now: Check) -> tuple[bytes, dict[str, tuple[Leaf, ...]]]:
    """Return the transcript and the leaves by member, in the order of its list. Raises: VerificationFailed."""
    parts = [now.had[number] for number in range(now.parts)]
    try:
        transcript = b"".join(parts[: now.pieces])
        members = senders(_checks(now.due.manifest).listed(transcript))
        handed = [decode(tuple[tuple[Leaf, ...], ...], data, LIMIT_LIST) for data in parts[now.pieces :]]
        return transcript, dict(zip(members, chain.from_iterable(handed), strict=True))
    except (WireError, ValueError):
        raise VerificationFailed("What was handed out is no transcript.", "It is asked for again.") from None


def _judge(now: Check, blobs: Blobs) -> None:
    """Check what was handed out. Raises: VerificationFailed."""
    (transcript, leaves), due = _opened(now), now.due
    checks = _checks(due.manifest)
    if due.u3 not in (NO_DIGEST, sha256(checks.listed(transcript))):
        raise VerificationFailed("What was handed out is of another set than this node signed.", "Keep both.")
    published = decode(Published, blobs.get(due.notice.published), WHOLE)
    checks.check(due.manifest, due.scope, due.aggregator_key, transcript, published, due.indexes, leaves)


def dues(turn: Turn) -> list[Due]:
    """Return the checks that have no verdict yet, the oldest first."""
    found = [decode(Due, data, WHOLE) for _, data in turn.scan("spot/")]
    return sorted(found, key=lambda due: (due.since, due.scope.round.round))


def pending(turn: Turn) -> bool:
    """Say whether a check has no verdict yet: until then this node signs no upload header (protocol §7)."""
    return bool(turn.scan("spot/"))


def results_due(turn: Turn) -> set[bytes]:
    """Return the blobs of results that are still to be checked."""
    return {due.notice.published for due in dues(turn)}


def due_of(kept: Round, notice: ResultNotice, u3: bytes, aggregator_key: bytes) -> Due | None:
    """Return the check of a round that this node was in to its end, None for any other."""
    if kept.scope.round != notice.round or not kept.manifest:
        return None
    manifest = decode(Manifest, kept.manifest, WHOLE)
    # What trustees open is proven for the whole vector at once: leaves by themselves prove nothing. Auditors check it.
    checked = engines.load(manifest.engine).spots is not None
    return Due(kept.scope, manifest, aggregator_key, notice, u3) if checked else None
