"""Row 62: two members that name one upload: the second sends other bytes under the name of the first.

What is not what its header says is discarded. If that were the upload of the first, which is counted already, the
aggregator would find its set frozen and the bytes gone. It could neither go on nor end the round.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.ids import EVERYBODY
from secagg.protocol.masks.messages import MaskedInput
from secagg.protocol.session import RoundHeader
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed, sign
from support.aggregating import Hall, Member
from support.federation import make

FIRST, SECOND = "node-03", "node-04"


class Copying(Member):
    """A member that sends zeros as its upload, and a header that names another's."""

    named: bytes = b""

    async def chunk(self, phase: object, upload: bytes, index: int) -> None:
        await super().chunk(phase, bytes(len(upload)), index)  # type: ignore[arg-type]

    async def say(self, header: RoundHeader, data: bytes) -> None:
        if header.kind == "MaskedInput":
            signed = decode(Signed, data)
            body = encode(replace(decode(MaskedInput, signed.body), upload=self.named))
            assert self.phase
            key = self.federation.members[self.name]
            data = encode(sign(key, "MaskedInput", self.phase.scope, self.name, EVERYBODY, body))
        await super().say(header, data)


@pytest.mark.parametrize("restarts", [False, True])
def test_an_upload_that_counts_is_not_lost_by_one_of_its_name(restarts: bool, tmp_path: Path) -> None:
    hall = Hall(make(5, chunk_bytes=4096), tmp_path / "state")
    second = hall.members[SECOND]
    second.__class__ = Copying
    held = hall.network._fate

    def fate(to: str, message: Received) -> object:
        if message.sender == FIRST and b"MaskedInput" in message.header:
            second.named = decode(MaskedInput, decode(Signed, message.body).body).upload  # type: ignore[attr-defined]
        return held(to, message)

    hall.network._fate = fate  # type: ignore[assignment]

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        await stage.wait(2)
        if restarts:
            await stage.restart()
            await stage.push()
        for _ in range(5):
            await stage.wait(2)

    hall.play(script)
    (closed,) = hall.named("round_closed")
    assert closed["contributors"] == ["node-00", "node-01", "node-02", FIRST]
