"""Room for messages to a peer whose queue in libzmq is full, so that a burst of chunks is not lost.

Rules: a room belongs to a key, whatever connections it has, and is bounded in bytes; all rooms together are bounded
too. When one is full, the sender that has most in it gives way, and when all are, the key that has most does. Its
newest message is dropped and counted, and whoever sent it sends it again. What one sender has sent to one connection
arrives in order; senders take turns. One that never reads ends with its heartbeat.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable

import zmq

from secagg.transport.relay import Post

ROOM = 2**26
"""Bytes for one key: 64 MiB, the chunks that 32 nodes have outstanding."""

BUILDING = 2**28
"""Bytes for all keys."""

EACH = 1024
"""Bytes that a message costs beside its own, so that empty ones fill a room too."""

RETRY = 0.002
"""Seconds until a full queue is tried again, doubled while it stays full; a ROUTER cannot be polled for one peer."""

LONGEST = 0.016
"""Seconds between two tries for a peer that reads nothing, so that many of them cost little."""

Waiting = deque[Post]
Push = Callable[[Post, bytes], Awaitable[None]]


class _Room:
    """What waits for one key, by connection (door and route), then by sender; `sizes` are the bytes of each sender."""

    def __init__(self) -> None:
        self.sizes: Counter[str] = Counter()
        self.lanes: dict[bytes, dict[str, Waiting]] = {}
        self.size = 0

    def add(self, place: bytes, post: Post) -> None:
        self.lanes[place].setdefault(post.sender, deque()).append(post)
        self._count(post, 1)

    def next(self, place: bytes) -> Post | None:
        """Take out the next message of a connection; senders take turns."""
        lane = self.lanes[place]
        for sender in list(lane)[:1]:
            waiting = lane.pop(sender)
            post = waiting.popleft()
            if waiting:
                lane[sender] = waiting
            return post
        return None

    def put_back(self, place: bytes, post: Post) -> None:
        """Let a message that could not be pushed stand first again."""
        lane = self.lanes[place]
        waiting = lane.pop(post.sender, deque())
        waiting.appendleft(post)
        self.lanes[place] = {post.sender: waiting, **lane}

    def done(self, post: Post) -> None:
        """Let go of a message that was taken out."""
        self._count(post, -1)

    def largest(self) -> str:
        """Return the sender that has most here."""
        return max(self.sizes, key=lambda sender: self.sizes[sender], default="")

    def drop_of(self, sender: str) -> bool:
        """Drop the newest message of a sender; False when the only one there is being pushed now."""
        for lane in self.lanes.values():
            waiting = lane.get(sender)
            if waiting:
                self._count(waiting.pop(), -1)
                if not waiting:
                    del lane[sender]
                return True
        return False

    def _count(self, post: Post, sign: int) -> None:
        size = sign * _cost(post)
        self.size += size
        self.sizes[post.sender] += size
        if not self.sizes[post.sender]:
            del self.sizes[post.sender]


class WaitingRooms:
    """The rooms of one broker; `push` gives one message to libzmq or raises zmq.Again."""

    def __init__(self, push: Push, counts: Counter[str], room: int = ROOM, building: int = BUILDING) -> None:
        self._push = push
        self._counts = counts
        self._limits = room, building
        self._rooms: dict[bytes, _Room] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def size(self) -> int:
        """Return the bytes that wait now."""
        return sum(room.size for room in self._rooms.values())

    async def send(self, post: Post, route: bytes) -> None:
        """Pass a message on, or let it wait behind those that already do, or drop it."""
        place = post.door.encode() + route
        room = self._rooms.get(post.key)
        if room is None or place not in room.lanes:
            try:
                await self._push(post, route)
            except zmq.Again:
                pass
            else:
                return
        self._wait(post, place, route)

    async def close(self) -> None:
        """Forget everything that waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _wait(self, post: Post, place: bytes, route: bytes) -> None:
        if not self._makes_room(post):
            self._counts["dropped.full"] += 1
            return
        room = self._rooms.setdefault(post.key, _Room())
        fresh = place not in room.lanes
        if fresh:
            room.lanes[place] = {}
        room.add(place, post)
        if fresh:
            task = asyncio.create_task(self._drain(post.key, place, route))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _makes_room(self, post: Post) -> bool:
        """Let the largest give way until this message fits; False when its own sender, or key, would be as large."""
        most, building = self._limits
        own, cost = self._rooms.get(post.key) or _Room(), _cost(post)
        while own.size + cost > most:
            if own.sizes[own.largest()] <= own.sizes[post.sender] + cost or not self._gives_way(own):
                return False
        while self.size + cost > building:
            largest = max(self._rooms.values(), key=lambda room: room.size)
            if largest.size <= own.size + cost or not self._gives_way(largest):
                return False
        return True

    def _gives_way(self, room: _Room) -> bool:
        """Drop the newest message of the sender that has most in a room."""
        if not room.drop_of(room.largest()):
            return False
        self._counts["dropped.full"] += 1
        return True

    async def _drain(self, key: bytes, place: bytes, route: bytes) -> None:
        room, pause = self._rooms[key], RETRY
        while (post := room.next(place)) is not None:
            try:
                await self._push(post, route)
            except zmq.Again:
                room.put_back(place, post)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST)
                continue
            pause = RETRY
            room.done(post)
        del room.lanes[place]
        if not room.lanes:
            del self._rooms[key]


def _cost(post: Post) -> int:
    return len(post.header) + len(post.body) + EACH
