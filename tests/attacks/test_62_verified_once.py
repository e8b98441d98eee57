"""Row 62: a member sends a chunk of its whole upload again and again while the aggregator verifies that upload.

Each chunk says that the upload is there. Verified for each, it would keep the workers busy for hours. Meanwhile no
other upload would be verified, and no entry of the log written.
"""

from collections import Counter
from pathlib import Path

from secagg.protocol.masks.messages import MaskedInput
from secagg.protocol.masks.phases import Masking
from secagg.protocol.session import RoundHeader
from secagg.wire.codec import decode
from secagg.wire.signed import Signed
from support.aggregating import Hall, Member
from support.federation import make
from support.holding import Held, Read

GREEDY, TIMES = "node-03", 50


class Greedy(Member):
    """A member that sends its first chunk again and again once its header is there."""

    workers: Held
    named = b""
    sent: tuple[Masking, bytes] | None = None

    async def upload(self, phase: Masking, upload: bytes) -> None:
        self.sent = phase, upload
        await super().upload(phase, upload)

    async def say(self, header: RoundHeader, data: bytes) -> None:
        if header.kind == "MaskedInput":
            self.named, self.workers.holds = decode(MaskedInput, decode(Signed, data).body).upload, True
        await super().say(header, data)
        if header.kind == "MaskedInput" and self.sent:
            for _ in range(TIMES):
                await self.chunk(*self.sent, 0)


def test_an_upload_is_verified_once_however_often_its_chunks_come(tmp_path: Path) -> None:
    stage, workers = Hall(make(4, chunk_bytes=4096), tmp_path / "state"), Held()
    greedy, uploads = stage.members[GREEDY], stage.service._desk.uploads.blobs
    greedy.__class__, uploads.__class__ = Greedy, Read
    stage.daemon._executor = greedy.workers = uploads.workers = workers  # type: ignore[attr-defined]
    times = Counter[bytes]()
    uploads.times = times  # type: ignore[attr-defined]

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        await stage.settle()
        await stage.gather()
        assert len(workers.waiting) > TIMES // 2
        workers.release()
        await stage.gather()
        await stage.wait(4)

    stage.play(script)
    assert len(stage.named("round_closed")[0]["contributors"]) == 4
    assert times[greedy.named] == 1  # type: ignore[attr-defined]
