"""This node's spot checks: after a round, drawn leaves of its sum are fetched, recomputed and compared.

How to read it: `begin` queues a round, `pursue` asks for parts of the oldest one, `part` takes them, `finished` takes
the verdict. Rules (protocol §7): what is drawn comes from this node's own generator and is in memory only; every part
is sealed to a key of this check alone; what does not fit is asked for again with other leaves, because anybody on the
way may have bent it; a sum that is not the sum of signed uploads is the aggregator's lie: the evidence is kept and the
job is left. Leaves to others: recomputing (secagg.protocol.masks.spot), refusing (node.rounds).
"""

from dataclasses import dataclass, field

from msgspec import UNSET, Struct

from node import records
from node.jobs import Jobs
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.crypto.sign import SigningKey
from secagg.daemon.blobs import Blobs
from secagg.daemon.turn import Turn
from secagg.errors import Refused, SealBroken, TryLater, VerificationFailed, WireError
from secagg.ids import Digest, RoundId
from secagg.protocol.manifest import Manifest, Published
from secagg.protocol.masks import spot
from secagg.protocol.masks.spot import Leaf, Transcript
from secagg.protocol.session import SpotPart, SpotRequest
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, sign

TIMER = "spot"
AGAIN = 2.0
"""Seconds until parts that did not come are asked for again."""

WINDOW = 4
"""Parts on their way."""

TRIES = 5
"""Draws of one round, or times that parts are asked for again, before it is left unchecked, which is told."""


class Due(Struct, frozen=True, forbid_unknown_fields=True):
    """A round to be checked: its manifest and the blob of its published result."""

    scope: Scope
    manifest: Manifest
    published: Digest


