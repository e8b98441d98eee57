"""Transport and row 26: what a peer may send, how much and how often; below ZeroMQ, before a handshake and after."""

import asyncio

import pytest
import zmq

from secagg.errors import BadConfiguration
from secagg.transport import broker as serving
from secagg.transport.curve import open_server
from secagg.transport.waiting import BUILDING, ROOM
from secagg.transport.zmq_link import ZmqLink
from support.besieged import GREETING, besieged, cut, message, told
from support.brokers import make_broker, push_roster, request_of, run, running, until

MECHANISMS = {"CURVE": b"CURVE".ljust(20, b"\0"), "NULL": b"NULL".ljust(20, b"\0"), "PLAIN": b"PLAIN".ljust(20, b"\0")}
LONG_COMMAND, LONG_MESSAGE, SHORT_COMMAND = b"\x06", b"\x02", b"\x04"

RAW = {
    "nothing that is ZeroMQ": b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n" * 40,
    "an older greeting": b"\x01\x00" * 64,
    "no security": GREETING + MECHANISMS["NULL"] + bytes(32) + SHORT_COMMAND + b"\x26\x05READY",
    "a password": GREETING + MECHANISMS["PLAIN"] + bytes(32) + SHORT_COMMAND + b"\x08\x05HELLO\x01a\x01b",
    "a command of 2^62 bytes": GREETING + MECHANISMS["CURVE"] + bytes(32) + LONG_COMMAND + (2**62).to_bytes(8, "big"),
    "a command of 2^63 bytes": GREETING + MECHANISMS["CURVE"] + bytes(32) + LONG_COMMAND + (2**63).to_bytes(8, "big"),
    "a message of 1 GiB": GREETING + MECHANISMS["CURVE"] + bytes(32) + LONG_MESSAGE + (2**30).to_bytes(8, "big"),
    "a message before the handshake": GREETING + MECHANISMS["CURVE"] + bytes(32) + b"\x00\x05hello",
    "half a hello": GREETING + MECHANISMS["CURVE"] + bytes(32) + SHORT_COMMAND + b"\x06\x05HELLO",
    "a hello of nonsense": GREETING + MECHANISMS["CURVE"] + bytes(32) + SHORT_COMMAND + b"\xc8\x05HELLO" + bytes(194),
}


@pytest.mark.parametrize("door", ["control", "bulk", "enrol"])
@pytest.mark.parametrize("attack", RAW)
def test_a_bare_connection_that_breaks_zmtp_is_closed_and_nobody_else_notices(attack: str, door: str) -> None:
    async def test() -> None:
        async with besieged() as siege:
            received = siege.broker.counts["received"]
            reader, writer = await siege.tcp(door)
            writer.write(RAW[attack])
            await cut(reader, writer)
            assert siege.broker.counts["received"] == received
            await siege.goes_on()

    run(test())


@pytest.mark.parametrize(("door", "size"), [("control", 65_537), ("bulk", 1_052_673), ("enrol", 16_385)])
def test_a_frame_above_the_doors_limit_cuts_the_connection_before_it_is_read(door: str, size: int) -> None:
    async def test() -> None:
        async with besieged() as siege:
            before, ended = siege.broker.counts["received"], siege.broker.counts[f"{door}.disconnected"]
            peer = siege.raw("hungary", door)
            await peer.send_multipart(message("keyserver", bytes(size)))
            await until(lambda: siege.broker.counts[f"{door}.disconnected"] > ended)
            assert siege.broker.counts["received"] == before
            await siege.goes_on()

    run(test())


BROKEN = {
    "frames": [b"only one"],
    "header": [*message("cleveland")[:1], bytes(4097), b""],
    "size": message("cleveland", bytes(62_000), header=bytes(4000)),
    "frame": [b"\xc1", b"", b""],
}


@pytest.mark.parametrize("reason", BROKEN)
def test_three_broken_messages_and_the_key_is_not_heard_for_ten_minutes(reason: str) -> None:
    now = [0.0]

    async def test() -> None:
        async with besieged(monotonic=lambda: now[0]) as siege:
            peer, counts = siege.raw("hungary"), siege.broker.counts
            for _ in range(3):
                await peer.send_multipart(BROKEN[reason])
            await peer.send_multipart(message("cleveland", b"and again"))
            await until(lambda: counts["dropped.ignored"] == 1)
            assert counts[f"dropped.{reason}"] == 3
            other = siege.raw("hungary")  # The key is ignored, not the connection.
            await other.send_multipart(message("cleveland", b"and again"))
            await until(lambda: counts["dropped.ignored"] == 2)
            await siege.goes_on()
            now[0] = 600.0
            await other.send_multipart(message("cleveland", b"better"))
            assert (await siege.cleveland.receive()).body == b"better"

    run(test())


