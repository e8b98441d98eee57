"""Row 62: every number that a member says to an aggregator has a bound that is checked before anything is done with it.
No request of a member costs more than its answer.
"""

import inspect
import re
import tracemalloc
from pathlib import Path
from types import ModuleType

import pytest
from msgspec import Struct
from msgspec.structs import replace

from aggregator.service import AggregatorService
from secagg.crypto.derive import sha256
from secagg.daemon.blobs import Blobs
from secagg.errors import BadInput, ProtocolViolation
from secagg.ids import EVERYBODY
from secagg.protocol import session
from secagg.protocol.inputs import rehearsed
from secagg.protocol.lanes import upload_bytes
from secagg.protocol.masks import aggregator, intake, messages
from secagg.protocol.masks.messages import MaskedInput
from secagg.protocol.masks.rounds import Uploading
from secagg.protocol.paillier import messages as entrusted
from secagg.protocol.round.events import FromNode
from secagg.protocol.session import PIECE
from secagg.wire import chunks
from secagg.wire.codec import encode
from secagg.wire.signed import sign
from support.adversary import stop_before
from support.walking import numbers

_OF_ROUND = {f"round.{name}": "compared with the round that runs" for name in ("round", "attempt", "group")}

BOUNDED: dict[str, dict[str, str]] = {
    "Present": {
        "log_size": "schedule._size: never more than is published", "next_round": "a key that is looked up",
        "proven": "naming.lacks: compared with how many there are",
    },
    "SpotRequest": {
        **_OF_ROUND, "part": "spot: at most the parts there are", "indexes": "spot._spans: leaves, once each",
    },
    "AskRound": {**_OF_ROUND, "log_size": "ending.asked: from the start when it is more than is published"},
    "Fetch": {"index": "Blobs.piece: within the blob"},
    "AdvertiseKeys": {"log_size": "rounds._check_size: never more than is published"},
    "OpenBeacon": {"draw": "its type says 0 to 3"},
    "ShareKeys": {"leaves.x": "dealing: the coordinates of the receivers, in order"},
    "MaskedInput": {"length": "intake.masked_input: the manifest's"},
    "Attend": {"log_size": "rounds._check_size: never more than is published"},
    "EncryptedInput": {"length": "accepting.check_header: the layout's"},
    "Piece": {"index": "its type, and intake: a piece of an answer of this key", "count": "as its index"},
    "RoundHeader": _OF_ROUND,
    "ChunkHeader": {
        **_OF_ROUND, "size": "the manifest's", "total": "the manifest's", "index": "chunks.span: within the upload",
    },
    "ChunksAsked": {
        **_OF_ROUND, "indices": "its type says at most eight; each is looked up", "number": "said again in the answer",
    },
}  # fmt: skip
"""What bounds every number of what a member says, by message."""

KINDS = {"roster", "present", "ended", "round", "chunk", "ask-chunks", "fetch", "spot", "state", "ask-round"}
"""Kinds of messages that an aggregator takes; the key server says `roster`, a person's statement is `state`."""


def said_by_members() -> dict[str, type[Struct]]:
    """Return every message of a member: those whose docstring says so, and what they travel in."""
    rooms: tuple[ModuleType, ...] = (session, messages, entrusted, intake)
    found = {
        name: kind
        for room in rooms
        for name, kind in vars(room).items()
        if inspect.isclass(kind)
        and issubclass(kind, Struct)
        and kind.__module__ == room.__name__
        and (kind.__doc__ or "").startswith(("Node →", "Trustee →", "Node, trustee →"))
    }
    return found | {kind.__name__: kind for kind in (session.RoundHeader, chunks.ChunkHeader, chunks.ChunksAsked)}


def test_every_number_that_a_member_says_is_bounded_by_something_that_is_named() -> None:
    found = {name: numbers(kind) for name, kind in said_by_members().items() if numbers(kind)}
    assert found == {name: set(reasons) for name, reasons in BOUNDED.items()}


def test_no_kind_of_message_is_forgotten() -> None:
    source = inspect.getsource(AggregatorService.receive)
    assert set(re.findall(r"\"([a-z-]+)\": ", source)) == KINDS


@pytest.mark.parametrize("change", [-1, 1, 2**53])
def test_a_header_of_another_length_than_the_manifests_is_refused_at_the_door(change: int) -> None:
    """It would be kept under its root, and every auditor would find that the upload is not the one that was signed."""
    scene = stop_before("DeliverShares", "node-03")
    phase, key = scene.table.phase, scene.federation.members["node-00"]
    assert isinstance(phase, Uploading)
    given = rehearsed(phase.manifest, phase.scope, "node-00")
    honest = MaskedInput(bytes(32), upload_bytes(phase.manifest), sha256(phase.u2), (), given.bound)

    def door(said: MaskedInput) -> object:
        body = encode(sign(key, "MaskedInput", phase.scope, "node-00", EVERYBODY, encode(said)))
        return aggregator.advance(phase, FromNode("node-00", "MaskedInput", body), scene.table.keeper)

    assert door(honest)
    with pytest.raises(ProtocolViolation) as caught:
        door(replace(honest, length=min(honest.length + change, 2**53 - 1)))
    assert caught.value.rule == "upload.length"


def test_a_piece_costs_a_piece_however_large_the_blob_is(tmp_path: Path) -> None:
    blobs, digest = Blobs(tmp_path / "blobs"), bytes(32)
    with blobs.path(digest).open("wb") as file:
        file.truncate(64 * PIECE)
        file.seek(3 * PIECE)
        file.write(b"here")
    tracemalloc.start()
    data, total = blobs.piece(digest, 3, PIECE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (data[:4], len(data), total) == (b"here", PIECE, 64 * PIECE)
    assert peak < 4 * PIECE
    assert blobs.piece(digest, 63, PIECE)[0] == bytes(PIECE)
    for beyond in (64, 2**53 - 1):
        with pytest.raises(BadInput, match="outside"):
            blobs.piece(digest, beyond, PIECE)
    with pytest.raises(BadInput, match="not here"):
        blobs.piece(bytes(31) + b"1", 0, PIECE)
