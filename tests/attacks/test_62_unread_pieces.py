"""Row 62: a member asks for a piece of a model faster than the aggregator's line carries pieces away.

A question has a hundred bytes and its answer half a million. What waits for one member is bounded in memory. What is
beyond is not sent, and whoever still wants it asks again. Others are answered all the same.
"""

import asyncio
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from secagg.crypto.derive import sha256
from secagg.daemon.sending import ROOM
from secagg.protocol.session import PIECE, Fetch
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.memory import MemoryLink, MemoryNetwork
from secagg.wire.codec import encode
from support.aggregating import Hall
from support.arriving import drain
from support.federation import make

TIMES = 4 * ROOM // PIECE


class Slow(MemoryLink):
    """The aggregator's link, on which no piece leaves until it is told to."""

    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__(network, AGGREGATOR, b"")
        self.open = asyncio.Event()

    async def send(self, to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
        if kind == "piece":
            await self.open.wait()
        await super().send(to, kind, header, body, id=id)


def test_what_a_member_asks_for_and_does_not_take_fills_no_memory(tmp_path: Path) -> None:
    stage = Hall(make(4, chunk_bytes=4096), tmp_path / "state")
    slow = Slow(stage.network)
    stage.network._links[AGGREGATOR] = slow
    stage.daemon._link = stage.daemon._sender._link = slow
    model = tmp_path / "model.safetensors"
    model.write_bytes(save({"w": np.zeros(200_000, dtype=np.float32)}))
    asked = encode(Fetch(sha256(model.read_bytes()), 0))

    async def main(_: object) -> None:
        await stage.push()
        stage.submit(model, purpose="training", length=0)
        await stage.settle()
        greedy, modest = (stage.members.pop(name).link for name in ("node-00", "node-01"))
        for _ in range(TIMES):
            await greedy.send(AGGREGATOR, "fetch", b"", asked)
            await stage.settle()
        await modest.send(AGGREGATOR, "fetch", b"", asked)
        await stage.settle()
        slow.open.set()
        pieces = [sum(message.kind == "piece" for message in await drain(link)) for link in (greedy, modest)]
        # A piece costs a little more than its bytes; one is on its way, and takes no room.
        assert pieces == [ROOM // PIECE, 1]
        # What was in the way is gone: it is answered again.
        await greedy.send(AGGREGATOR, "fetch", b"", asked)
        await stage.settle()
        assert [message.kind for message in await drain(greedy)] == ["piece"]

    stage.play(main)
