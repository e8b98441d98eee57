"""Who asks which chunks of its upload are here gets receipts for those, the names of the others, and nothing else."""

from pathlib import Path

from msgspec.structs import replace

from secagg.protocol.masks.phases import Masking
from secagg.transport.link import Received
from secagg.wire.chunks import ChunkAck, ChunksAsked, ChunksMissing, count
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed, open_signed
from support.aggregating import CHUNK, Hall, Member
from support.federation import make

ASKING, LENGTH = "node-01", 2_500


class Asking(Member):
    """Uploads everything but chunk 1, and keeps what is said about chunks."""

    def __init__(self, hall: Hall) -> None:
        super().__init__(ASKING, hall.federation, hall.network)
        self.missing: list[ChunksMissing] = []
        self.receipts: list[int] = []

    async def upload(self, phase: Masking, upload: bytes) -> None:
        """Leave chunk 1 out."""
        self.masking, self.whole = phase, upload
        for index in range(count(len(upload), CHUNK)):
            if index != 1:
                await self.chunk(phase, upload, index)

    async def ask(self, *indices: int, attempt: int = 1) -> None:
        """Ask about chunks of the round, or of another attempt of it."""
        round_id = replace(self.masking.scope.round, attempt=attempt)
        await self.link.send("aggregator", "ask-chunks", b"", encode(ChunksAsked(round_id, 7, indices)))

    async def _hear(self, message: Received) -> None:
        if message.kind == "missing-chunks":
            self.missing.append(decode(ChunksMissing, message.body))
        elif message.kind == "ack-chunk":
            key = self.federation.aggregator.public
            body = open_signed(decode(Signed, message.body), key, "ChunkAck", self.masking.scope, self.name)
            self.receipts.append(decode(ChunkAck, body).index)
        else:
            await super()._hear(message)


async def collecting(stage: Hall) -> Asking:
    """Go on until everybody has uploaded, and somebody not quite."""
    asking = stage.members[ASKING]
    assert isinstance(asking, Asking)
    await stage.push()
    stage.submit(length=LENGTH)
    await stage.settle()
    await stage.gather()
    assert stage.result_step() == "MaskedInput"
    return asking


def hall(tmp_path: Path) -> Hall:
    stage = Hall(make(4, chunk_bytes=CHUNK), tmp_path / "state")
    stage.members[ASKING] = Asking(stage)
    return stage


def test_who_asks_is_told_what_is_missing_also_after_a_restart_and_the_round_goes_on(tmp_path: Path) -> None:
    async def script(stage: Hall) -> None:
        asking = await collecting(stage)
        assert sorted(asking.receipts) == [0, 2, 3, 4]
        for restart in (False, True):
            if restart:
                await stage.restart()
                await stage.push()
            asking.receipts, asking.missing = [], []
            await asking.ask(0, 1, 4, 9)
            await stage.settle()
            assert asking.receipts == [0, 4]
            assert asking.missing == [ChunksMissing(asking.masking.scope.round, 7, (1, 9))]
        await asking.chunk(asking.masking, asking.whole, 1)
        await stage.settle()
        asking.receipts, asking.missing = [], []
        # The set is frozen: what an upload lacks is nobody's question any more.
        await asking.ask(1, 9)
        await stage.settle()
        assert (asking.receipts, asking.missing) == ([], [])

    stage = hall(tmp_path).play(script)
    assert stage.result()["values"] == [15.0] * LENGTH


def test_a_question_about_another_attempt_or_from_nobody_of_the_round_is_not_answered(tmp_path: Path) -> None:
    async def script(stage: Hall) -> None:
        asking = await collecting(stage)
        asking.receipts = []
        await asking.ask(0, 1, attempt=2)
        await stage.settle()
        stranger = stage.network.link("stranger")
        body = encode(ChunksAsked(asking.masking.scope.round, 7, (0, 1)))
        await stranger.send("aggregator", "ask-chunks", b"", body)
        await stage.settle()
        assert (asking.receipts, asking.missing, stranger.at_hand()) == ([], [], None)

    stage = hall(tmp_path).play(script)
    assert "chunk.sender" in stage.log.getvalue() or "stranger asks for chunks" in stage.log.getvalue()
