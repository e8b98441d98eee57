"""Which durable message is due: in order towards each peer, again after a while, until it is acknowledged.

Control messages to one peer go one at a time, so that a message lost in a crash is never overtaken by the next one.
Bulk kinds may have eight on the way (docs/transport.md "Uploads"): each piece is complete in itself. Time is ticks of
the loop.

Rules: when no acknowledgement has come for as long as a lane has patience, its oldest message is sent again. After the
next such silence two are, then four. Any is sent again that was overtaken, by one that left later and was acknowledged
before it. With pieces, patience doubles with every silence up to sixteen ticks and follows how far apart
acknowledgements are. A slow link, where eight pieces need far longer than two ticks, is thus not filled with pieces
that it has already. A peer or a link that is back is told everything again at once. Leaves to others: keeping the
messages (secagg.daemon.journal) and sending them (secagg.daemon.loop). Source: docs/transport.md "Crash rules" (two
seconds, back-off); the timer is TCP's, RFC 6298 §5.
"""

from collections import deque
from dataclasses import dataclass

from secagg.transport.link import BULK_KINDS

WINDOW = 8
"""Pieces on the way to one peer: enough to hide the round trip, few enough for the high-water mark of bulk (8)."""

PATIENCE = 2
"""Ticks without an answer before a message is sent again, at first."""

LONGEST = 16
"""Ticks that patience grows to with pieces; a control message is small, and asked for again every two ticks."""


@dataclass
class _Flight:
    """A message on its way: the places in which it left first and last, and ticks since it left last."""

    first: int
    last: int
    age: int = 0
    overtaken: bool = False


class _Lane:
    """The messages of one sort for one peer."""

    def __init__(self, window: int) -> None:
        self.window, self._longest = window, LONGEST if window > 1 else PATIENCE
        self.waiting: deque[bytes] = deque()
        self.flying: dict[bytes, _Flight] = {}
        self._left, self._patience, self._burst = 0, PATIENCE, 1
        # Ticks since an acknowledgement, and since that or a message that was sent again in silence.
        self._apart = self._quiet = 0

    def launch(self) -> list[bytes]:
        """Let go what the window has room for."""
        due = []
        while self.waiting and len(self.flying) < self.window:
            if not self.flying:
                self._apart = self._quiet = 0
            id = self.waiting.popleft()
            self._left += 1
            self.flying[id] = _Flight(self._left, self._left)
            due.append(id)
        return due

    def acknowledged(self, flight: _Flight) -> None:
        """Take an acknowledgement: patience follows it, unless nobody knows which sending it answers (Karn)."""
        if flight.first == flight.last:
            self._patience, self._burst = min(self._longest, max(PATIENCE, 2 * self._apart)), 1
        self._apart = self._quiet = 0
        for other in self.flying.values():
            other.overtaken |= other.last < flight.first

    def tick(self) -> list[bytes]:
        """Let one tick pass; return what is due again."""
        self._apart, self._quiet = self._apart + 1, self._quiet + 1
        for flight in self.flying.values():
            flight.age += 1
        late = [id for id, flight in self.flying.items() if flight.overtaken and flight.age >= PATIENCE]
        if late:
            self._quiet = 0
        elif self._quiet >= self._patience:
            late = list(self.flying)[: self._burst]
            self._patience, self._quiet = min(self._longest, 2 * self._patience), 0
            self._burst = min(WINDOW, 2 * self._burst)
        return self._again(late)

    def heard(self) -> list[bytes]:
        """Be impatient again; return what is due at once."""
        self._patience, self._burst = PATIENCE, 1
        late = [id for id, flight in self.flying.items() if flight.age >= PATIENCE]
        self._quiet = 0 if late else self._quiet
        return self._again(late)

    def _again(self, due: list[bytes]) -> list[bytes]:
        for id in due:
            self._left += 1
            self.flying[id] = _Flight(self.flying[id].first, self._left)
        return due


class Outbox:
    """The order and the age of unacknowledged messages; every method returns the ids to send now."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, bool], _Lane] = {}
        self._lane_of: dict[bytes, tuple[str, bool]] = {}

    def add(self, id: bytes, to: str, kind: str) -> list[bytes]:
        """Take a message that the journal holds."""
        place = (to, kind in BULK_KINDS)
        lane = self._lanes.setdefault(place, _Lane(WINDOW if place[1] else 1))
        self._lane_of[id] = place
        lane.waiting.append(id)
        return lane.launch()

    def remove(self, id: bytes) -> list[bytes]:
        """Let go of a message that is acknowledged or withdrawn."""
        place = self._lane_of.pop(id, None)
        if place is None:
            return []
        lane = self._lanes[place]
        flight = lane.flying.pop(id, None)
        if flight is None:
            lane.waiting.remove(id)
        else:
            lane.acknowledged(flight)
        due = lane.launch()
        if not lane.flying:
            del self._lanes[place]
        return due

    def heard(self, peer: str = "") -> list[bytes]:
        """Take word that a peer is back that was silent; without a name, that the link to all is."""
        return [id for (to, _), lane in self._lanes.items() if peer in ("", to) for id in lane.heard()]

    def tick(self) -> list[bytes]:
        """Let one tick pass."""
        return [id for lane in self._lanes.values() for id in lane.tick()]

    def waiting(self) -> dict[str, int]:
        """Return how many messages each peer has not acknowledged."""
        counts: dict[str, int] = {}
        for to, _ in self._lane_of.values():
            counts[to] = counts.get(to, 0) + 1
        return counts
