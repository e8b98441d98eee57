"""Uploads at the aggregator: the first of two bodies stays, and both signatures are kept as the proof.

The aggregator is the real one in its real shell; a member of these tests sends chunks as it likes.
"""

import json
from pathlib import Path

import pytest

from secagg.crypto.derive import sha256
from secagg.log.statements import Equivocation, parse_statement
from secagg.protocol.lanes import chunk_hash
from secagg.protocol.masks.phases import Masking
from secagg.wire.chunks import ChunkHeader
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed, open_signed, sign
from support.aggregating import CHUNK, Hall, Member
from support.federation import make

LIAR = "node-01"


class TwoFaced(Member):
    """Signs another body for its first chunk, before or after the one of its upload, and sends it three times."""

    early = False

    async def upload(self, phase: Masking, upload: bytes) -> None:
        self.scope = phase.scope
        self.headers = [self._header(phase, upload, upload[:CHUNK])]
        other = bytes(len(upload[:CHUNK]))
        self.headers.append(self._header(phase, upload, other))
        if not self.early:
            await super().upload(phase, upload)
        for _ in range(3):
            await self.link.send("aggregator", "chunk", self.headers[1], other)
        if self.early:
            await super().upload(phase, upload)

    def _header(self, phase: Masking, upload: bytes, body: bytes) -> bytes:
        header = ChunkHeader(phase.scope.round, self.name, 0, CHUNK, len(upload), chunk_hash(phase.manifest, body))
        key = self.federation.members[self.name]
        return encode(sign(key, "ChunkHeader", phase.scope, self.name, "aggregator", encode(header)))


def stage_of(tmp_path: Path, early: bool) -> tuple[Hall, TwoFaced]:
    stage = Hall(make(4, chunk_bytes=CHUNK), tmp_path / "state")
    liar = TwoFaced(LIAR, stage.federation, stage.network)
    liar.early = early
    stage.members[LIAR] = liar
    return stage, liar


async def script(stage: Hall) -> None:
    await stage.push()
    stage.submit()
    await stage.settle()
    await stage.gather()
    await stage.wait(8)


@pytest.mark.parametrize("early", [False, True])
def test_two_bodies_for_one_chunk_are_proved_by_both_signatures_and_the_first_stays(
    tmp_path: Path, early: bool
) -> None:
    stage, liar = stage_of(tmp_path, early)
    stage.play(script)
    leaves = [stage.rounds_log.leaf(index) for index in range(stage.rounds_log.size)]
    found = [said for leaf in leaves if isinstance(said := parse_statement(leaf)[0], Equivocation)]
    assert [(said.member, said.digests) for said in found] == [
        (LIAR, tuple(sha256(header).hex() for header in (liar.headers[::-1] if early else liar.headers)))
    ]
    files = stage.state / "audit" / "files"
    bodies = set()
    for digest in found[0].digests:
        signed = decode(Signed, (files / digest).read_bytes())
        key = stage.federation.members[LIAR].public
        bodies.add(decode(ChunkHeader, open_signed(signed, key, "ChunkHeader", liar.scope, "aggregator")).hash)
    assert len(bodies) == 2
    (closed,) = stage.named("round_closed")
    contributed = LIAR in closed["contributors"]
    assert contributed is not early
    wanted = float(sum(2**m.index for m in stage.members.values() if contributed or m.name != LIAR))
    assert stage.result()["values"] == [wanted] * 7


def test_a_chunk_that_is_here_is_acknowledged_again_and_stored_once(tmp_path: Path) -> None:
    stage = Hall(make(4, chunk_bytes=CHUNK), tmp_path / "state")

    class Repeating(Member):
        """Sends its whole upload twice."""

        async def upload(self, phase: Masking, upload: bytes) -> None:
            for _ in range(2):
                await super().upload(phase, upload)

    stage.members[LIAR] = Repeating(LIAR, stage.federation, stage.network)
    stage.play(script)
    assert stage.result()["values"] == [15.0] * 7
    assert not [line for line in stage.log.getvalue().splitlines() if json.loads(line)["event"] == "refuse"]