class Lie(Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence: the published result beside signed uploads that do not give it."""

    manifest: Manifest
    transcript: Transcript
    published: bytes
    leaves: tuple[tuple[Leaf, ...], ...]


@dataclass
class Check:
    """The check that is going on."""

    due: Due
    key: SealingKey
    indexes: tuple[int, ...]
    parts: int = 1
    pieces: int = 1
    had: dict[int, bytes] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    waits: int = 0


class Spots:
    """One check at a time, the oldest round first."""

    def __init__(self, name: str, key: SigningKey, rng: Rng, jobs: Jobs, blobs: Blobs, leaves: int) -> None:
        self._name, self._key, self._rng = name, key, rng
        self._jobs, self._blobs, self._count = jobs, blobs, leaves
        self._now: Check | None = None
        self._tries = 0

    def begin(self, due: Due, turn: Turn) -> None:
        """Queue the check of a round whose result was taken in."""
        if not self._count:
            self._forget(due, turn)
        else:
            turn.put(spot.slot(due.scope.round), encode(due))
            self.pursue(turn)

    def pursue(self, turn: Turn) -> None:
        """Ask for what is missing; also after a restart, and for parts that did not come."""
        if self._now is None:
            waiting = turn.scan("spot/")
            if not waiting:
                return
            due = decode(Due, waiting[0][1], records.WHOLE)
            sealing = SealingKey.from_private_bytes(self._rng(96))
            self._now = Check(due, sealing, spot.draw(due.manifest, self._rng, self._count))
        self._now.asked.clear()
        self._go_on(self._now, turn)

    def wake(self, turn: Turn) -> None:
        """Ask again for parts that did not come, a few times."""
        if self._now is not None:
            self._now.waits += 1
            if self._now.waits > TRIES:
                self._give_up(self._now, "Parts of what a check needs do not come, or not whole.", turn)
                return
        self.pursue(turn)

    def part(self, message: Received, turn: Turn) -> None:
        """Take one part. Raises: WireError, SealBroken when it was bent on its way."""
        now, header = self._now, decode(SpotPart, message.header)
        if now is None or header.round != now.due.scope.round or header.part in now.had:
            return
        aggregator = self._jobs.aggregator(turn).name
        if message.sender != aggregator or not header.part < header.parts <= 2 * len(now.due.manifest.members) + 64:
            raise SealBroken("A part of a spot check is not the aggregator's.", "It is asked for again.")
        now.had[header.part] = now.key.open(message.body, spot.info(now.due.scope, aggregator, self._name, header.part))
        now.parts, now.pieces, now.waits = header.parts, header.pieces, 0
        self._go_on(now, turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Take the verdict on a round."""
        now = self._now
        if now is None or name != spot.slot(now.due.scope.round):
            # Also when a verdict could not be saved: what is queued in the journal is checked anew.
            self.pursue(turn)
            return
        if isinstance(outcome, VerificationFailed) and outcome.code == "E-SPOT":
            self._expose(now, outcome, turn)
        elif isinstance(outcome, BaseException):
            self._tries += 1
            if self._tries < TRIES:
                self._now = None
                self.pursue(turn)
                return
            cause = outcome.cause if isinstance(outcome, VerificationFailed) else str(outcome)
            self._give_up(now, cause, turn)
            return
        else:
            size = sum(map(len, now.had.values()))
            told = {"state": "holds", "count": len(now.indexes), "bytes": size}
            turn.event({"event": "spot", **_place(now), **told})
        self._next(now, turn)

    def _give_up(self, now: Check, cause: str, turn: Turn) -> None:
        remedy = "Let an auditor recompute the round."
        turn.event({"event": "unchecked", **_place(now), "cause": cause, "remedy": remedy})
        self._next(now, turn)

    def _next(self, now: Check, turn: Turn) -> None:
        """Let go of a check; go on with the next one, or into the next round."""
        self._now, self._tries = None, 0
        turn.cancel(TIMER)
        turn.delete(spot.slot(now.due.scope.round))
        self._forget(now.due, turn)
        self.pursue(turn)
        self._jobs.present(turn)

    def _forget(self, due: Due, turn: Turn) -> None:
        """Delete a result that has no further use; a sum is one for the jobs that build on it."""
        if due.manifest.purpose == "training":
            turn.run(f"forget/{due.published.hex()}", lambda: self._blobs.delete(due.published))

    def _expose(self, now: Check, found: VerificationFailed, turn: Turn) -> None:
        transcript, leaves = _opened(now)
        published = self._blobs.get(now.due.published)
        evidence = Lie(now.due.manifest, transcript, published, tuple(leaves.values()))
        digest = self._blobs.put(encode(evidence))
        turn.put(_distrust(self._jobs.aggregator(turn).sign_key), found.cause.encode())
        turn.put(f"{records.EVIDENCE}{digest.hex()}", b"")
        told = {"cause": found.cause, "remedy": found.remedy, "path": str(self._blobs.path(digest))}
        turn.event({"event": "lie", **_place(now), "rule": "spot.sum", **told})

    def _go_on(self, now: Check, turn: Turn) -> None:
        """Ask for what is missing, or judge once nothing is."""
        if len(now.had) < now.parts:
            self._ask(now, turn)
            return
        turn.cancel(TIMER)
        turn.run(spot.slot(now.due.scope.round), lambda: _judge(now, self._blobs))

    def _ask(self, now: Check, turn: Turn) -> None:
        try:
            aggregator = self._jobs.aggregator(turn).name
        except TryLater:
            return
        for part in range(now.parts):
            if len(now.asked - now.had.keys()) >= WINDOW:
                break
            if part not in now.had and part not in now.asked:
                now.asked.add(part)
                turn.emit(aggregator, "spot", b"", self._request(now, aggregator, part))
        turn.after(TIMER, AGAIN)

    def _request(self, now: Check, aggregator: str, part: int) -> bytes:
        scope = now.due.scope
        body = encode(SpotRequest(scope.round, now.key.public, now.indexes, part))
        return encode(sign(self._key, "SpotRequest", scope, self._name, aggregator, body))


def _place(now: Check) -> dict[str, object]:
    found = now.due.scope.round
    return {"job": found.job, "round": found.round, "attempt": found.attempt}


def _opened(now: Check) -> tuple[Transcript, dict[str, tuple[Leaf, ...]]]:
    """Return the transcript and the leaves by member, in the order of U3. Raises: VerificationFailed."""
    parts = [now.had[number] for number in range(now.parts)]
    try:
        transcript = decode(Transcript, b"".join(parts[: now.pieces]), LIMIT_LIST)
        leaves = [decode(tuple[Leaf, ...], data, LIMIT_LIST) for data in parts[now.pieces :]]
        return transcript, dict(zip(spot.members(transcript), leaves, strict=True))
    except (WireError, ValueError):
        raise VerificationFailed("What was handed out is no transcript.", "It is asked for again.") from None


def _judge(now: Check, blobs: Blobs) -> None:
    """Check what was handed out. Raises: VerificationFailed."""
    transcript, leaves = _opened(now)
    published = decode(Published, blobs.get(now.due.published), records.WHOLE)
    spot.check(now.due.manifest, now.due.scope, transcript, published, now.indexes, leaves)


def results_due(turn: Turn) -> set[bytes]:
    """Return the blobs of results that are still to be checked."""
    return {decode(Due, kept, records.WHOLE).published for _, kept in turn.scan("spot/")}


def due_of(kept: records.Round, published: bytes, round_id: RoundId) -> Due | None:
    """Return the check of a round that this node was in to its end, None for any other."""
    if kept.scope.round != round_id or not kept.manifest:
        return None
    manifest = decode(Manifest, kept.manifest, records.WHOLE)
    # What trustees open is proven for the whole vector at once: leaves by themselves prove nothing. Auditors check it.
    return Due(kept.scope, manifest, published) if manifest.custody is UNSET else None


def _distrust(aggregator_key: bytes) -> str:
    return f"distrust/{aggregator_key.hex()}"


def require_trust(aggregator_key: bytes, turn: Turn) -> None:
    """Raises: Refused when a check found that the aggregator with this key lies."""
    lie = turn.get(_distrust(aggregator_key))
    if lie:
        raise Refused(lie.decode(), "Show the evidence to the other members.", rule="spot.sum")
