"""The broker against peers that do not use our link: raw sockets, strangers, floods (transport, Security traps)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import zmq
import zmq.asyncio

from secagg.transport.broker import Broker
from secagg.transport.curve import Addresses, open_client
from secagg.transport.routing import Stamped, write_routing
from secagg.transport.zmq_link import GuestLink, ZmqLink
from secagg.wire.codec import decode
from support.brokers import (
    NOW,
    Authority,
    dialled,
    key_of,
    make_broker,
    push_roster,
    request_of,
    run,
    running,
    secret_of,
    state_dir,
    until,
)
from support.links import connected


class Scene(NamedTuple):
    """A broker with key server and `cleveland` connected, `hungary` enrolled."""

    broker: Broker
    bound: Addresses
    keyserver: ZmqLink
    cleveland: ZmqLink
    context: zmq.asyncio.Context

    def raw(self, name: str, door: str = "control") -> zmq.asyncio.Socket:
        socket = open_client(self.context, door, secret_of(name), key_of("broker"))
        socket.connect(self.bound.of(door))
        return socket


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    authority, broker = Authority(), make_broker()
    async with running(broker) as bound, dialled(bound, "keyserver", "cleveland") as (keyserver, cleveland):
        await push_roster(keyserver, authority.roster("cleveland", "hungary"))
        await connected(cleveland)
        context = zmq.asyncio.Context()
        try:
            yield Scene(broker, bound, keyserver, cleveland, context)
        finally:
            context.destroy(linger=0)


def frames(to: str, body: bytes = b"", kind: str = "note") -> list[bytes]:
    return [write_routing(to, kind, b""), b"", body]


@pytest.mark.parametrize("door", ["control", "bulk"])
def test_an_unenrolled_key_gets_no_byte_through(door: str) -> None:
    async def test() -> None:
        async with scene() as s:
            stranger = s.raw("stranger", door)
            before = s.broker.counts["received"]
            await until(lambda: s.broker.counts[f"{door}.refused"] == 2)  # The first was the broker's own trial.
            stranger.setsockopt(zmq.SNDTIMEO, 0)
            with pytest.raises(zmq.Again):
                await stranger.send_multipart(frames("cleveland", b"let me in"))
            await connected(s.cleveland)
            assert s.broker.counts["received"] == before + 1

    run(test())


def test_a_peer_without_curve_gets_no_byte_through() -> None:
    async def test() -> None:
        async with scene() as s:
            plain = s.context.socket(zmq.DEALER)
            plain.setsockopt(zmq.IMMEDIATE, 1)
            before = s.broker.counts["received"]
            plain.connect(s.bound.control)
            await until(lambda: s.broker.counts["control.disconnected"] >= 2)
            plain.setsockopt(zmq.SNDTIMEO, 0)
            with pytest.raises(zmq.Again):
                await plain.send_multipart(frames("cleveland"))
            assert s.broker.counts["received"] == before

    run(test())


def test_a_sender_is_whom_its_key_says_whatever_it_claims() -> None:
    async def test() -> None:
        async with scene() as s:
            liar = open_client(s.context, "control", secret_of("hungary"), key_of("broker"))
            liar.setsockopt(zmq.ROUTING_ID, b"keyserver")
            liar.connect(s.bound.control)
            await liar.send_multipart([write_routing("cleveland", "roster", b""), b"from: keyserver", b""])
            received = await s.cleveland.receive()
            assert (received.sender, received.kind) == ("hungary", "roster")

    run(test())


def test_a_stolen_routing_id_does_not_steal_messages() -> None:
    async def test() -> None:
        async with scene() as s:
            names = ("hungary", "cleveland")
            victim, thief = (open_client(s.context, "control", secret_of(name), key_of("broker")) for name in names)
            for socket in (victim, thief):
                socket.setsockopt(zmq.ROUTING_ID, b"same")
            victim.connect(s.bound.control)
            await victim.send_multipart(frames("broker", kind="hello-2"))
            assert decode(Stamped, (await victim.recv_multipart())[0]).kind == "welcome-2"
            monitor = thief.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            thief.connect(s.bound.control)
            await monitor.recv_multipart()
            await thief.send_multipart(frames("broker", kind="hello-2"))
            await connected(s.keyserver)
            await s.keyserver.send("hungary", "note", b"", b"for hungary")
            assert (await victim.recv_multipart())[2] == b"for hungary"
            thief.disable_monitor()

    run(test())


@pytest.mark.parametrize("count", [1, 2, 4, 500])
def test_a_message_that_is_not_three_frames_is_dropped_and_counted(count: int) -> None:
    async def test() -> None:
        async with scene() as s:
            peer = s.raw("hungary")
            await peer.send_multipart((frames("cleveland") + [b"x"] * count)[:count])
            await until(lambda: s.broker.counts["dropped.frames"] == 1)
            await peer.send_multipart(frames("cleveland", b"after"))
            assert (await s.cleveland.receive()).body == b"after"

    run(test())


def test_an_oversize_message_on_control_is_dropped_and_counted() -> None:
    async def test() -> None:
        async with scene() as s:
            peer = s.raw("hungary")
            await peer.send_multipart([write_routing("cleveland", "note", b""), bytes(4096), bytes(62_000)])
            await until(lambda: s.broker.counts["dropped.size"] == 1)

    run(test())


@pytest.mark.parametrize(("door", "size"), [("control", 65_537), ("bulk", 1_052_673), ("enrol", 16_385)])
def test_an_oversize_frame_cuts_the_connection_before_it_is_read(door: str, size: int) -> None:
    async def test() -> None:
        async with scene() as s:
            before, cut = s.broker.counts["received"], s.broker.counts[f"{door}.disconnected"]
            await s.raw("hungary", door).send_multipart(frames("keyserver", bytes(size)))
            await until(lambda: s.broker.counts[f"{door}.disconnected"] > cut)
            assert s.broker.counts["received"] == before

    run(test())


def test_three_strikes_silence_a_live_connection_and_no_other() -> None:
    async def test() -> None:
        async with scene() as s:
            peer = s.raw("hungary")
            for _ in range(3):
                await peer.send_multipart([b"nonsense"])
            await peer.send_multipart(frames("cleveland"))
            await until(lambda: s.broker.counts["dropped.ignored"] == 1)
            await connected(s.cleveland)

    run(test())


def test_a_member_that_never_said_hello_is_unreachable_until_it_does() -> None:
    async def test() -> None:
        async with scene() as s:
            await s.cleveland.send("hungary", "note", b"")
            await until(lambda: s.broker.counts["dropped.unreachable"] == 1)
            async with dialled(s.bound, "hungary") as (hungary,):
                await connected(hungary)
                await s.cleveland.send("hungary", "note", b"", b"now")
                assert (await hungary.receive()).body == b"now"
            await until(lambda: s.broker.counts["control.disconnected"] == 2)
            await s.cleveland.send("hungary", "note", b"")
            await until(lambda: s.broker.counts["dropped.unreachable"] == 2)

    run(test())


def test_a_burst_of_chunks_beyond_every_queue_arrives_whole_and_in_order() -> None:
    async def test() -> None:
        async with scene() as s, dialled(s.bound, "hungary") as (hungary,):
            await connected(hungary)
            sizes = 60

            async def upload() -> None:
                for number in range(sizes):
                    await s.cleveland.send("hungary", "chunk", bytes([number]), bytes(262_144))

            sending = asyncio.create_task(upload())
            await until(lambda: s.broker.counts["received"] >= sizes)
            received = [(await hungary.receive()).header[0] for _ in range(sizes)]
            await sending
            assert received == list(range(sizes))

    run(test())


def test_a_peer_that_does_not_read_holds_up_nobody_else() -> None:
    async def test() -> None:
        async with scene() as s:
            stuck = s.raw("hungary", "bulk")
            await stuck.send_multipart(frames("broker", kind="hello-2"))
            for _ in range(100):
                await s.cleveland.send("hungary", "chunk", b"", bytes(2**20))
                if s.broker.counts["dropped.full"]:
                    break
            await until(lambda: s.broker.counts["dropped.full"] > 0)
            await s.cleveland.send("cleveland", "chunk", b"", b"mine")
            assert (await s.cleveland.receive()).body == b"mine"

    run(test())


def test_what_waited_for_a_member_is_not_sent_after_its_revocation() -> None:
    async def test() -> None:
        async with scene() as s:
            slow = s.raw("hungary", "bulk")
            await slow.send_multipart(frames("broker", kind="hello-2"))
            assert decode(Stamped, (await slow.recv_multipart())[0]).kind == "welcome-2"
            before = s.broker.counts["received"]
            for _ in range(60):
                await s.cleveland.send("hungary", "chunk", b"", bytes(2**20))
            await until(lambda: s.broker.counts["received"] == before + 60)
            assert s.broker.waiting > 0
            await push_roster(s.keyserver, Authority().roster("cleveland", version=2))
            await until(lambda: s.broker.counts["dropped.revoked"] > 0)
            reading = asyncio.create_task(drained(slow))
            await s.cleveland.send("hungary", "chunk", b"", b"late")
            await until(lambda: s.broker.counts["dropped.unknown"] == 1)
            await until(lambda: not s.broker.waiting)
            reading.cancel()
            relayed = s.broker.counts["relayed"]
            await connected(s.cleveland)
            assert s.broker.counts["relayed"] == relayed + 1

    run(test())


async def drained(socket: zmq.asyncio.Socket) -> None:
    while True:
        await socket.recv_multipart()


def test_after_a_restart_members_are_let_in_by_the_kept_roster(tmp_path: Path) -> None:
    async def test() -> None:
        path, authority = state_dir(tmp_path / "state"), Authority()
        async with (
            running(make_broker(authority=authority, state_dir=path)) as bound,
            dialled(bound, "keyserver") as (keyserver,),
        ):
            await push_roster(keyserver, authority.roster("hungary"))
        again = make_broker(authority=authority, state_dir=path)
        async with running(again) as bound, dialled(bound, "hungary") as (hungary,):
            assert again.roster_version == 1
            await connected(hungary)

    run(test())


def test_a_guest_that_returns_gets_its_reply_at_its_new_connection() -> None:
    async def test() -> None:
        async with scene() as s:
            for number in range(2):
                guest = GuestLink(s.bound, key_of("broker"), secret_of("stranger"))
                await guest.send("keyserver", "enrol", b"", request_of("stranger", time=NOW + number))
                request = await s.keyserver.receive()
                await s.keyserver.send(request.sender, "enrol", b"", bytes([number]))
                assert (await guest.receive()).body == bytes([number])
                await guest.close()

    run(test())
