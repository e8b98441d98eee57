"""Who begins a message and never ends it is cut off before it fills the broker; who speaks in whole messages is not."""

import asyncio
import socket
from collections import Counter

import pytest

from secagg.transport.curve import DOORS
from secagg.transport.unended import ALIVE, BUILDING, HELD, SILENT, Unended, cut, received
from support.besieged import message
from support.brokers import (
    Authority,
    Journal,
    dialled,
    key_of,
    make_broker,
    push_roster,
    run,
    running,
    secret_of,
    until,
)
from support.endless import MORE, Sender

FRAMES = {"control": 60_000, "bulk": 2**20, "enrol": 16_000}


class Kernel:
    """What connections received, as a kernel would tell, and a clock."""

    def __init__(self) -> None:
        self.time = 0.0
        self.bytes: Counter[int] = Counter()
        self.gone: list[int] = []
        self.log = Journal()
        self.unended = Unended(lambda: self.time, self.log, count=self.count, cut=self.gone.append)

    def count(self, descriptor: int) -> int | None:
        return self.bytes.get(descriptor)


def test_one_that_holds_too_much_is_cut_and_said() -> None:
    kernel = Kernel()
    for descriptor in (3, 4):
        kernel.unended.accept(descriptor)
    kernel.bytes[3], kernel.bytes[4] = HELD + 1, HELD
    assert kernel.unended.look() == 1
    assert kernel.gone == [3]
    assert [event for event, _ in kernel.log.lines] == ["cut_off"]
    assert kernel.unended.look() == 0


def test_a_message_that_came_whole_begins_the_count_anew() -> None:
    kernel = Kernel()
    kernel.unended.accept(3)
    for _ in range(5):
        kernel.bytes[3] += HELD
        kernel.unended.heard(3)
        assert kernel.unended.look() == 0
    kernel.bytes[3] += HELD + 1
    assert kernel.unended.look() == 1


def test_many_that_hold_a_little_each_are_cut_the_largest_first() -> None:
    kernel = Kernel()
    many = range(3, 3 + 2 * BUILDING // HELD)
    for descriptor in many:
        kernel.unended.accept(descriptor)
        kernel.bytes[descriptor] = HELD - descriptor
    assert kernel.unended.look() == 0, "a busy broker has not come to them yet"
    kernel.time = SILENT
    assert kernel.unended.look() == len(many) // 2
    assert kernel.gone == list(many)[: len(many) // 2]


def test_heartbeats_of_months_are_nothing_held_back() -> None:
    kernel = Kernel()
    kernel.unended.accept(3)
    kernel.time = 10_000_000.0
    kernel.bytes[3] = int(ALIVE * kernel.time)
    assert kernel.unended.look() == 0


def test_a_descriptor_that_is_gone_or_used_again_is_no_ones_fault() -> None:
    kernel = Kernel()
    kernel.unended.accept(3)
    assert kernel.unended.look() == 0, "the kernel knows nothing of it"
    kernel.bytes[3] = 2 * HELD
    kernel.unended.heard(3)
    kernel.unended.look()
    kernel.bytes[3] = 5
    assert kernel.unended.look() == 0
    kernel.unended.forget(3)
    kernel.bytes[3] = 5 * HELD
    assert kernel.unended.look() == 0


def test_the_kernel_counts_what_a_connection_received_and_shuts_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname()) as there:
        here, _ = door.accept()
        with here:
            there.sendall(bytes(1000))
            got = 0
            while got < 1000:
                got += len(here.recv(1000))
            assert received(here.fileno()) == 1000
            cut(here.fileno())
            assert there.recv(1) == b""
    with open("/dev/null") as file:  # noqa: PTH123 - a descriptor that is no socket
        assert received(file.fileno()) is None


@pytest.mark.parametrize("door", DOORS)
def test_a_message_without_an_end_is_cut_off_and_nobody_else_is(door: str) -> None:
    async def test() -> None:
        authority = Authority()
        broker = make_broker(authority=authority, monotonic=asyncio.get_running_loop().time)
        async with running(broker) as bound, dialled(bound, "keyserver") as (keyserver,):
            await push_roster(keyserver, authority.roster("keyserver", "cleveland", "evil"))
            name = "evil" if door != "enrol" else "stranger"

            def pour() -> int:
                sender, sent = Sender(bound.of(door), key_of("broker"), secret_of(name).reveal(), key_of(name)), 0
                with sender.socket:
                    try:
                        while sent < 2**30:
                            sender.frame(bytes(FRAMES[door]), MORE)
                            sent += FRAMES[door]
                    except OSError:
                        pass
                    return sent

            async with dialled(bound, "cleveland") as (cleveland,):
                pouring = asyncio.create_task(asyncio.to_thread(pour))
                await cleveland.send("cleveland", "note", b"", b"still here")
                assert (await cleveland.receive()).body == b"still here"
                assert HELD <= await pouring + 2**20 < 2**30
                await until(lambda: broker.counts[f"{door}.cut_off"] == 1)
                await cleveland.send("cleveland", "note", b"", b"and after it")
                assert (await cleveland.receive()).body == b"and after it"

    run(test())


def test_whole_messages_are_never_held_against_anybody() -> None:
    async def test() -> None:
        authority = Authority()
        broker = make_broker(authority=authority, monotonic=asyncio.get_running_loop().time)
        async with running(broker) as bound, dialled(bound, "keyserver") as (keyserver,):
            await push_roster(keyserver, authority.roster("keyserver", "cleveland"))

            def pour() -> None:
                key = secret_of("cleveland").reveal()
                sender = Sender(bound.bulk, key_of("broker"), key, key_of("cleveland"))
                with sender.socket:
                    for _ in range(4 * HELD // 2**20):
                        sender.message(message("nobody", bytes(2**20), kind="chunk"))

            await asyncio.to_thread(pour)
            await until(lambda: broker.counts["dropped.unknown"] == 4 * HELD // 2**20)
            assert broker.counts["bulk.cut_off"] == 0

    run(test())
