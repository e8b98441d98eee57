"""Row 59: what is shared is not one peer's to use up.

Guests share a bucket at the broker. One of them with one key, at a hundred frames a second, whatever they are, keeps no
newcomer out. Neither do many keys that send what is no request. A waiting room is a key's, whatever connections it has;
when there is no room left, whoever takes most of it gives way.
"""

import asyncio

import pytest

from secagg.transport.directory import Directory
from secagg.transport.relay import Post, Relay
from secagg.transport.waiting import BUILDING, ROOM
from secagg.transport.zmq_link import GuestLink
from support.besieged import besieged, message, told
from support.brokers import FEDERATION, NOW, Authority, Journal, key_of, request_of, run, secret_of, until

NEWCOMER, STRANGER = key_of("newcomer"), key_of("stranger")
KINDS = {
    "its own request": request_of("stranger"),
    "a newcomer's request": request_of("newcomer"),
    "a bent signature": request_of("stranger")[:-20] + bytes(20),
    "nothing": b"",
    "as much as fits": bytes(12_000),
    "a note": None,
}
"""What a stranger sends at the enrolment door."""


class Door:
    """The broker's decisions at the enrolment door, by a clock that the test moves."""

    def __init__(self) -> None:
        self.now, authority = 0.0, Authority()
        directory = Directory(FEDERATION, authority.fingerprint, key_of("keyserver"), lambda: NOW)
        self.relay = Relay(directory, lambda: self.now, Journal())

    def take(self, key: bytes, body: bytes | None) -> Post | None:
        frames = message("keyserver", body or b"", "enrol" if body is not None else "note")
        return self.relay.handle("enrol", key, frames)


@pytest.mark.parametrize("kind", KINDS)
def test_a_newcomer_enrols_under_a_hundred_frames_a_second_of_a_stranger(kind: str) -> None:
    door, heard = Door(), []
    for tenth in range(300):
        door.now = tenth / 10
        for _ in range(10):
            door.take(STRANGER, KINDS[kind])
        if tenth % 30 == 29:
            heard.append(door.take(NEWCOMER, request_of("newcomer")) is not None)
    assert heard == [True] * 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_keys_take_nothing_with_what_is_no_request_of_theirs(kind: str) -> None:
    door = Door()
    for number in range(1_000):
        for _ in range(3):
            assert door.take(number.to_bytes(32), KINDS[kind]) is None
    assert all(door.take(key_of(f"new-{n}"), request_of(f"new-{n}")) is not None for n in range(200))


def test_a_thousand_keys_take_nothing_with_signatures_that_are_none() -> None:
    door = Door()
    for key in (number.to_bytes(32) for number in range(1_000)):
        assert door.take(key, request_of("stranger", key)[:-20] + bytes(20)) is None
    assert door.take(NEWCOMER, request_of("newcomer")) is not None


def test_all_guests_together_are_still_bounded() -> None:
    door = Door()
    heard = [door.take(key_of(f"new-{n}"), request_of(f"new-{n}")) for n in range(210)]
    assert sum(post is not None for post in heard) == 200
    assert door.relay.counts["dropped.guests"] == 10


def test_a_newcomer_reaches_the_key_server_through_a_real_broker_under_such_a_flood() -> None:
    """The clock stands, so that no bucket is filled again while this runs."""

    async def test() -> None:
        async with besieged(monotonic=lambda: 0.0) as siege:
            stranger, before = siege.raw("stranger", "enrol"), siege.broker.counts["received"]
            for _ in range(400):
                await stranger.send_multipart(message("keyserver", request_of("stranger"), "enrol"))
            await until(lambda: siege.broker.counts["received"] >= before + 400)
            guest = GuestLink(siege.bound, key_of("broker"), secret_of("newcomer"))
            await guest.send("keyserver", "enrol", b"", request_of("newcomer"))
            while (await siege.keyserver.receive()).curve_key != NEWCOMER:
                pass
            await guest.close()
            await siege.goes_on()

    run(test())


def test_a_member_with_several_connections_has_one_room() -> None:
    async def test() -> None:
        async with besieged() as siege:
            stuck = []
            for _ in range(3):
                stuck.append(siege.raw("hungary", "bulk"))
                await stuck[-1].send_multipart(message("broker", kind="hello-2"))
                await told(stuck[-1], b"welcome-2")
                sent = siege.broker.counts["received"]
                for _ in range(50):
                    await siege.cleveland.send("hungary", "chunk", b"", bytes(2**20))
                await until(lambda: siege.broker.counts["received"] >= sent + 50)  # noqa: B023 - of this turn
            assert siege.broker.counts["dropped.full"] > 0
            assert siege.broker.waiting <= ROOM < BUILDING
            await siege.goes_on()

    run(test())


def test_what_one_member_pours_into_a_room_does_not_keep_the_key_server_out() -> None:
    """hungary reads nothing for a while, and cleveland has filled its room before the key server has something."""

    async def test() -> None:
        async with besieged() as siege:
            slow = siege.raw("hungary", "bulk")
            await slow.send_multipart(message("broker", kind="hello-2"))
            await told(slow, b"welcome-2")
            while not siege.broker.counts["dropped.full"]:
                await siege.cleveland.send("hungary", "chunk", b"", bytes(2**20))
            await siege.keyserver.send("hungary", "chunk", b"", b"k" * 2**20)
            sent = siege.broker.counts["received"]
            await siege.goes_on()
            assert siege.broker.counts["received"] > sent
            await asyncio.wait_for(heard(slow, b"k" * 2**20), 10)
            await siege.goes_on()

    async def heard(socket: object, body: bytes) -> None:
        while (await socket.recv_multipart())[-1] != body:  # type: ignore[attr-defined]
            pass

    run(test())
