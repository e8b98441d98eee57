"""What a trustee reads of its rounds, and keeps in its journal beside them: what it was asked with, evidence.

Rules: a phase holds no secret, so it lies there as it is. A round stays until its result or its abort is known, or its
time is over, because its answer is repeated until then. What it decided with stays until the round has a result: an
aggregator that states afterwards that it ended without one is caught with it.
Leaves to others: keeping rounds (secagg.daemon.participant), what follows from them (rounds).
"""

from msgspec import Struct

from secagg.daemon.participant import WHOLE, Round
from secagg.daemon.turn import Turn
from secagg.ids import RoundId
from secagg.log.witness import LogProof
from secagg.protocol.engine import OpenerSide
from secagg.protocol.engines import opener_of
from secagg.protocol.round.asked import Stage
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed

_ASKED, _EVIDENCE = "asked/", "evidence/"


def opener(kept: Round) -> OpenerSide:
    """Return what is asked about a round."""
    return opener_of(kept.engine)


def read(kept: Round) -> object:
    """Return a round's phase, for the opener."""
    return opener(kept).read(kept.phase)


def stage(kept: Round) -> Stage:
    """Return what a round's phase means."""
    return opener(kept).stage(read(kept))


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """An attempt that the aggregator asked this trustee to open, and stated to have ended without a result.

    `asked` is its signed `Open`, `leaf` its `Aborted` with the proof that it is logged.
    """

    round: RoundId
    asked: Signed
    leaf: bytes
    proof: LogProof


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
