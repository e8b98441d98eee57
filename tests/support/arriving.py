"""What has arrived at a link by now: tests let the loop run, and wait for no time."""

import asyncio

from secagg.transport.link import Received
from secagg.transport.memory import MemoryLink


async def settle() -> None:
    """Let every task of the loop run until nothing is left to do."""
    for _ in range(50):
        await asyncio.sleep(0)


async def drain(link: MemoryLink) -> list[Received]:
    """Return everything that has arrived at a link."""
    got: list[Received] = []
    await settle()
    while True:
        receiving = asyncio.ensure_future(link.receive())
        await asyncio.sleep(0)
        if not receiving.done():
            receiving.cancel()
            return got
        got.append(receiving.result())
