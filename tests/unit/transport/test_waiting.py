"""Rooms for messages to peers whose queue is full."""

import asyncio
from collections import Counter

import zmq

from secagg.transport.relay import Post
from secagg.transport.waiting import EACH, WaitingRooms
from support.brokers import run, until


class Peers:
    """A socket whose queues the test opens and shuts; what arrives is its route and its size in KiB."""

    def __init__(self) -> None:
        self.shut: set[bytes] = set()
        self.arrived: list[tuple[bytes, int]] = []
        self.senders: list[str] = []

    async def push(self, post: Post, route: bytes) -> None:
        if route in self.shut:
            raise zmq.Again
        self.arrived.append((route, len(post.body) // EACH + 1))
        self.senders.append(post.sender)


def post(size: int, key: bytes = b"", sender: str = "") -> Post:
    """Return a message that takes `size` KiB of a room."""
    return Post("bulk", key, b"", b"", bytes((size - 1) * EACH), sender)


def rooms_of(peers: Peers, room: int = 10, building: int = 100) -> tuple[WaitingRooms, Counter[str]]:
    counts = Counter[str]()
    return WaitingRooms(peers.push, counts, room=room * EACH, building=building * EACH), counts


def test_what_waits_arrives_in_order_and_counts_for_one_peer_alone() -> None:
    async def test() -> None:
        peers = Peers()
        rooms, counts = rooms_of(peers)
        peers.shut = {b"a"}
        for size in (4, 5, 2, 1):
            await rooms.send(post(size, b"A"), b"a")
        await rooms.send(post(7, b"B"), b"b")
        assert peers.arrived == [(b"b", 7)]
        assert counts == {"dropped.full": 1}
        peers.shut = set()
        await rooms.send(post(3, b"A"), b"a")
        await until(lambda: len(peers.arrived) == 4)
        assert peers.arrived[1:] == [(b"a", 4), (b"a", 5), (b"a", 1)]
        await rooms.send(post(10, b"A"), b"a")
        await until(lambda: len(peers.arrived) == 5)
        assert not rooms.size
        await rooms.close()

    run(test())


def test_all_rooms_together_are_bounded() -> None:
    async def test() -> None:
        peers = Peers()
        rooms, counts = rooms_of(peers, building=15)
        peers.shut = {b"a", b"b"}
        await rooms.send(post(10, b"A"), b"a")
        await rooms.send(post(10, b"B"), b"b")
        assert (rooms.size, counts) == (10 * EACH, {"dropped.full": 1})  # neither is larger: who was first stays
        await rooms.send(post(5, b"B"), b"b")
        peers.shut = set()
        await until(lambda: len(peers.arrived) == 2)
        assert sorted(peers.arrived) == [(b"a", 10), (b"b", 5)]
        await rooms.close()
        await asyncio.sleep(0)

    run(test())


def test_a_key_has_one_room_for_all_its_connections() -> None:
    async def test() -> None:
        peers = Peers()
        rooms, counts = rooms_of(peers)
        routes = [bytes([number]) for number in range(20)]
        peers.shut = set(routes)
        for route in routes:
            await rooms.send(post(2, b"A"), route)
        assert rooms.size == 10 * EACH
        assert counts == {"dropped.full": 15}
        peers.shut = set()
        await until(lambda: len(peers.arrived) == 5)
        await until(lambda: not rooms.size)
        await rooms.close()

    run(test())


def test_when_all_is_full_the_largest_gives_way() -> None:
    async def test() -> None:
        peers = Peers()
        rooms, counts = rooms_of(peers, building=20)
        peers.shut = {b"a", b"b", b"c"}
        for key, route in ((b"A", b"a"), (b"B", b"b")):
            for _ in range(10):
                await rooms.send(post(1, key), route)
        assert not counts
        for _ in range(6):
            await rooms.send(post(1, b"C"), b"c")
        assert (rooms.size, counts) == (20 * EACH, {"dropped.full": 6})
        peers.shut = {b"a", b"b"}
        await until(lambda: len(peers.arrived) == 6)
        assert set(peers.arrived) == {(b"c", 1)}
        await rooms.close()

    run(test())


def test_in_a_full_room_the_sender_that_has_most_gives_way_and_senders_take_turns() -> None:
    async def test() -> None:
        peers = Peers()
        rooms, counts = rooms_of(peers)
        peers.shut = {b"a"}
        for _ in range(30):
            await rooms.send(post(1, b"A", "evil"), b"a")
        assert counts["dropped.full"] == 20
        for _ in range(3):
            await rooms.send(post(1, b"A", "aggregator"), b"a")
        assert counts["dropped.full"] == 23
        await rooms.send(post(1, b"A", "evil"), b"a")
        assert counts["dropped.full"] == 24
        peers.shut = set()
        await until(lambda: len(peers.arrived) == 10)
        assert peers.senders.count("aggregator") == 3
        assert "aggregator" in peers.senders[:2]
        await rooms.close()

    run(test())


def test_empty_messages_fill_a_room_too() -> None:
    async def test() -> None:
        peers = Peers()
        rooms, counts = rooms_of(peers)
        peers.shut = {b"a"}
        for _ in range(30):
            await rooms.send(Post("control", b"A", b"", b"", b"", "evil"), b"a")
        assert counts == {"dropped.full": 20}
        await rooms.close()

    run(test())
