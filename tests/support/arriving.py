"""What has arrived at a link by now: tests let the loop run, and wait for no time."""

import asyncio

from secagg.transport.link import Received
from secagg.transport.memory import MemoryLink


async def turns(most: int) -> None:
    """Let the loop turn until nothing is left that could run, `most` times at most.

    Links, timers and executors of these tests wake nobody up from outside: with nothing to run, nothing will come.
    """
    loop = asyncio.get_running_loop()
    for _ in range(most):
        await asyncio.sleep(0)
        if not loop._ready:  # type: ignore[attr-defined]
            return


async def settle() -> None:
    """Let every task of the loop run until nothing is left to do."""
    await turns(50)


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
