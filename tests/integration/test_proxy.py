"""A round through bad links (`make drill` runs a hundred): an exact sum or a logged abort, in time.

Real processes; all members dial the broker through our proxy, and their links lose, double and delay messages.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from secagg.errors import PeerUnavailable
from secagg.transport.curve import DOORS, addresses
from secagg.transport.link import CONNECTED
from support import drills, weather
from support.brokers import Authority, dialled, make_broker, push_roster, run, running, until
from support.proxy import KINDS, Fate, Proxy, drawn

pytestmark = pytest.mark.long

CALM = Fate()
SAID = bytes(range(200)) * 5


@contextmanager
def echoed(fate: Fate) -> Iterator[socket.socket]:
    """Connect through a proxy to a server that repeats what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def repeat() -> None:
            there, _ = server.accept()
            with there:
                try:
                    while data := there.recv(65_536):
                        there.sendall(data)
                except OSError:
                    return

        thread = threading.Thread(target=repeat, daemon=True)
        thread.start()
        port = drills.free_ports(1)
        fates = iter([fate])
        with Proxy({port: server.getsockname()[1]}, lambda: next(fates, CALM)), socket.socket() as here:
            here.settimeout(10)
            here.connect(("127.0.0.1", port))
            yield here
        thread.join(10)


def heard(here: socket.socket, size: int) -> bytes:
    """Return what comes back, up to `size` bytes or the end."""
    found = b""
    while len(found) < size:
        try:
            data = here.recv(size - len(found))
        except ConnectionResetError:
            return found + b"RESET"
        if not data:
            return found + b"END"
        found += data
    return found


def test_without_a_fate_every_byte_passes() -> None:
    with echoed(CALM) as here:
        here.sendall(SAID)
        assert heard(here, len(SAID)) == SAID


@pytest.mark.parametrize(("kind", "end"), [("reset", b"RESET"), ("close", b"END"), ("hole", b"END")])
def test_a_connection_ends_at_its_byte_and_nothing_after_it_passes(kind: str, end: bytes) -> None:
    with echoed(Fate(kind, 700, False, 0.1)) as here:
        here.sendall(SAID)
        assert heard(here, len(SAID)) == SAID[:700] + end


def test_doubled_bytes_are_in_the_stream_at_their_byte() -> None:
    with echoed(Fate("double", 700)) as here:
        here.sendall(SAID)
        assert heard(here, len(SAID) + 32) == SAID[:732] + SAID[700:]


def test_a_delay_loses_nothing() -> None:
    with echoed(Fate("delay", 700, True, 0.1)) as here:
        here.sendall(SAID)
        assert heard(here, len(SAID)) == SAID


def test_fates_are_the_same_for_a_seed_and_of_all_kinds() -> None:
    def fates(seed: int) -> list[Fate]:
        draw = drawn(seed)
        return [draw() for _ in range(200)]

    assert fates(1) == fates(1) != fates(2)
    assert {fate.kind for fate in fates(1)} == set(KINDS)
    assert 30 < sum(fate.at < 1_000 for fate in fates(1)) < 70
    assert max(fate.at for fate in fates(1)) < 4_000_000


@pytest.mark.parametrize(("kind", "up"), [(kind, kind != "double") for kind in KINDS])
def test_a_link_comes_back_whatever_broke_it(kind: str, up: bool) -> None:
    """Libzmq gives a connection up for good, and says nothing, when a byte of its stream is not what it should be."""

    async def test() -> None:
        authority, broker = Authority(), make_broker()
        async with running(broker) as bound:
            own = drills.free_ports()
            ports = {own + door: int(bound.of(name).rpartition(":")[2]) for door, name in enumerate(DOORS)}
            fates = iter([Fate(kind, 2_000 if up else 300, up, 0.5)] * 2)
            async with dialled(bound, "keyserver", "hungary") as (keyserver, hungary):
                await push_roster(keyserver, authority.roster("cleveland", "hungary"))
                with Proxy(ports, lambda: next(fates, CALM)) as proxy:
                    async with dialled(addresses("127.0.0.1", own), "cleveland") as (cleveland,):
                        while proxy.met[kind] < 2:
                            # To itself, so that bytes go both ways on both sockets.
                            for note in ("note", "chunk"):
                                with suppress(PeerUnavailable):
                                    await cleveland.send("cleveland", note, b"", bytes(500))
                            with suppress(TimeoutError):
                                await asyncio.wait_for(cleveland.receive(), 0.05)
                        while True:
                            with suppress(PeerUnavailable):
                                await cleveland.send("hungary", "chunk", b"", b"again")
                            with suppress(TimeoutError):
                                if (await asyncio.wait_for(hungary.receive(), 0.2)).body == b"again":
                                    break
                        await until(lambda: cleveland.state == CONNECTED)

    run(test())


@pytest.mark.processes
def test_a_round_through_bad_links_ends_in_time_in_the_sum_of_its_contributors_or_in_a_logged_abort() -> None:
    with weather.founded(drawn(11), rate=0.01, seed=11) as storm:
        storm.round()
        assert storm.wrong == []
        assert storm.ended.total() == 1
        assert storm.proxy.met.total() > 0
        assert drills.audited(storm.federation) == ""
