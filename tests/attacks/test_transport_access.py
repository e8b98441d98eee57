"""Transport: who gets in, under which name, and for how long (ZAP, User-Id, routing ids, roles)."""

import asyncio

import pytest
import zmq
import zmq.asyncio

from secagg.errors import BadConfiguration
from secagg.transport import broker as serving
from secagg.transport.directory import Directory
from secagg.transport.link import REFUSED
from secagg.transport.routing import write_routing
from secagg.transport.zap import Zap
from support.besieged import Siege, besieged, message, told
from support.brokers import Authority, key_of, make_broker, push_roster, request_of, run, running, secret_of, until

FIXED = {
    "CURVE_SERVER": 1, "MECHANISM": zmq.CURVE, "ZAP_ENFORCE_DOMAIN": 1, "HANDSHAKE_IVL": 5000, "HEARTBEAT_IVL": 2000,
    "HEARTBEAT_TIMEOUT": 6000, "LINGER": 0, "BACKLOG": 1024,
}  # fmt: skip


async def shut_out(siege: Siege, socket: zmq.asyncio.Socket) -> None:
    """Hold that nothing can be sent through a socket, and nothing of it reached the broker."""
    before = siege.broker.counts["received"]
    socket.setsockopt(zmq.SNDTIMEO, 0)
    with pytest.raises(zmq.Again):
        await socket.send_multipart(message("cleveland", b"let me in"))
    await siege.goes_on()
    assert siege.broker.counts["received"] == before + 2  # The two honest messages.


@pytest.mark.parametrize("door", ["control", "bulk"])
def test_a_key_that_nobody_enrolled_gets_no_byte_in(door: str) -> None:
    async def test() -> None:
        async with besieged() as siege:
            stranger = siege.raw("stranger", door)
            await until(lambda: siege.broker.counts[f"{door}.refused"] >= 2)  # The first was the broker's own trial.
            await shut_out(siege, stranger)

    run(test())


@pytest.mark.parametrize("key", [bytes(32), (1).to_bytes(32, "little"), b"\xff" * 32], ids=["zero", "one", "most"])
def test_a_curve_key_of_small_order_gets_no_byte_in_and_ends_no_broker(key: bytes) -> None:
    """Even enrolled: with such a key the shared secret is known to everybody, so it proves nothing."""

    async def test() -> None:
        async with besieged() as siege:
            weak = siege.authority.roster("cleveland", "hungary", version=2, keys={"hungary": key})
            await push_roster(siege.keyserver, weak)
            broken = siege.broker.counts["control.broken_handshake"] + siege.broker.counts["control.refused"]
            socket = siege.context.socket(zmq.DEALER)
            socket.setsockopt(zmq.IMMEDIATE, 1)
            socket.setsockopt(zmq.CURVE_SERVERKEY, key_of("broker"))
            socket.setsockopt(zmq.CURVE_PUBLICKEY, key)
            socket.setsockopt(zmq.CURVE_SECRETKEY, secret_of("hungary").reveal())
            socket.connect(siege.bound.control)
            counts = siege.broker.counts
            await until(lambda: counts["control.broken_handshake"] + counts["control.refused"] > broken)
            await shut_out(siege, socket)

    run(test())


def test_every_door_is_fixed_as_it_must_be() -> None:
    async def test() -> None:
        async with besieged() as siege:
            for door, socket in siege.broker.sockets.items():
                found = {name: socket.getsockopt(getattr(zmq, name)) for name in FIXED}
                assert found == FIXED
                assert socket.getsockopt(zmq.ZAP_DOMAIN) == f"secagg-{door}".encode()

    run(test())


class Careless(Zap):
    """A handler that lets everybody in."""

    async def run(self) -> None:
        while True:
            frames = await self._socket.recv_multipart()
            at = frames.index(b"") + 1
            await self._socket.send_multipart([*frames[: at + 2], b"200", b"OK", b"somebody", b""])


def test_a_broker_whose_doors_are_open_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "Zap", Careless)

    async def test() -> None:
        with pytest.raises(BadConfiguration, match="did not refuse a stranger's key"):
            async with running(make_broker()):
                raise AssertionError("it serves")

    run(test())


def test_a_lookup_that_fails_is_a_refusal_and_not_the_end_of_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with besieged() as siege:
            refused = siege.broker.counts["control.refused"]
            with monkeypatch.context() as broken:
                broken.setattr(Directory, "name_of", _fail)
                stranger = siege.raw("stranger")
                await until(lambda: siege.broker.counts["control.refused"] > refused)
                stranger.close()
            late = siege.raw("hungary")
            await late.send_multipart(message("broker", kind="hello-2"))
            await told(late, b"welcome-2")
            await siege.goes_on()

    run(test())


