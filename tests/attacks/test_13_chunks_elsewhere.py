"""Row 13: pieces of uploads in another slot: another member's, another attempt's, of another size or other bytes.

The liar signs what it likes; whatever does not fit is not acknowledged, and the honest upload behind it still counts.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.protocol.lanes import chunk_hash
from secagg.protocol.masks.phases import Masking
from secagg.transport.link import Received
from secagg.wire.chunks import ChunkHeader
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, sign
from support.aggregating import CHUNK, Hall, Member
from support.federation import make

LIAR, OTHER = "node-01", "node-02"
Lie = Callable[["Liar", Masking, ChunkHeader, bytes], tuple[bytes, bytes]]


class Liar(Member):
    """Sends one bent chunk before its honest upload."""

    def __init__(self, hall: Hall, bend: Lie) -> None:
        super().__init__(LIAR, hall.federation, hall.network)
        self.bend = bend

    async def upload(self, phase: Masking, upload: bytes) -> None:
        """Send the bent chunk, then every honest one."""
        body = upload[:CHUNK]
        honest = ChunkHeader(phase.scope.round, self.name, 0, CHUNK, len(upload), chunk_hash(phase.manifest, body))
        header, data = self.bend(self, phase, honest, body)
        await self.link.send("aggregator", "chunk", header, data)
        await super().upload(phase, upload)

    def header(
        self, header: ChunkHeader, scope: Scope, sender: str = LIAR, key: str = LIAR, to: str = "aggregator"
    ) -> bytes:
        """Sign a header as `sender` with the key of `key`."""
        return encode(sign(self.federation.members[key], "ChunkHeader", scope, sender, to, encode(header)))


def of_another_member(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    """The very message that node-02 signed for itself, sent by node-01."""
    return liar.header(replace(header, node=OTHER), phase.scope, OTHER, OTHER), body


def for_another_member(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    return liar.header(replace(header, node=OTHER), phase.scope), body


def under_another_key(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    return liar.header(header, phase.scope, LIAR, OTHER), body


def under_another_name(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    return liar.header(header, phase.scope, sender=OTHER), body


def of_a_smaller_total(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    short = body[:-8]
    lie = replace(header, total=header.total - 8, hash=chunk_hash(phase.manifest, short))
    return liar.header(lie, phase.scope), short


def of_another_attempt(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    later = replace(phase.scope.round, attempt=2)
    return liar.header(replace(header, round=later), phase.scope), body


def signed_for_another_attempt(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    later = replace(phase.scope, round=replace(phase.scope.round, attempt=2))
    return liar.header(header, later), body


def signed_for_somebody_else(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    return liar.header(header, phase.scope, to=OTHER), body


def of_another_size(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    return liar.header(replace(header, size=len(body)), phase.scope), body


def of_another_total(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    longer = body + bytes(8)
    lie = replace(header, total=header.total + 8, hash=chunk_hash(phase.manifest, longer))
    return liar.header(lie, phase.scope), longer


def of_other_bytes(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    return liar.header(header, phase.scope), bytes([body[0] ^ 1]) + body[1:]


def cut_short(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    short = body[:-1]
    return liar.header(replace(header, hash=chunk_hash(phase.manifest, short)), phase.scope), short


LIES = (
    of_another_member, for_another_member, under_another_key, under_another_name, of_a_smaller_total,
    of_another_attempt, signed_for_another_attempt,
    signed_for_somebody_else, of_another_size, of_another_total, of_other_bytes, cut_short,
)  # fmt: skip


def played(place: Path, bend: Lie) -> tuple[Hall, list[Received], list[str]]:
    """Run a sum in which node-01 sends a bent chunk; return the hall, its receipts and the warnings about chunks."""
    stage = Hall(make(4, chunk_bytes=CHUNK), place)
    stage.members[LIAR], receipts = Liar(stage, bend), []

    def fate(to: str, message: Received) -> tuple[Received, ...]:
        if to in (LIAR, OTHER) and message.kind == "ack-chunk":
            receipts.append(message)
        return (message,)

    async def script(hall: Hall) -> None:
        hall.network._fate = fate
        hall.members[OTHER].silent = "MaskedInput"
        await hall.push()
        hall.submit()
        await hall.settle()
        await hall.gather()
        await hall.wait(8)

    stage.play(script)
    warnings = [line for line in stage.log.getvalue().splitlines() if '"warning"' in line and '"chunk"' in line]
    return stage, receipts, warnings


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_chunk_that_belongs_elsewhere_is_refused_and_the_honest_upload_counts(tmp_path: Path, lie: Lie) -> None:
    stage, receipts, warnings = played(tmp_path, lie)
    assert len(warnings) == 1
    assert len(receipts) == 1
    assert stage.named("round_closed")[0]["contributors"] == ["node-00", LIAR, "node-03"]
    assert stage.result()["values"] == [1.0 + 2.0 + 8.0] * 7


def honest(liar: Liar, phase: Masking, header: ChunkHeader, body: bytes) -> tuple[bytes, bytes]:
    return liar.header(header, phase.scope), body


def test_the_same_chunk_again_gets_the_same_receipt(tmp_path: Path) -> None:
    stage, receipts, warnings = played(tmp_path, honest)
    assert warnings == []
    first, second = receipts
    assert first.body == second.body
    assert stage.result()["values"] == [11.0] * 7
