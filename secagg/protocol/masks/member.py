"""What a node's shell asks of engine `masks` beside its transitions: which phase means what, and masking itself.

Rules: every engine has a module of this name with these functions; a shell asks it and knows no engine.
Leaves to others: the transitions (node.py), training, storing and sending (node.rounds, node.work).
"""

import os
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from secagg.crypto.rng import Rng
from secagg.protocol.lanes import Contribution, Groups, packing
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import masking, node
from secagg.protocol.masks.phases import Advertised, Drawing, Masking, Phase, Protected, Shared

PHASE = Phase
FIRST = "AdvertiseKeys"
"""The answer to a proposal, which is repeated with it."""

SHARE = 4
"""The part of the free memory that masks made ahead may take: one in so many."""

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


def prepare(phase: Masking, me: str, rng: Rng, tables: Path, executor: Executor) -> Groups | None:
    """Make the masks while the model trains, where memory has room for one more vector of words."""
    needed = sum(packing(group).words * np.dtype(packing(group).dtype).itemsize for group in phase.manifest.groups)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return masking.prepare(phase, me, executor) if needed <= free // SHARE else None


def protect(
    phase: Masking, me: str, given: Contribution, rng: Rng, tables: Path, executor: Executor,
    warm: bytearray | None = None, prepared: Groups | None = None,
) -> tuple[bytes | bytearray, Protected]:  # fmt: skip
    """Mask a contribution; return the upload, which may be `warm` written over, and the event for `advance`.

    Raises: BadInput on NaN.
    """
    upload = masking.contribute(given, phase, me, executor, warm, prepared)
    return upload.data, Protected(upload.root, len(upload.data), upload.chunks)
