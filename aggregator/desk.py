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
