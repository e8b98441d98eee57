"""Row 57: a trustee that is shown a lie judges it itself, leaves its rounds and opens nothing more for who lied."""

import dataclasses
from pathlib import Path

import pytest

from secagg.crypto.derive import sha256
from secagg.log.statements import LieReported, sign_statement
from secagg.protocol.session import PIECE, Fetch, PieceHeader
from secagg.rehearsal.federation import Federation
from secagg.roster.messages import LIE, LiePush
from secagg.transport.link import KEYSERVER
from secagg.wire.codec import decode, encode
from support.chambers import Chamber
from support.entrusted import make
from support.federation import job, names_of
from support.lies import Kept, Lying, evidence_of


async def shown(room: Chamber, data: bytes) -> None:
    """Push evidence to every trustee, and hand it out."""
    nodes = room.entrusted.nodes
    stated = LieReported(
        federation="fed", time=1, member="node-00", aggregator_key=nodes.aggregator.public.hex(),
        evidence=sha256(data).hex(),
    )  # fmt: skip
    push = encode(LiePush(sign_statement(stated, KEYSERVER, nodes.online), len(data)))
    for name in room.trustees:
        await room.keyserver.send(name, LIE, b"", push, id=room.rng(16))
    for _ in range(4):
        await room.settle()
        for message in room.starts.other:
            asked = decode(Fetch, message.body)
            header = encode(PieceHeader(asked.digest, asked.index, len(data)))
            piece = data[asked.index * PIECE : (asked.index + 1) * PIECE]
            await room.keyserver.send(message.sender, "piece", header, piece)
        room.starts.other.clear()


def masks_of(nodes: Federation) -> Federation:
    """Return the same federation with a job of engine masks, in which its aggregator can lie."""
    return dataclasses.replace(nodes, spec=job(names_of(4), parameters=20_000))


@pytest.mark.parametrize("when", ["before", "within"])
def test_nothing_is_opened_for_who_lied(tmp_path: Path, when: str) -> None:
    chamber = Chamber(make(4), tmp_path)
    data = encode(evidence_of(Lying, masks_of(chamber.entrusted.nodes))[0])

    async def script(room: Chamber) -> None:
        if when == "before":
            await shown(room, data)
            await room.begin()
            return
        # In the middle of a round: before the freeze is heard of.
        room.instead = {name: lambda: None for name in room.table.parties}
        await room.begin()
        await shown(room, data)
        room.instead.clear()
        await room.again()

    chamber.play(script)
    for one in chamber.trustees.values():
        (told,) = one.named("lie")
        assert (told["rule"], Path(told["path"]).read_bytes() == data) == ("spot.sum", True)
    assert not any(kind == "Decrypt" for _, kind in chamber.answers)


def test_a_forgery_stops_no_trustee(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        await shown(room, encode(evidence_of(Kept, masks_of(room.entrusted.nodes))[0]))
        await room.begin()

    chamber.play(script)
    assert chamber.sums().published
    for one in chamber.trustees.values():
        assert one.named("lie") == []
        assert len(one.named("false_evidence")) == 1