def _fail(directory: Directory, key: bytes) -> str | None:
    raise OSError("the directory is gone")


def test_a_revocation_ends_a_connection_that_is_alive() -> None:
    async def test() -> None:
        async with besieged() as siege:
            socket = siege.raw("hungary")
            await socket.send_multipart(message("cleveland", b"before"))
            assert (await siege.cleveland.receive()).body == b"before"
            await push_roster(siege.keyserver, siege.authority.roster("cleveland", version=2))
            await socket.send_multipart(message("cleveland", b"after"))
            await told(socket, b"refused")
            assert siege.broker.counts["dropped.revoked"] == 1
            await siege.keyserver.send("hungary", "note", b"", b"for whom?")
            await until(lambda: siege.broker.counts["dropped.unknown"] == 1)
            await siege.goes_on()

    run(test())


def test_an_expired_roster_knows_nobody() -> None:
    now = [1_700_000_000]

    async def test() -> None:
        async with besieged(wall=lambda: now[0]) as siege:
            now[0] += 90_000
            relayed = siege.broker.counts["relayed"]
            newcomer = siege.raw("hungary")
            await until(lambda: siege.broker.counts["control.refused"] == 2)
            newcomer.close()
            await siege.cleveland.send("cleveland", "note", b"", b"too late")
            await until(lambda: siege.broker.counts["dropped.revoked"] == 1)
            await until(lambda: siege.cleveland.state == REFUSED)
            assert siege.broker.counts["relayed"] == relayed + 1  # The word that it is refused.

    run(test())


def test_nobody_names_itself() -> None:
    """Neither a routing id nor a fourth field nor a header makes a member the key server."""

    async def test() -> None:
        async with besieged() as siege:
            liar = siege.raw("hungary", ROUTING_ID=b"keyserver")
            await liar.send_multipart([write_routing("cleveland", "roster", b""), b"from: keyserver", b""])
            received = await siege.cleveland.receive()
            assert (received.sender, received.curve_key) == ("hungary", b"")

    run(test())


def test_a_routing_id_that_somebody_has_already_steals_nothing() -> None:
    async def test() -> None:
        async with besieged() as siege:
            victim = siege.raw("hungary", ROUTING_ID=b"same")
            await victim.send_multipart(message("broker", kind="hello-2"))
            await told(victim, b"welcome-2")
            thief = siege.raw("cleveland", ROUTING_ID=b"same")
            thief.setsockopt(zmq.SNDTIMEO, 500)
            for _ in range(3):
                await thief.send_multipart(message("broker", kind="hello-2"))
            await siege.goes_on()
            await siege.keyserver.send("hungary", "note", b"", b"for hungary")
            stolen = asyncio.ensure_future(thief.recv_multipart())
            frames = await victim.recv_multipart()
            assert frames[2] == b"for hungary"
            assert not stolen.done()
            stolen.cancel()

    run(test())


def test_only_the_key_server_changes_the_roster_and_only_by_the_pinned_root() -> None:
    async def test() -> None:
        async with besieged() as siege:
            genuine = siege.authority.roster("cleveland", "hungary", version=2)
            await siege.raw("hungary").send_multipart(message("broker", genuine, "roster"))
            await until(lambda: siege.broker.counts["dropped.kind"] == 1)
            forged = Authority(label="another root").roster("stranger", version=3)
            await siege.keyserver.send("broker", "roster", b"", forged, id=b"forged")
            await until(lambda: siege.broker.counts["dropped.roster"] == 1)
            older = siege.authority.roster("stranger", version=1)
            await push_roster(siege.keyserver, older)
            assert siege.broker.roster_version == 1
            await siege.goes_on()

    run(test())


def test_a_guest_reaches_the_key_server_and_nobody_else() -> None:
    async def test() -> None:
        async with besieged() as siege:
            guest = siege.raw("stranger", "enrol")
            for to, kind in (("cleveland", "enrol"), ("keyserver", "roster")):
                await guest.send_multipart(message(to, b"hello", kind))
            await until(lambda: siege.broker.counts["dropped.guest"] == 2)
            await guest.send_multipart(message("keyserver", request_of("stranger"), "enrol"))
            received = await siege.keyserver.receive()
            assert received.sender.startswith("guest-")
            assert received.curve_key == key_of("stranger")
            await siege.goes_on()

    run(test())
