"""A round through bad links (`make drill` runs a hundred): an exact sum or a logged abort, in time.

Real processes; all members dial the broker through our proxy, and their links lose, double and delay messages.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support import drills, weather
from support.proxy import KINDS, Fate, Proxy, drawn

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


@pytest.mark.processes
def test_a_round_through_bad_links_ends_in_time_in_the_sum_of_its_contributors_or_in_a_logged_abort() -> None:
    with weather.founded(drawn(11), rate=0.01, seed=11) as storm:
        storm.round()
        assert storm.wrong == []
        assert storm.ended.total() == 1
        assert storm.proxy.met.total() > 0
        assert drills.audited(storm.federation) == ""