@pytest.mark.parametrize("count", [4, 2000])
def test_an_endless_message_is_dropped_whole(count: int) -> None:
    async def test() -> None:
        async with besieged() as siege:
            peer = siege.raw("hungary")
            await peer.send_multipart([*message("cleveland"), *[b"x"] * (count - 3)])
            await until(lambda: siege.broker.counts["dropped.frames"] == 1)
            await siege.goes_on()

    run(test())


def test_a_flood_of_one_member_leaves_room_for_the_others() -> None:
    """Time stands still here: what the saved-up tokens do not pay for is dropped, and only of the one that floods."""

    async def test() -> None:
        async with besieged(monotonic=lambda: 0.0) as siege:
            flood = siege.raw("hungary")
            for _ in range(5_200):
                await flood.send_multipart(message("nobody"))
            await until(lambda: siege.broker.counts["dropped.quota"] >= 200)
            assert siege.broker.counts["dropped.unknown"] == 5_000
            await siege.goes_on()

    run(test())


def test_strangers_are_heard_rarely_and_keep_no_member_out() -> None:
    async def test() -> None:
        async with besieged(monotonic=lambda: 0.0) as siege:
            guest = siege.raw("stranger", "enrol")
            for _ in range(30):
                await guest.send_multipart(message("keyserver", request_of("stranger"), "enrol"))
            await until(lambda: siege.broker.counts["dropped.quota"] == 20)
            for _ in range(10):
                assert (await siege.keyserver.receive()).kind == "enrol"
            await siege.goes_on()

    run(test())


async def overfill(siege_link: ZmqLink, dropped: dict[str, int]) -> None:
    for _ in range(160):
        await siege_link.send("hungary", "chunk", b"", bytes(2**20))
        if dropped["dropped.full"]:
            return


def test_a_peer_that_does_not_read_costs_one_room_and_holds_up_nobody() -> None:
    async def test() -> None:
        async with besieged() as siege:
            stuck = siege.raw("hungary", "bulk")
            await stuck.send_multipart(message("broker", kind="hello-2"))
            await told(stuck, b"welcome-2")
            await overfill(siege.cleveland, siege.broker.counts)
            await until(lambda: siege.broker.counts["dropped.full"] > 0)
            assert 0 < siege.broker.waiting <= ROOM < BUILDING
            await siege.cleveland.send("cleveland", "chunk", b"", b"mine")
            assert (await siege.cleveland.receive()).body == b"mine"
            await siege.goes_on()

    run(test())


def test_a_message_to_a_connection_that_is_gone_is_counted_and_not_lost_in_silence() -> None:
    async def test() -> None:
        async with besieged() as siege:
            passing = siege.raw("hungary")
            await passing.send_multipart(message("broker", kind="hello-2"))
            await told(passing, b"welcome-2")
            ended = siege.broker.counts["control.disconnected"]
            passing.close(linger=0)
            await until(lambda: siege.broker.counts["control.disconnected"] > ended)
            await siege.keyserver.send("hungary", "note", b"", b"are you there?")
            await until(lambda: siege.broker.counts["dropped.unreachable"] == 1)

    run(test())


def test_a_socket_that_drops_in_silence_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(context: zmq.asyncio.Context, door: str, secret: object) -> zmq.asyncio.Socket:
        socket = open_server(context, door, secret)  # type: ignore[arg-type]
        socket.setsockopt(zmq.ROUTER_MANDATORY, 0)
        return socket

    monkeypatch.setattr(serving, "open_server", silent)

    async def test() -> None:
        with pytest.raises(BadConfiguration, match="drops messages in silence"):
            async with running(make_broker()):
                raise AssertionError("it serves")

    run(test())


def test_what_waits_for_a_member_is_not_sent_once_it_is_revoked() -> None:
    async def test() -> None:
        async with besieged() as siege:
            slow = siege.raw("hungary", "bulk")
            await slow.send_multipart(message("broker", kind="hello-2"))
            await told(slow, b"welcome-2")
            before = siege.broker.counts["received"]
            for _ in range(60):
                await siege.cleveland.send("hungary", "chunk", b"", bytes(2**20))
            await until(lambda: siege.broker.counts["received"] == before + 60)
            assert siege.broker.waiting > 0
            await push_roster(siege.keyserver, siege.authority.roster("cleveland", version=2))
            await until(lambda: siege.broker.counts["dropped.revoked"] > 0)
            reading = asyncio.ensure_future(drained(slow))
            await until(lambda: not siege.broker.waiting)
            reading.cancel()

    run(test())


async def drained(socket: zmq.asyncio.Socket) -> None:
    while True:
        await socket.recv_multipart()
