"""Rooms for messages to peers whose queue is full."""

import asyncio
from collections import Counter

import zmq

from secagg.transport.relay import Post
from secagg.transport.waiting import WaitingRooms
from support.brokers import run, until


class Peers:
    """A socket whose queues the test opens and shuts."""

    def __init__(self) -> None:
        self.shut: set[bytes] = set()
        self.arrived: list[tuple[bytes, int]] = []

    async def push(self, post: Post, route: bytes) -> None:
        if route in self.shut:
            raise zmq.Again
        self.arrived.append((route, len(post.body)))


def post(size: int) -> Post:
    return Post("bulk", b"", b"", b"", bytes(size))


def test_what_waits_arrives_in_order_and_counts_for_one_peer_alone() -> None:
    async def test() -> None:
        peers, counts = Peers(), Counter[str]()
        rooms = WaitingRooms(peers.push, counts, room=10, building=100)
        peers.shut = {b"a"}
        for size in (4, 5, 2, 1):
            await rooms.send(post(size), b"a")
        await rooms.send(post(7), b"b")
        assert peers.arrived == [(b"b", 7)]
        assert counts == {"dropped.full": 1}
        peers.shut = set()
        await rooms.send(post(3), b"a")
        await until(lambda: len(peers.arrived) == 4)
        assert peers.arrived[1:] == [(b"a", 4), (b"a", 5), (b"a", 1)]
        await rooms.send(post(10), b"a")
        await until(lambda: len(peers.arrived) == 5)
        await rooms.close()

    run(test())


def test_all_rooms_together_are_bounded() -> None:
    async def test() -> None:
        peers, counts = Peers(), Counter[str]()
        rooms = WaitingRooms(peers.push, counts, room=10, building=15)
        peers.shut = {b"a", b"b"}
        await rooms.send(post(10), b"a")
        await rooms.send(post(10), b"b")
        await rooms.send(post(5), b"b")
        assert counts == {"dropped.full": 1}
        peers.shut = set()
        await until(lambda: len(peers.arrived) == 2)
        assert sorted(peers.arrived) == [(b"a", 10), (b"b", 5)]
        await rooms.close()
        await asyncio.sleep(0)

    run(test())
