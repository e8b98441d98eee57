"""A role over a link that loses, doubles, delays and reorders single messages: the command line, with another link.

`python tests/support/faulty.py SEED RATE noun verb …` runs the product's own command, over a link that errs. It drops a
message before it is sent (the request is lost) or one that arrived (the reply is lost). It sends or delivers one twice,
or late, so that others overtake it, each with probability RATE. No role carries a switch for this: the link is replaced
here.
"""

import asyncio
import random
import sys
from typing import Any

import aggregator.process
import node.process
from secagg.cli import main
from secagg.transport.link import Link, Received
from secagg.transport.zmq_link import ZmqLink

LATE = 2.0
"""Seconds that the latest message is late."""


class FaultyLink:
    """A link under which single messages meet a fate."""

    def __init__(self, link: Link, seed: int, rate: float) -> None:
        self._link, self._chance, self._rate = link, random.Random(seed), rate
        self._arrived: asyncio.Queue[Received | Exception] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """Return the state of the link underneath."""
        return self._link.state

    async def send(self, to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
        """Send a message, or lose it, or send it twice, or late."""
        for late in self._fates():
            if late:
                self._later(late, to, kind, header, body, id)
            else:
                await self._link.send(to, kind, header, body, id=id)

    async def receive(self) -> Received:
        """Return the next message that is not lost on its way in."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        item = await self._arrived.get()
        if isinstance(item, Exception):
            raise item
        return item

    def at_hand(self) -> Received | None:
        """Return the next message if it has arrived, however late."""
        if self._arrived.empty():
            return None
        item = self._arrived.get_nowait()
        if not isinstance(item, Exception):
            return item
        self._arrived.put_nowait(item)
        return None

    async def close(self) -> None:
        """Close the link underneath."""
        for task in self._tasks | ({self._reading} if self._reading else set()):
            task.cancel()
        await self._link.close()

    def _fates(self) -> list[float]:
        """Return after how many seconds each copy of a message goes on: none when it is lost."""
        fate = self._chance.random() / self._rate
        if fate < 1:
            return []
        if fate < 2:
            return [0.0, self._chance.uniform(0, LATE)]
        return [self._chance.uniform(0.05, LATE)] if fate < 3 else [0.0]

    def _later(self, seconds: float, *message: Any) -> None:
        async def go() -> None:
            await asyncio.sleep(seconds)
            to, kind, header, body, id = message
            await self._link.send(to, kind, header, body, id=id)

        task = asyncio.create_task(go())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def _read(self) -> None:
        while True:
            try:
                message = await self._link.receive()
            except Exception as error:
                self._arrived.put_nowait(error)
                return
            for late in self._fates():
                asyncio.get_running_loop().call_later(late, self._arrived.put_nowait, message)


if __name__ == "__main__":
    seed, rate = int(sys.argv[1]), float(sys.argv[2])
    for process in (node.process, aggregator.process):
        # A factory in the place of the class that the process names.
        vars(process)["ZmqLink"] = lambda *given: FaultyLink(ZmqLink(*given), seed, rate)
    main(sys.argv[3:])
