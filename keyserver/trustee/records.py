"""What a trustee keeps in its journal besides its ledger: the rounds it judges, what it was asked with, evidence.

Rules: a struct per value, encoded completely. A phase holds no secret, so it lies there as it is. A round stays until
its result or its abort is known, or its time is over, because its answer is repeated until then. What it decided with
stays until the round has a result: an aggregator that states afterwards that it ended without one is caught with it.
Leaves to others: what follows from them (rounds).
"""

from msgspec import Struct

from secagg.daemon.turn import Turn
from secagg.ids import Count, Name, RoundId
from secagg.log.witness import LogProof
from secagg.protocol.engine import OpenerSide
from secagg.protocol.engines import opener_of
from secagg.protocol.round.asked import Stage
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope, Signed

WHOLE = 2**40
"""Limit for values that this daemon wrote itself."""

_ROUND, _REFUSAL, _ASKED, _EVIDENCE = "round/", "refusal", "asked/", "evidence/"


class Round(Struct, frozen=True, forbid_unknown_fields=True):
    """A round this trustee judges: its phase encoded, its first answer, to be repeated, and the engine it is of.

    `since` is when the phase began, `until` when the round ends by itself (wall time, unix seconds).
    """

    scope: Scope
    phase: bytes
    answer: bytes
    since: Count
    until: Count
    engine: Name

    @property
    def label(self) -> str:
        """Return the round's label."""
        return self.scope.round.label()

    @property
    def opener(self) -> OpenerSide:
        """Return what is asked about the round."""
        return opener_of(self.engine)

    def read(self) -> object:
        """Return the phase, for the opener."""
        return self.opener.read(self.phase)

    def stage(self) -> Stage:
        """Return what the phase means."""
        return self.opener.stage(self.read())


class Refusal(Struct, frozen=True, forbid_unknown_fields=True):
    """A round this trustee left, or never entered, and by which of its rules."""

    round: RoundId
    rule: str
    cause: str
    remedy: str


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """An attempt that the aggregator asked this trustee to open, and stated to have ended without a result.

    `asked` is its signed `Open`, `leaf` its `Aborted` with the proof that it is logged.
    """

    round: RoundId
    asked: Signed
    leaf: bytes
    proof: LogProof


def put_round(turn: Turn, kept: Round) -> None:
    """Keep a round."""
    turn.put(_ROUND + kept.label, encode(kept))


def find_round(turn: Turn, round_id: RoundId) -> Round | None:
    """Return a round."""
    kept = turn.get(_ROUND + round_id.label())
    return decode(Round, kept, WHOLE) if kept else None


def all_rounds(turn: Turn) -> list[Round]:
    """Return every round that is not over."""
    return [decode(Round, kept, WHOLE) for _, kept in turn.scan(_ROUND)]


def drop_round(turn: Turn, kept: Round) -> None:
    """Keep a round no longer."""
    turn.delete(_ROUND + kept.label)


def put_refusal(turn: Turn, refusal: Refusal) -> None:
    """Keep the last refusal, for whoever asks this trustee."""
    turn.put(_REFUSAL, encode(refusal))


def find_refusal(turn: Turn) -> Refusal | None:
    """Return the last refusal."""
    kept = turn.get(_REFUSAL)
    return decode(Refusal, kept, WHOLE) if kept else None


def put_asked(turn: Turn, round_id: RoundId, asked: Signed) -> None:
    """Keep the message with which this trustee decided to open an attempt."""
    turn.put(_ASKED + round_id.label(), encode(asked))


def find_asked(turn: Turn, round_id: RoundId) -> Signed | None:
    """Return the message with which this trustee decided to open an attempt, while no result of it is known."""
    kept = turn.get(_ASKED + round_id.label())
    return decode(Signed, kept, WHOLE) if kept else None


def drop_asked(turn: Turn, round_id: RoundId) -> None:
    """Keep what an attempt was decided with no longer: it has a result."""
    turn.delete(_ASKED + round_id.label())


def put_evidence(turn: Turn, evidence: Evidence) -> bool:
    """Keep evidence for good; say whether it is new."""
    key = _EVIDENCE + evidence.round.label()
    new = turn.get(key) is None
    if new:
        turn.put(key, encode(evidence))
    return new


def all_evidence(turn: Turn) -> list[Evidence]:
    """Return all evidence against the aggregator."""
    return [decode(Evidence, kept, WHOLE) for _, kept in turn.scan(_EVIDENCE)]
