"""What a trustee keeps in its journal besides its ledger: the rounds it judges, and its last refusal.

Rules: a struct per value, encoded completely; a phase holds no secret, so it lies there as it is; a round stays until
its result or its abort is known, or its time is over, because its answer is repeated until then.
Leaves to others: what follows from them (rounds).
"""

from typing import cast

from msgspec import Struct

from secagg.daemon.turn import Turn
from secagg.ids import Count, RoundId
from secagg.protocol.paillier.phases import TrusteePhase
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope

WHOLE = 2**40
"""Limit for values that this daemon wrote itself."""

_ROUND, _REFUSAL = "round/", "refusal"


class Round(Struct, frozen=True, forbid_unknown_fields=True):
    """A round this trustee judges: its phase encoded, and its first answer, to be repeated.

    `since` is when the phase began, `until` when the round ends by itself (wall time, unix seconds).
    """

    scope: Scope
    phase: bytes
    answer: bytes
    since: Count
    until: Count

    @property
    def label(self) -> str:
        """Return the round's label."""
        return self.scope.round.label()

    def stage(self) -> TrusteePhase:
        """Return the phase."""
        return decode(cast(type[TrusteePhase], TrusteePhase), self.phase, WHOLE)


class Refusal(Struct, frozen=True, forbid_unknown_fields=True):
    """A round this trustee left, or never entered, and by which of its rules."""

    round: RoundId
    rule: str
    cause: str
    remedy: str


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
