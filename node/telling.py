"""What a round's events say beside what happened: who can read the update, and what binds its data.

Leaves to others: when each is told (node.rounds, node.spot).
"""

from msgspec import UNSET

from secagg.daemon.turn import Turn
from secagg.events import members as told
from secagg.events.line import place
from secagg.ids import RoundId
from secagg.protocol.custody import readers
from secagg.protocol.inputs import Binding
from secagg.protocol.manifest import Manifest


def say_readers(manifest: Manifest, turn: Turn) -> None:
    """Say who can read this institution's update, where that is more than nobody: trustees may hold the key."""
    if manifest.custody is not UNSET:
        state = "held by trustees" if manifest.custody.colluders else "trial"
        turn.tell(told.Readers(*place(manifest.round), state=state, cause=readers(manifest.custody)))


def say_bound(binding: Binding, round_id: RoundId, turn: Turn) -> None:
    """Say over whom an input was summed before, and so is summed now, and by which rule; nothing when it is free."""
    if binding.by:
        turn.tell(told.Bound(*place(round_id), rule=binding.rule, members=tuple(binding.names())))
