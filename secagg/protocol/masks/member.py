"""What a node's shell asks of engine `masks` beside its transitions: which phase means what, and masking itself.

Rules: every engine has a module of this name with these functions; a shell asks it and knows no engine.
Leaves to others: the transitions (node.py), training, storing and sending (node.rounds, node.work).
"""

from concurrent.futures import Executor
from pathlib import Path

from secagg.crypto.rng import Rng
from secagg.protocol.lanes import Contribution
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import masking, node
from secagg.protocol.masks.phases import Advertised, Drawing, Masking, Phase, Protected, Shared

PHASE = Phase
FIRST = "AdvertiseKeys"
"""The answer to a proposal, which is repeated with it."""

start, advance = node.start, node.advance


def moduli(manifest: Manifest) -> tuple[bytes, ...]:
    """Return the moduli of the keys that a manifest has encrypted to: none here."""
    return ()


def joined(phase: object) -> bool:
    """Say whether a phase answered the proposal and nothing else."""
    return isinstance(phase, Advertised)


def trains(phase: object) -> bool:
    """Say whether the node's words are still wanted in this phase."""
    return isinstance(phase, Advertised | Drawing | Shared | Masking)


def ready(phase: object) -> bool:
    """Say whether the node's words can be protected in this phase."""
    return isinstance(phase, Masking)


def protect(
    phase: Masking, me: str, given: Contribution, rng: Rng, tables: Path, executor: Executor,
    warm: bytearray | None = None,
) -> tuple[bytes | bytearray, Protected]:  # fmt: skip
    """Mask a contribution; return the upload, which may be `warm` written over, and the event for `advance`.

    Raises: BadInput on NaN.
    """
    upload = masking.contribute(given, phase, me, executor, warm)
    return upload.data, Protected(upload.root, len(upload.data), upload.chunks)
