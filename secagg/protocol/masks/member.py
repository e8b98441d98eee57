"""What a node's shell asks of engine `masks` beside its transitions: which phase means what, and masking itself.

Rules: every engine has a module of this name with these functions; a shell asks it and knows no engine.
Leaves to others: the transitions (node.py), training, storing and sending (node.rounds, node.work).
"""

import os
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import cast

import numpy as np
from msgspec.structs import replace

from secagg.crypto.rng import Rng
from secagg.ids import NO_DIGEST
from secagg.protocol.inputs import Given
from secagg.protocol.lanes import Contribution, Groups, packing
from secagg.protocol.manifest import Custody, Manifest
from secagg.protocol.masks import masking, node
from secagg.protocol.masks.ending import check_frozen as check_frozen
from secagg.protocol.masks.messages import ANSWERED_BY
from secagg.protocol.masks.phases import (
    Advertised,
    Agreed,
    Answered,
    Drawing,
    Masking,
    Phase,
    Protected,
    Shared,
    Uploaded,
)
from secagg.protocol.round.asked import Named, Stage
from secagg.protocol.round.parties import NodeContext
from secagg.protocol.round.phases import within
from secagg.wire.codec import decode
from secagg.wire.signed import Scope, Signed

WHOLE = 2**40
ANSWERS: Mapping[str, str] = ANSWERED_BY
FIRST = "AdvertiseKeys"
"""The answer to a proposal, which is repeated with it."""

SHARE = 4
"""The part of the free memory that masks made ahead may take: one in so many."""

start = node.start

_STAGES: dict[type, Stage] = {
    Advertised: Stage.JOINED | Stage.TRAINS,
    Drawing: Stage.TRAINS,
    Shared: Stage.TRAINS,
    Masking: Stage.TRAINS | Stage.READY,
}


_AWAITED: dict[type, str] = {
    Advertised: "the keys of all members (U1)",
    Drawing: "the draw of the graph",
    Shared: "the shares of all members (U2)",
    Uploaded: "the frozen list of uploads",
    Agreed: "the signatures of the others on U3",
    Answered: "the result",
}


def read(data: bytes) -> Phase:
    """Return an encoded phase. Raises: WireError."""
    return decode(cast(type[Phase], Phase), data, WHOLE)


def advance(phase: object, event: object, ctx: NodeContext) -> node.Step:
    """Take one event in one phase. Raises: ProtocolViolation; the phase is then unchanged."""
    return node.advance(cast(Phase, phase), cast(Signed | Protected, event), ctx)


def stage(phase: object) -> Stage:
    """Return what a phase means."""
    return _STAGES.get(type(phase), Stage.NOTHING)


def awaited(phase: object) -> str:
    """Return what a member waits for in a phase, for people."""
    return _AWAITED.get(type(phase), "the end of the round")


def agreed(phase: object) -> bytes:
    """Return H(U3) once a member agreed to it, zeros before."""
    return phase.u3 if isinstance(phase, Agreed | Answered) else NO_DIGEST


def moduli(manifest: Manifest) -> tuple[bytes, ...]:
    """Return the moduli of the keys that a manifest has encrypted to: none here."""
    return ()


def prepare(phase: object, me: str, rng: Rng, tables: Path, executor: Executor) -> Groups | None:
    """Make the masks while the model trains, where memory has room for one more vector of words."""
    found = within(phase, Masking)
    needed = sum(packing(group).words * np.dtype(packing(group).dtype).itemsize for group in found.manifest.groups)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return masking.prepare(found, me, executor) if needed <= free // SHARE else None


def counted(done: Named, given: Given) -> Protected:
    """Return the event of a stored upload with what the node's ledger says of its input."""
    return replace(within(done, Protected), given=given)


def protect(
    phase: object, me: str, given: Contribution, rng: Rng, tables: Path, executor: Executor,
    warm: bytearray | None = None, prepared: object = None,
) -> tuple[bytes | bytearray, Protected]:  # fmt: skip
    """Mask a contribution; return the upload, which may be `warm` written over, and the event for `advance`.

    Raises: BadInput on NaN.
    """
    made = within(prepared, dict) if prepared is not None else None
    upload = masking.contribute(given, within(phase, Masking), me, executor, warm, made)
    return upload.data, Protected(upload.root, len(upload.data), upload.chunks)


def check_words(words: Collection[Signed], custody: Custody, scope: Scope) -> None:
    """Nobody has to say that an attempt is over: there are no trustees who could still answer it."""
