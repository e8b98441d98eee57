"""Room for messages to a peer whose queue in libzmq is full, so that a burst of chunks is not lost.

Rules: each connection has its own room, in order, bounded in bytes, and all rooms together are bounded too; what does
not fit is dropped and counted, and its sender sends it again. One that never reads ends with its heartbeat.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable

import zmq

from secagg.transport.relay import Post

ROOM = 2**26
"""Bytes for one connection: 64 MiB, the chunks that 32 nodes have outstanding."""

BUILDING = 2**28
"""Bytes for all connections."""

RETRY = 0.002
"""Seconds until a full queue is tried again, doubled while it stays full; a ROUTER cannot be polled for one peer."""

LONGEST = 0.016
"""Seconds between two tries for a peer that reads nothing, so that many of them cost little."""

Waiting = deque[tuple[Post, bytes]]
Push = Callable[[Post, bytes], Awaitable[None]]


class WaitingRooms:
    """The rooms of one broker; `push` gives one message to libzmq or raises zmq.Again."""

    def __init__(self, push: Push, counts: Counter[str], room: int = ROOM, building: int = BUILDING) -> None:
        self._push = push
        self._counts = counts
        self._limits = room, building
        self._rooms: dict[bytes, Waiting] = {}
        self._sizes: Counter[bytes] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def size(self) -> int:
        """Return the bytes that wait now."""
        return self._sizes.total()

    async def send(self, post: Post, route: bytes) -> None:
        """Pass a message on, or let it wait behind those that already do, or drop it."""
        place = post.door.encode() + route
        if place not in self._rooms:
            try:
                await self._push(post, route)
            except zmq.Again:
                self._open(place)
            else:
                return
        self._wait(place, post, route)

    async def close(self) -> None:
        """Forget everything that waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _open(self, place: bytes) -> None:
        self._rooms[place] = deque()
        task = asyncio.create_task(self._drain(place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wait(self, place: bytes, post: Post, route: bytes) -> None:
        size = len(post.header) + len(post.body)
        room, building = self._limits
        if self._sizes[place] + size > room or self._sizes.total() + size > building:
            self._counts["dropped.full"] += 1
            return
        self._sizes[place] += size
        self._rooms[place].append((post, route))

    async def _drain(self, place: bytes) -> None:
        waiting, pause = self._rooms[place], RETRY
        while waiting:
            post, route = waiting[0]
            try:
                await self._push(post, route)
            except zmq.Again:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST)
                continue
            pause = RETRY
            waiting.popleft()
            self._sizes[place] -= len(post.header) + len(post.body)
        del self._rooms[place], self._sizes[place]
