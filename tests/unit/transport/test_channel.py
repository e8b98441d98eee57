"""A link that is refused, cut, left alone or misled says so and comes back (transport, Security traps 2, 3, 12)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import zmq
import zmq.asyncio
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from secagg.errors import PeerUnavailable
from secagg.transport.channel import Channel
from secagg.transport.curve import addresses
from secagg.transport.link import CONNECTED, OTHER_WIRE, REFUSED, Received
from secagg.transport.routing import Routing, Stamped
from secagg.transport.zmq_link import ZmqLink
from secagg.wire.codec import decode, encode
from support.brokers import Authority, dialled, key_of, make_broker, push_roster, run, running, secret_of, until
from support.links import connected, refused


def test_a_refused_link_says_why_and_connects_once_it_is_approved() -> None:
    async def test() -> None:
        authority = Authority()
        async with running(make_broker()) as bound, dialled(bound, "keyserver", "hungary") as (keyserver, hungary):
            with pytest.raises(PeerUnavailable) as error:
                await hungary.send("cleveland", "note", b"")
            assert REFUSED in error.value.cause
            assert hungary.state == "refused: the broker does not know this node's key: revoked, or not approved yet"
            await push_roster(keyserver, authority.roster("hungary"))
            await until(lambda: hungary.state == "connected")
            await connected(hungary)

    run(test())


def test_a_member_revoked_while_connected_comes_back_once_it_is_enrolled_again() -> None:
    async def test() -> None:
        authority = Authority()
        async with running(make_broker()) as bound, dialled(bound, "keyserver", "hungary") as (keyserver, hungary):
            await push_roster(keyserver, authority.roster("hungary"))
            await connected(hungary)
            await push_roster(keyserver, authority.roster("cleveland", version=2))
            await hungary.send("cleveland", "note", b"")
            await refused(hungary)
            await push_roster(keyserver, authority.roster("hungary", version=3))
            await until(lambda: hungary.state == "connected")

    run(test())


def test_a_refused_link_fails_at_once() -> None:
    async def test() -> None:
        async with running(make_broker()) as bound, dialled(bound, "hungary") as (hungary,):
            with pytest.raises(PeerUnavailable):
                await hungary.send("cleveland", "note", b"")
            await refused(hungary)
            start = asyncio.get_running_loop().time()
            for _ in range(20):
                with pytest.raises(PeerUnavailable):
                    await hungary.send("cleveland", "note", b"")
            assert asyncio.get_running_loop().time() - start < 0.2

    run(test())


def test_a_link_finds_a_broker_that_restarts() -> None:
    async def test() -> None:
        authority = Authority()
        first = make_broker()
        serving = running(first)
        bound = await serving.__aenter__()
        async with dialled(bound, "keyserver", "cleveland") as (keyserver, cleveland):
            await push_roster(keyserver, authority.roster("cleveland"))
            await connected(cleveland, keyserver)
            await serving.__aexit__(None, None, None)
            await until(lambda: cleveland.state != "connected" and keyserver.state != "connected")
            async with running(make_broker(bound)):
                await until(lambda: keyserver.state == "connected")
                await push_roster(keyserver, authority.roster("cleveland"))
                await until(lambda: cleveland.state == "connected")
                await keyserver.send("cleveland", "note", b"", b"again")
                assert (await cleveland.receive()).body == b"again"

    run(test())


def test_without_a_broker_send_ends_in_time_and_then_at_once() -> None:
    async def test() -> None:
        link = ZmqLink(addresses("127.0.0.1", 9), key_of("broker"), secret_of("hungary"))
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(PeerUnavailable, match=r"connecting to tcp://127\.0\.0\.1:9"):
            await link.send("cleveland", "note", b"")
        assert 1.5 < loop.time() - start < 4.0
        start = loop.time()
        with pytest.raises(PeerUnavailable):
            await link.send("cleveland", "note", b"")
        assert loop.time() - start < 0.2
        await link.close()

    run(test())


def test_a_broker_with_another_key_is_named() -> None:
    async def test() -> None:
        async with running(make_broker()) as bound:
            link = ZmqLink(bound, key_of("somebody else"), secret_of("keyserver"))
            receiving = asyncio.create_task(link.receive())
            await until(lambda: "does not hold the expected key" in link.state)
            await link.close()
            with pytest.raises(PeerUnavailable):
                await receiving

    run(test())


def test_a_link_that_is_closed_while_it_sends_does_not_cancel_its_caller() -> None:
    async def test() -> None:
        link = ZmqLink(addresses("127.0.0.1", 9), key_of("broker"), secret_of("hungary"))
        sending = asyncio.create_task(link.send("cleveland", "note", b""))
        await asyncio.sleep(0)
        await link.close()
        with pytest.raises(PeerUnavailable, match="closed"):
            await sending

    run(test())


# A broker in another's place ------------------------------------------------------------------------------------------


class Door:
    """The control door of a broker whose every word is a test's."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], port: int = 0) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.CURVE_SERVER, 1)
        self.socket.setsockopt(zmq.CURVE_SECRETKEY, z85.encode(secret_of("broker").reveal()))
        self.socket.setsockopt(zmq.LINGER, 0)
        self._monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_CLOSED)
        self.socket.bind(f"tcp://127.0.0.1:{port or '*'}")
        self.address = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.port = int(self.address.rpartition(":")[2])
        self.peer = b""

    async def hello(self) -> bytes:
        """Wait for the next `hello`; return its id."""
        self.peer, routing, *_ = await asyncio.to_thread(self.socket.recv_multipart)
        found = decode(Routing, routing)
        assert (found.to, found.kind) == ("broker", "hello-2")
        return found.id

    def welcome(self, id: bytes) -> None:
        """Say that the peer is known, to the handshake of this id."""
        self.socket.send_multipart([self.peer, encode(Stamped("broker", "welcome-2", id)), b"", b""])

    def refuse_wire(self, id: bytes) -> None:
        """Say that the peer is of a version with another wire."""
        self.socket.send_multipart([self.peer, encode(Stamped("broker", "other-wire", id)), b"", b""])

    def note(self) -> None:
        """Pass on a message of a member."""
        self.socket.send_multipart([self.peer, encode(Stamped("cleveland", "note", b"")), b"", b""])

    def until(self, event: int) -> None:
        """Stand still until libzmq says this."""
        while self._monitor.poll(10_000):
            if parse_monitor_message(self._monitor.recv_multipart())["event"] == event:
                return
        raise AssertionError(event)

    def close(self) -> None:
        """End, as a broker that was killed; its port is free."""
        self.socket.unbind(self.address)
        self.until(zmq.EVENT_CLOSED)
        self.socket.disable_monitor()
        self._monitor.close()
        self.socket.close()


