"""What the broker does with one message: a decision without sockets.

A message comes in at a door under an authenticated key, and goes on to at most one key at one door.
 1. A key that is ignored after three strikes, or that nobody has any more, is not heard.
 2. The quota of the key at this door holds.
 3. The frames are `[routing][header][body]` within the limits of the door; else a strike.
 4. A guest may write to the key server, kind `enrol`, nothing else, and nothing durable; only a request that is one,
    under its own signatures and for the key it came with, takes of what all guests have together.
 5. `broker` is this broker: greetings, `ping`, and `roster` from the key server, the only thing it acknowledges.
 6. The sender is stamped by key; a name that nobody has is dropped and counted.

Rules: header and body are passed on as they came. Only a guest's are read, because anybody may be one, and a bucket
that is shared is charged last, for what passes everything else. Leaves to others: sockets (broker.py), durability.
Source: docs/transport.md "Sockets".
"""

from collections import Counter
from collections.abc import Callable, Sequence, Sized
from typing import NamedTuple

from secagg.errors import SecaggError, WireError
from secagg.events import lines
from secagg.events.line import Logger, write
from secagg.roster.messages import open_enrolment
from secagg.transport.curve import SIZES
from secagg.transport.directory import Directory
from secagg.transport.link import BROKER, GUEST, HELLO, KEYSERVER, OTHER, WELCOME, guest_name
from secagg.transport.quotas import Bounded, Quota, Strikes
from secagg.transport.routing import Routing, Stamped, read_routing
from secagg.wire.codec import encode

Buffer = bytes | memoryview

REMIND = 5.0
"""Seconds between two answers `refused` to a key that was revoked."""


class Post(NamedTuple):
    """What goes out: to the connection of `key` at `door`; header and body are bytes, views, or frames as received.

    `sender` is whose name the message is stamped with.
    """

    door: str
    key: bytes
    stamped: bytes
    header: Sized
    body: Sized
    sender: str = ""


