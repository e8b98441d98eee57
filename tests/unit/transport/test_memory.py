"""What links in memory have beyond the contract: a fate for every message, and a broker that goes away."""

from collections.abc import Sequence

import pytest

from secagg.errors import PeerUnavailable
from secagg.transport.link import Received
from secagg.transport.memory import BACKLOG, MemoryNetwork
from support.brokers import run


def test_a_fate_loses_and_doubles() -> None:
    def fate(to: str, message: Received) -> Sequence[Received]:
        return {"lost": (), "twice": (message, message)}.get(message.kind, (message,))

    async def test() -> None:
        network = MemoryNetwork(fate)
        cleveland, hungary = network.link("cleveland"), network.link("hungary")
        for kind in ("lost", "twice", "once"):
            await cleveland.send("hungary", kind, b"")
        assert [(await hungary.receive()).kind for _ in range(3)] == ["twice", "twice", "once"]

    run(test())


def test_while_the_broker_is_away_nothing_is_sent() -> None:
    async def test() -> None:
        network = MemoryNetwork()
        link = network.link("cleveland")
        network.up = False
        assert link.state == "connecting"
        with pytest.raises(PeerUnavailable):
            await link.send("hungary", "note", b"")
        network.up = True
        assert link.state == "connected"

    run(test())


def test_a_restarted_party_takes_the_place_of_the_one_before() -> None:
    async def test() -> None:
        network = MemoryNetwork()
        cleveland, before = network.link("cleveland"), network.link("hungary")
        after = network.link("hungary")
        await before.close()
        await cleveland.send("hungary", "note", b"")
        assert (await after.receive()).kind == "note"
        assert before.state == "connecting"

    run(test())


def test_a_full_queue_drops_and_counts() -> None:
    async def test() -> None:
        network = MemoryNetwork()
        cleveland = network.link("cleveland")
        network.link("hungary")
        for _ in range(BACKLOG + 1):
            await cleveland.send("hungary", "note", b"")
        assert network.dropped == {"full": 1}

    run(test())
