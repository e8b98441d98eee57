"""What a round works with, as one value.

Leaves to others: everything that is done with it (aggregator.rounds, aggregator.receiving).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aggregator.logbook import LogBook
from aggregator.spot import Handing
from aggregator.uploads import Uploads
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.crypto.sign import SigningKey
from secagg.daemon.turn import Turn
from secagg.log.bundle import BundleWriter
from secagg.protocol.manifest import Seat


@dataclass(frozen=True)
class Desk:
    """What a round works with: the aggregator's identity, its log, its stores, a job's opening key, the seats."""

    name: str
    key: SigningKey
    rng: Rng
    book: LogBook
    uploads: Uploads
    bundle: BundleWriter
    opening: Callable[[str, Turn], SealingKey]
    handing: Handing
    files: Path
    seats: Callable[[Turn], tuple[Seat, ...]]
    has: Callable[[str, Turn], bool]
    """Whether somebody of this name is in the federation now."""

    def sending(self, turn: Turn) -> Callable[[str, str, bytes, bytes], None]:
        """Return how a member is told until it acknowledges; whoever has left never will, and is told nothing."""

        def send(to: str, kind: str, header: bytes, body: bytes) -> None:
            if self.has(to, turn):
                turn.send(to, kind, header, body)

        return send