class Relay:
    """The decisions of one broker, and its counters; `now` is monotonic seconds."""

    def __init__(self, directory: Directory, now: Callable[[], float], log: Logger) -> None:
        self.counts: Counter[str] = Counter()
        self._directory = directory
        self._now = now
        self._log = log
        self._strikes = Strikes()
        self._guests: Bounded[bytes] = Bounded()
        self._reminded = Quota(1 / REMIND, 1)
        # Messages and bytes a second for each key, far above what a round of 1,000 nodes asks of the aggregator, and
        # messages of a node or trustee: its largest steps are a few, and 500 pieces that it asks for are 375 MiB.
        self._messages = {"control": Quota(5_000, 20_000), "bulk": Quota(5_000, 20_000), "enrol": Quota(1, 10)}
        self._of_parties = Quota(500, 5_000)
        self._bytes = {"control": Quota(2**24, 2**26), "bulk": Quota(2**29, 2**30), "enrol": Quota(2**16, 2**18)}
        self._all_guests = Quota(50, 200)

    def handle(self, door: str, key: bytes, frames: Sequence[Buffer]) -> Post | None:
        """Decide about `frames` that came in at `door` under `key`; None when it is dropped, which is counted."""
        self.counts["received"] += 1
        if self._strikes.ignored(key, self._now()):
            return self._drop("ignored")
        if door != "enrol" and self._directory.name_of(key) is None:
            return self._refuse(door, key)
        if not self._within_quota(door, key, sum(len(frame) for frame in frames)):
            return self._drop("quota")
        try:
            routing = read_routing(frames)
            if len(frames[1]) + len(frames[2]) > SIZES[door]:
                raise WireError(f"A message on {door} is larger than {SIZES[door]} bytes.", rule="size")
        except WireError as error:
            return self._strike(key, error)
        if door == "enrol":
            return self._from_guest(key, routing, frames)
        if routing.to == BROKER:
            return self._for_broker(door, key, routing, frames)
        stamped = Stamped(self._directory.name_of(key) or "", routing.kind, routing.id)
        return self._forward(door, stamped, routing, frames)

    def knows(self, key: bytes) -> bool:
        """Say whether a key may enter control and bulk now."""
        return self._directory.name_of(key) is not None

    def _within_quota(self, door: str, key: bytes, size: int) -> bool:
        now = self._now()
        party = door == "control" and not self._directory.serves_all(key)
        messages = self._of_parties if party else self._messages[door]
        return messages.take(key, 1, now) and self._bytes[door].take(key, size, now)

    def _from_guest(self, key: bytes, routing: Routing, frames: Sequence[Buffer]) -> Post | None:
        if (routing.to, routing.kind) != (KEYSERVER, "enrol"):
            return self._strike(key, WireError("A guest writes to somebody but the key server.", rule="guest"))
        try:
            open_enrolment(bytes(frames[2]), key)
        except SecaggError as error:
            return self._strike(key, WireError(f"A guest sends what is no request: {error}", rule="guest"))
        if not self._all_guests.take(b"", 1, self._now()):
            return self._drop("guests")
        name = guest_name(key)
        self._guests[name.encode()] = key
        # Without its id: what is durable is remembered by its receiver, and strangers are as many as they like.
        return self._forward("control", Stamped(name, routing.kind, b"", key), routing, frames)

    def _for_broker(self, door: str, key: bytes, routing: Routing, frames: Sequence[Buffer]) -> Post | None:
        if routing.kind == "roster" and self._directory.name_of(key) == KEYSERVER:
            return self._take_roster(door, key, routing, bytes(frames[2]))
        answer = {HELLO: WELCOME, "ping": "pong"}.get(routing.kind)
        if answer is None and routing.kind.startswith("hello"):
            return self._other_wire(door, key, routing)
        return self._own(door, key, answer, routing.id) if answer else self._drop("kind")

    def _other_wire(self, door: str, key: bytes, routing: Routing) -> Post | None:
        """Say to a party, and to the operator, that it is of a version that cannot take part."""
        self._drop("wire")
        if not self._reminded.take(key, 1, self._now()):
            return None
        remedy = "Install one version at every role; what 0.1 has kept is of no use to later ones (docs/upgrading.md)."
        write(self._log, lines.OtherWire(self._directory.name_of(key) or guest_name(key), routing.kind, remedy))
        return self._own(door, key, OTHER, routing.id)

    def _take_roster(self, door: str, key: bytes, routing: Routing, data: bytes) -> Post | None:
        try:
            if self._directory.push(data):
                write(self._log, lines.AdoptRoster(self._directory.version))
        except (SecaggError, OSError) as error:
            write(self._log, lines.RefuseRoster(str(error)))
            return self._drop("roster")
        return self._own(door, key, "ack", routing.id)

    def _forward(self, door: str, stamped: Stamped, routing: Routing, frames: Sequence[Buffer]) -> Post | None:
        if routing.to.startswith(GUEST):
            door, key = "enrol", self._guests.get(routing.to.encode())
            if stamped.sender != KEYSERVER:
                return self._drop("unknown")
        else:
            key = self._directory.key_of(routing.to)
        if key is None:
            return self._drop("unknown")
        return Post(door, key, encode(stamped), frames[1], frames[2], stamped.sender)

    def _own(self, door: str, key: bytes, kind: str, id: bytes) -> Post:
        return Post(door, key, encode(Stamped(BROKER, kind, id)), b"", b"", BROKER)

    def _refuse(self, door: str, key: bytes) -> Post | None:
        self._drop("revoked")
        return self._own(door, key, "refused", b"") if self._reminded.take(key, 1, self._now()) else None

    def _strike(self, key: bytes, error: WireError) -> Post | None:
        name = self._directory.name_of(key) or guest_name(key)
        if self._strikes.add(key, self._now()):
            write(self._log, lines.IgnorePeer(name, error.cause))
        return self._drop(error.rule or "frame")

    def _drop(self, reason: str) -> Post | None:
        self.counts[f"dropped.{reason}"] += 1
        return None
