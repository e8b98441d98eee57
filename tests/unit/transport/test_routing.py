"""The routing frame and its limits (transport, Sockets)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import BadInput, WireError
from secagg.transport.routing import Routing, Stamped, read_routing, read_stamped, write_routing
from secagg.wire.codec import encode
from secagg.wire.limits import LIMIT_ROUTING

LONGEST = "a" * 64


def test_the_longest_names_fit_into_the_frame() -> None:
    assert len(write_routing(LONGEST, "k" * 32, bytes(16))) <= LIMIT_ROUTING
    assert len(encode(Stamped(LONGEST, "k" * 32, bytes(16)))) <= LIMIT_ROUTING
    assert len(encode(Stamped("guest-" + 32 * "0", "enrol", bytes(16), bytes(32)))) <= LIMIT_ROUTING


def test_what_is_written_is_read() -> None:
    frames = [write_routing("hungary", "share", b"id"), b"", b""]
    assert read_routing(frames) == Routing("hungary", "share", b"id")


@pytest.mark.parametrize("frames", [0, 1, 2, 4, 20])
def test_a_message_has_three_frames(frames: int) -> None:
    routing = write_routing("hungary", "share", b"")
    with pytest.raises(WireError) as error:
        read_routing(([routing] + [b""] * 20)[:frames])
    assert error.value.rule == "frames"
    with pytest.raises(WireError):
        read_stamped([encode(Stamped("hungary", "share"))] + [b""] * 3)


def test_a_header_has_its_limit() -> None:
    routing = write_routing("hungary", "share", b"")
    assert read_routing([routing, bytes(4096), b""]).to == "hungary"
    with pytest.raises(WireError) as error:
        read_routing([routing, bytes(4097), b""])
    assert error.value.rule == "header"


@pytest.mark.parametrize(
    "value",
    [
        ["hungary\n", "share", b""],
        ["a" * 65, "share", b""],
        ["", "share", b""],
        ["hungary", "sh are", b""],
        ["hungary", "s" * 33, b""],
        ["hungary", "share", bytes(17)],
        ["hungary", "share", b"", "more"],
        ["hungary"],
        {"to": "hungary", "kind": "share", "id": b""},
        7,
    ],
)
def test_a_bad_routing_frame_is_refused(value: object) -> None:
    with pytest.raises(WireError):
        read_routing([msgspec.msgpack.encode(value), b"", b""])


@given(st.binary(max_size=200))
def test_nothing_but_a_wire_error_leaves_the_reader(frame: bytes) -> None:
    for read in (read_routing, read_stamped):
        try:
            read([frame, b"", b""])
        except WireError:
            continue
        assert len(frame) <= LIMIT_ROUTING


def test_a_name_that_cannot_be_routed_is_our_own_fault() -> None:
    with pytest.raises(BadInput, match="cannot be routed"):
        write_routing("Not A Name", "share", b"")
