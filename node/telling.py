"""What a round's events say beside what happened: where it was, who can read the update, what was refused.

Leaves to others: when each is told (node.rounds, node.spot).
"""

from msgspec import UNSET

from node import records
from node.records import Refusal
from secagg.daemon.turn import Turn
from secagg.ids import RoundId
from secagg.protocol.custody import readers
from secagg.protocol.inputs import Binding
from secagg.protocol.manifest import Manifest


def where(round_id: RoundId) -> dict[str, object]:
    """Return the fields of an event that name its round."""
    return {"job": round_id.job, "round": round_id.round, "attempt": round_id.attempt}


def say_readers(manifest: Manifest, turn: Turn) -> None:
    """Say who can read this institution's update, where that is more than nobody: trustees may hold the key."""
    if manifest.custody is not UNSET:
        state = "held by trustees" if manifest.custody.colluders else "trial"
        turn.event({"event": "readers", **where(manifest.round), "state": state, "cause": readers(manifest.custody)})


def tell(refusal: Refusal, turn: Turn) -> None:
    """Keep and tell what was refused and by which rule."""
    records.put_refusal(turn, refusal)
    told = {"rule": refusal.rule, "cause": refusal.cause, "remedy": refusal.remedy}
    turn.event({"event": "refuse", **where(refusal.round), **told})


def say_bound(binding: Binding, round_id: RoundId, turn: Turn) -> None:
    """Say over whom an input was summed before, and so is summed now, and by which rule; nothing when it is free."""
    if binding.by:
        turn.event({"event": "bound", **where(round_id), "rule": binding.rule, "members": binding.names()})
