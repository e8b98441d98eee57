"""What every member that takes part in rounds keeps of them in its journal, whatever its role: a node, a trustee.

Rules: a struct per value, encoded completely. A round lies under its label until it is over, so that a role may be in
several. Leaves to others: what follows from them (the roles).
"""

from msgspec import Struct

from secagg.daemon.turn import Turn
from secagg.ids import Count, Name, RoundId
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope

WHOLE = 2**40
"""Limit for values that this daemon wrote itself."""

_ROUND, _REFUSAL, _SINCE = "round/", "refusal", "since"


class Round(Struct, frozen=True, forbid_unknown_fields=True):
    """A round this member is in: its engine, its phase encoded, and the first answer, to be repeated.

    A role whose phases hold secrets keeps them sealed. `manifest` is there where the work of the round is asked for
    again after a restart. `since` is when the phase began, `until` when the round ends by itself (wall time, unix
    seconds).
    """

    scope: Scope
    engine: Name
    phase: bytes = b""
    answer: bytes = b""
    manifest: bytes = b""
    since: Count = 0
    until: Count = 0

    @property
    def label(self) -> str:
        """Return the round's label."""
        return self.scope.round.label()


class Refusal(Struct, frozen=True, forbid_unknown_fields=True):
    """A round this member left, or never entered, and by which of its rules."""

    round: RoundId
    rule: str
    cause: str
    remedy: str


def put_round(turn: Turn, kept: Round) -> None:
    """Keep a round."""
    turn.put(_ROUND + kept.label, encode(kept))


def find_round(turn: Turn, label: str) -> Round | None:
    """Return the round of this label, if this member is in it."""
    kept = turn.get(_ROUND + label)
    return decode(Round, kept, WHOLE) if kept else None


def all_rounds(turn: Turn) -> list[Round]:
    """Return every round that is not over."""
    return [decode(Round, kept, WHOLE) for _, kept in turn.scan(_ROUND)]


def drop_round(turn: Turn, kept: Round) -> None:
    """Keep a round no longer."""
    turn.delete(_ROUND + kept.label)


def put_refusal(turn: Turn, refusal: Refusal) -> None:
    """Keep the last refusal, for whoever asks this member."""
    turn.put(_REFUSAL, encode(refusal))


def find_refusal(turn: Turn) -> Refusal | None:
    """Return the last refusal."""
    kept = turn.get(_REFUSAL)
    return decode(Refusal, kept, WHOLE) if kept else None


def put_since(turn: Turn) -> None:
    """Keep that from now on this member waits for something else than before, outside of rounds."""
    turn.put(_SINCE, str(turn.now()).encode())


def find_since(turn: Turn) -> int:
    """Return since when (wall time) this member has waited for the same thing, outside of rounds; 0 before a start."""
    return int(turn.get(_SINCE) or b"0")