@asynccontextmanager
async def dialling(port: int, heard: list[str]) -> AsyncIterator[Channel]:
    """Return a party's channel to a door; `heard` are the kinds of what is passed on to it."""

    async def deliver(message: Received) -> None:
        heard.append(message.kind)

    context = zmq.asyncio.Context()
    address = f"tcp://127.0.0.1:{port}"
    channel = Channel(context, "control", address, key_of("broker"), secret_of("hungary"), deliver)
    running = asyncio.create_task(channel.run())
    try:
        yield channel
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        context.destroy(linger=0)


def test_a_welcome_to_another_handshake_is_not_believed() -> None:
    async def test() -> None:
        with zmq.Context() as context:
            door = Door(context)
            heard: list[str] = []
            async with dialling(door.port, heard) as channel:
                greeting = await door.hello()
                door.welcome(bytes(16))
                door.note()
                await until(lambda: heard == ["note"])
                assert channel.state != CONNECTED, "what came before the note was read before it"
                assert await door.hello() == greeting, "it is greeted until it welcomes this very handshake"
                door.welcome(greeting)
                await until(lambda: channel.state == CONNECTED)
            door.close()

    run(test())


def test_a_party_of_another_wire_says_so_and_sends_nothing() -> None:
    async def test() -> None:
        with zmq.Context() as context:
            door = Door(context)
            async with dialling(door.port, []) as channel:
                door.refuse_wire(await door.hello())
                await until(lambda: channel.state == OTHER_WIRE)
                with pytest.raises(PeerUnavailable, match="another wire"):
                    await channel.send([b"", b"", b""])
            door.close()

    run(test())


def test_a_broker_in_another_s_place_is_greeted_whatever_the_other_said() -> None:
    """The loop stands still, as in a process that is frozen, while one broker dies and another takes its place."""

    async def test() -> None:
        with zmq.Context() as context:
            first = Door(context)
            async with dialling(first.port, []) as channel:
                greeting = await first.hello()
                first.welcome(greeting)
                await until(lambda: channel.state == CONNECTED)
                first.welcome(greeting)
                first.close()
                second = Door(context, first.port)
                second.until(zmq.EVENT_HANDSHAKE_SUCCEEDED)
                assert await second.hello() != greeting
                second.welcome(greeting)
                again = await second.hello()
                second.welcome(again)
                await until(lambda: channel.state == CONNECTED)
            second.close()

    run(test())
