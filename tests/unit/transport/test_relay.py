"""What the broker decides about one message, without sockets (transport, Sockets)."""

from collections.abc import Sequence

import pytest

from secagg.transport.directory import Directory
from secagg.transport.link import guest_name
from secagg.transport.relay import Post, Relay
from secagg.transport.routing import Routing, Stamped, write_routing
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_CONTROL
from support.brokers import FEDERATION, NOW, Authority, Journal, key_of, request_of

CLEVELAND, HUNGARY, KEYSERVER, STRANGER = (key_of(n) for n in ("cleveland", "hungary", "keyserver", "stranger"))
ASKS = request_of("stranger")


class Desk:
    """A relay with two members, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log = Journal()
        self.authority = Authority()
        self.directory = Directory(FEDERATION, self.authority.fingerprint, KEYSERVER, lambda: NOW)
        self.directory.push(self.authority.roster("keyserver", "cleveland", "hungary"))
        self.relay = Relay(self.directory, lambda: self.now, self.log)

    def take(self, key: bytes, frames: Sequence[bytes], door: str = "control") -> Post | None:
        return self.relay.handle(door, key, frames)

    def dropped(self) -> dict[str, int]:
        return {k.removeprefix("dropped."): n for k, n in self.relay.counts.items() if k.startswith("dropped.")}


def message(to: str, kind: str = "note", id: bytes = b"", header: bytes = b"h", body: bytes = b"b") -> list[bytes]:
    return [write_routing(to, kind, id), header, body]


def stamp(post: Post | None) -> Stamped:
    assert post is not None
    return decode(Stamped, post.stamped)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_message_goes_on_unread_under_the_name_of_its_key(desk: Desk) -> None:
    post = desk.take(CLEVELAND, message("hungary", "share", b"id"))
    assert post == Post("control", HUNGARY, encode(Stamped("cleveland", "share", b"id")), b"h", b"b", "cleveland")


def test_no_field_lets_a_sender_name_itself(desk: Desk) -> None:
    spoofed = encode(["hungary", "note", b"", "hungary"])
    assert desk.take(CLEVELAND, [spoofed, b"", b""]) is None
    assert stamp(desk.take(CLEVELAND, [encode(Routing("hungary", "note")), encode("from: hungary"), b""])).sender == (
        "cleveland"
    )


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "frames"),
        ([b"x"], "frames"),
        ([*message("hungary"), b""], "frames"),
        (message("hungary") * 20, "frames"),
        (message("hungary", header=bytes(4097)), "header"),
        (message("hungary", header=bytes(4096), body=bytes(LIMIT_CONTROL - 4095)), "size"),
        ([b"\xc1", b"", b""], "frame"),
        ([bytes(129), b"", b""], "frame"),
    ],
)
def test_three_broken_messages_and_the_key_is_ignored_for_ten_minutes(
    desk: Desk, frames: list[bytes], reason: str
) -> None:
    for _ in range(3):
        assert desk.take(CLEVELAND, frames) is None
    assert desk.dropped() == {reason: 3}
    assert [fields["peer"] for event, fields in desk.log.lines if event == "ignore_peer"] == ["cleveland"]
    desk.now = 599.0
    assert desk.take(CLEVELAND, message("hungary")) is None
    assert desk.dropped() == {reason: 3, "ignored": 1}
    assert desk.take(HUNGARY, message("cleveland")) is not None
    desk.now = 600.0
    assert desk.take(CLEVELAND, message("hungary")) is not None


def test_a_name_that_nobody_has_is_dropped_without_a_strike(desk: Desk) -> None:
    for _ in range(5):
        assert desk.take(CLEVELAND, message("atlantis")) is None
    assert desk.dropped() == {"unknown": 5}
    assert desk.take(CLEVELAND, message("hungary")) is not None


def test_revocation_acts_on_the_next_message(desk: Desk) -> None:
    desk.directory.push(desk.authority.roster("keyserver", "cleveland", version=2))
    answer = desk.take(HUNGARY, message("cleveland"))
    assert answer is not None
    assert (answer.key, stamp(answer), answer.header, answer.body) == (HUNGARY, Stamped("broker", "refused"), b"", b"")
    assert desk.take(HUNGARY, message("cleveland")) is None
    assert desk.take(CLEVELAND, message("hungary")) is None
    assert desk.dropped() == {"revoked": 2, "unknown": 1}
    desk.now = 5.0
    assert stamp(desk.take(HUNGARY, message("cleveland"))).kind == "refused"


@pytest.mark.parametrize(("kind", "answer"), [("hello-2", "welcome-2"), ("ping", "pong")])
def test_the_broker_answers_for_itself(desk: Desk, kind: str, answer: str) -> None:
    post = desk.take(HUNGARY, message("broker", kind, b"id"), "bulk")
    assert post == Post("bulk", HUNGARY, encode(Stamped("broker", answer, b"id")), b"", b"", "broker")


def test_a_party_of_another_wire_is_told_so_now_and_then_and_is_never_welcome(desk: Desk) -> None:
    """`hello` is what 0.1 says: it waits for its `welcome` before it sends anything else."""
    for kind in ("hello", "hello-3"):
        desk.now += 10.0
        assert stamp(desk.take(HUNGARY, message("broker", kind, b"id"))) == Stamped("broker", "other-wire", b"id")
        assert desk.take(HUNGARY, message("broker", kind, b"id")) is None
    assert desk.dropped() == {"wire": 4}


def test_the_broker_acknowledges_nothing_but_rosters_of_the_key_server(desk: Desk) -> None:
    roster = desk.authority.roster("keyserver", "cleveland", version=2)
    assert desk.take(HUNGARY, message("broker", "roster", b"id", body=roster)) is None
    assert desk.directory.version == 1
    answer = desk.take(KEYSERVER, message("broker", "roster", b"id", body=roster))
    assert stamp(answer) == Stamped("broker", "ack", b"id")
    assert desk.directory.version == 2
    assert desk.take(CLEVELAND, message("broker", "upload", b"id")) is None


def test_an_overtaken_roster_is_acknowledged_and_changes_nothing(desk: Desk) -> None:
    desk.directory.push(desk.authority.roster("cleveland", version=3))
    late = desk.authority.roster("cleveland", "hungary", version=2)
    assert stamp(desk.take(KEYSERVER, message("broker", "roster", b"id", body=late))).kind == "ack"
    assert not desk.relay.knows(HUNGARY)


def test_a_roster_that_does_not_verify_is_not_acknowledged(desk: Desk) -> None:
    forged = Authority(label="forger").roster("stranger", version=2)
    assert desk.take(KEYSERVER, message("broker", "roster", b"id", body=forged)) is None
    assert desk.dropped() == {"roster": 1}
    assert [event for event, _ in desk.log.lines] == ["refuse_roster"]
    assert not desk.relay.knows(STRANGER)


def test_a_guest_reaches_the_key_server_and_nobody_else(desk: Desk) -> None:
    name = guest_name(STRANGER)
    post = desk.take(STRANGER, message("keyserver", "enrol", b"id", body=ASKS), "enrol")
    assert post == Post("control", KEYSERVER, encode(Stamped(name, "enrol", b"", STRANGER)), b"h", ASKS, name)
    for to, kind in (("hungary", "enrol"), ("keyserver", "roster")):
        assert desk.take(STRANGER, message(to, kind), "enrol") is None
    assert desk.dropped() == {"guest": 2}


def test_the_reply_to_a_guest_leaves_by_the_door_it_came_in(desk: Desk) -> None:
    name = guest_name(STRANGER)
    assert desk.take(KEYSERVER, message(name, "enrol")) is None
    desk.take(STRANGER, message("keyserver", "enrol", body=ASKS), "enrol")
    post = desk.take(KEYSERVER, message(name, "enrol"), "bulk")
    assert post is not None
    assert (post.door, post.key) == ("enrol", STRANGER)
    assert desk.take(CLEVELAND, message(name, "enrol")) is None


def test_strangers_are_heard_rarely_and_all_of_them_together_too(desk: Desk) -> None:
    granted = [desk.take(STRANGER, message("keyserver", "enrol", body=ASKS), "enrol") for _ in range(12)]
    assert [post is not None for post in granted] == [True] * 10 + [False] * 2
    asks = {key: request_of("stranger", key) for key in (number.to_bytes(32) for number in range(300))}
    heard = [desk.take(key, message("keyserver", "enrol", body=own), "enrol") for key, own in asks.items()]
    assert sum(post is not None for post in heard) == 200 - 10
    desk.now = 1.0
    assert desk.take(STRANGER, message("keyserver", "enrol", body=ASKS), "enrol") is not None


def test_whoever_answers_everybody_may_say_more(desk: Desk) -> None:
    sent = [desk.take(KEYSERVER, message("hungary")) is not None for _ in range(20_001)]
    assert sent.count(False) == 1
    desk.directory.push(desk.authority.roster("keyserver", "cleveland", "hungary", version=2, aggregator="hungary"))
    sent = [desk.take(HUNGARY, message("cleveland")) is not None for _ in range(20_001)]
    assert sent.count(False) == 1
    sent = [desk.take(CLEVELAND, message("hungary")) is not None for _ in range(20_001)]
    assert sent.count(True) == 5_000


def test_a_member_over_its_quota_is_dropped_not_punished(desk: Desk) -> None:
    sent = [desk.take(CLEVELAND, message("hungary")) is not None for _ in range(5_001)]
    assert sent.count(False) == 1
    assert desk.dropped() == {"quota": 1}
    assert desk.take(CLEVELAND, message("hungary"), "bulk") is not None
    assert desk.take(HUNGARY, message("cleveland")) is not None
    desk.now = 1.0
    assert desk.take(CLEVELAND, message("hungary")) is not None
