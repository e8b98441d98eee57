"""The contract of links, the same over memory and over ZeroMQ (transport, Sockets)."""

import asyncio
from contextlib import suppress

import pytest

from secagg.errors import BadInput, PeerUnavailable
from secagg.transport.link import LIMIT_BODY, Received, check_size, guest_name, is_bulk
from secagg.wire.limits import LIMIT_HEADER, LIMIT_SPLIT
from support.brokers import key_of, request_of, run, until
from support.links import World, memory_world, refused, zmq_world

WORLDS = pytest.mark.parametrize("world", [memory_world, zmq_world], ids=["memory", "zmq"])
ID = b"0123456789abcdef"


@WORLDS
def test_a_message_arrives_as_it_was_sent(world: World) -> None:
    async def test() -> None:
        async with world() as parties:
            await parties.cleveland.send("hungary", "share", b"header", b"body", id=ID)
            assert await parties.hungary.receive() == Received("cleveland", "share", ID, b"header", b"body")

    run(test())


@WORLDS
@pytest.mark.parametrize(
    ("kind", "header", "body"),
    [("note", b"", b""), ("note", bytes(LIMIT_HEADER), bytes(LIMIT_SPLIT)), ("chunk", b"h", bytes(LIMIT_BODY))],
)
def test_every_size_arrives_up_to_the_largest(world: World, kind: str, header: bytes, body: bytes) -> None:
    async def test() -> None:
        async with world() as parties:
            await parties.cleveland.send("hungary", kind, header, body)
            received = await parties.hungary.receive()
            assert (received.kind, received.header, received.body) == (kind, header, body)

    run(test())


@WORLDS
@pytest.mark.parametrize(
    ("to", "kind", "header", "body", "id"),
    [
        ("hungary", "note", bytes(LIMIT_HEADER + 1), b"", b""),
        ("hungary", "chunk", b"", bytes(LIMIT_BODY + 1), b""),
        ("hungary", "note", b"", b"", bytes(17)),
        ("hungary", "no te", b"", b"", b""),
        ("Hungary", "note", b"", b"", b""),
        ("hungary\n", "note", b"", b"", b""),
    ],
)
def test_what_the_other_side_would_refuse_is_not_sent(
    world: World, to: str, kind: str, header: bytes, body: bytes, id: bytes
) -> None:
    async def test() -> None:
        async with world() as parties:
            with pytest.raises(BadInput):
                await parties.cleveland.send(to, kind, header, body, id=id)

    run(test())


@WORLDS
def test_messages_of_one_kind_keep_their_order(world: World) -> None:
    async def test() -> None:
        async with world() as parties:
            for number in range(200):
                await parties.cleveland.send("hungary", "note", b"", number.to_bytes(2))
            received = [await parties.hungary.receive() for _ in range(200)]
            assert [int.from_bytes(message.body) for message in received] == list(range(200))

    run(test())


@WORLDS
def test_what_has_arrived_is_at_hand_without_waiting(world: World) -> None:
    async def test() -> None:
        async with world() as parties:
            assert parties.hungary.at_hand() is None
            for number in range(40):
                await parties.cleveland.send("hungary", "note", b"", bytes([number]))
            received = [await parties.hungary.receive()]

            def come() -> bool:
                while message := parties.hungary.at_hand():
                    received.append(message)
                return len(received) == 40

            await until(come)
            assert [message.body[0] for message in received] == list(range(40))
            assert parties.hungary.at_hand() is None
            await parties.hungary.close()
            assert parties.hungary.at_hand() is None
            with pytest.raises(PeerUnavailable):
                await parties.hungary.receive()

    run(test())


@WORLDS
def test_a_message_to_nobody_is_dropped_and_counted(world: World) -> None:
    async def test() -> None:
        async with world() as parties:
            await parties.cleveland.send("atlantis", "note", b"")
            await until(lambda: parties.dropped() == 1)

    run(test())


@WORLDS
def test_a_revoked_member_gets_no_byte_through_in_either_direction(world: World) -> None:
    async def test() -> None:
        async with world() as parties:
            await parties.revoke_hungary()
            await parties.cleveland.send("hungary", "secret", b"")
            await until(lambda: parties.dropped() == 1)
            silent = asyncio.ensure_future(parties.hungary.receive())
            with suppress(PeerUnavailable):
                # The first one may still be handed over: a revocation does not cut a live connection.
                await parties.hungary.send("cleveland", "note", b"")
            await refused(parties.hungary)
            with pytest.raises(PeerUnavailable, match="revoked, or not approved yet"):
                await parties.hungary.send("cleveland", "note", b"")
            await parties.cleveland.send("cleveland", "own", b"")
            assert (await parties.cleveland.receive()).kind == "own"
            assert not silent.done()
            await parties.hungary.close()
            with pytest.raises(PeerUnavailable):
                await silent

    run(test())


@WORLDS
def test_a_guest_writes_to_the_key_server_which_sees_its_curve_key(world: World) -> None:
    async def test() -> None:
        async with world() as parties:
            asks = request_of("stranger")
            await parties.guest.send("keyserver", "enrol", b"", asks, id=ID)
            request = await parties.keyserver.receive()
            key = key_of("stranger")
            assert request == Received(guest_name(key), "enrol", b"", b"", asks, key), "nothing is durable"
            await parties.keyserver.send(request.sender, "enrol", b"", b"no", id=ID)
            assert await parties.guest.receive() == Received("keyserver", "enrol", ID, b"", b"no")

    run(test())


@WORLDS
def test_a_guest_may_send_less_than_a_member(world: World) -> None:
    async def test() -> None:
        async with world() as parties:
            with pytest.raises(BadInput):
                await parties.guest.send("keyserver", "enrol", b"", bytes(16_384))

    run(test())


@WORLDS
def test_a_closed_link_says_so(world: World) -> None:
    async def test() -> None:
        async with world() as parties:
            waiting = asyncio.ensure_future(parties.cleveland.receive())
            await asyncio.sleep(0)
            await parties.cleveland.close()
            await parties.cleveland.close()
            with pytest.raises(PeerUnavailable):
                await waiting
            with pytest.raises(PeerUnavailable):
                await parties.cleveland.send("hungary", "note", b"")

    run(test())


def test_uploads_and_long_lists_go_over_bulk() -> None:
    assert is_bulk("chunk", 1)
    assert is_bulk("piece", 1)
    assert is_bulk("note", LIMIT_SPLIT + 1)
    assert not is_bulk("note", LIMIT_SPLIT)


def test_the_size_error_names_both_sizes() -> None:
    with pytest.raises(BadInput, match="header of a message has 4097 bytes, more than 4096"):
        check_size(bytes(LIMIT_HEADER + 1), b"")


def test_the_name_of_a_guest_is_its_key() -> None:
    assert guest_name(bytes(32)) == "guest-66687aadf862bd776c8fc18b8e9f8e20"
    assert guest_name(b"\1" + bytes(31)) != guest_name(bytes(32))
