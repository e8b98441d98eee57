"""What a round's events say beside what happened: where it was, and who can read what this institution gives.

Leaves to others: when each is told (node.rounds, node.spot).
"""

from msgspec import UNSET

from secagg.daemon.turn import Turn
from secagg.ids import RoundId
from secagg.protocol.custody import readers
from secagg.protocol.manifest import Manifest


def where(round_id: RoundId) -> dict[str, object]:
    """Return the fields of an event that name its round."""
    return {"job": round_id.job, "round": round_id.round, "attempt": round_id.attempt}


def say_readers(manifest: Manifest, turn: Turn) -> None:
    """Say who can read this institution's update, where that is more than nobody: trustees may hold the key."""
    if manifest.custody is not UNSET:
        state = "held by trustees" if manifest.custody.colluders else "trial"
        turn.event({"event": "readers", **where(manifest.round), "state": state, "cause": readers(manifest.custody)})
