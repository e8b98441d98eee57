"""An upload that is masked and waits: its header is signed once no earlier sum is left to be checked.

Rules (protocol §7): whoever gives its next input before it knows whether the last sum was one may be asked for input
after input. What waits is in memory only, is made again after a restart, and is dropped with its round.
Leaves to others: the verdict (node.spot), signing and sending (node.rounds).
"""

from node.spot import pending
from node.uploading import Uploading
from secagg.daemon.turn import Turn
from secagg.protocol.round.asked import Named


class Holding:
    """At most one upload."""

    def __init__(self, uploading: Uploading) -> None:
        self._uploading = uploading
        self._held: tuple[str, Named] | None = None

    def put(self, label: str, done: Named) -> None:
        """Hold the upload of a round."""
        self._held = (label, done)

    def take(self, label: str, turn: Turn) -> Named | None:
        """Return the upload of this round, once, when nothing is left to be checked; else None."""
        if self._held is None or self._held[0] != label or pending(turn):
            return None
        done, self._held = self._held[1], None
        return done

    def drop(self, turn: Turn) -> None:
        """Let go of what is held: its round is over."""
        if self._held is not None:
            self._uploading.drop(self._held[1].upload, turn)
            self._held = None
