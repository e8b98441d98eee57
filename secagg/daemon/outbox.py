"""Which durable message is due: in order towards each peer, again every few seconds, until it is acknowledged.

Control messages to one peer go one at a time, so that a message lost in a crash is never overtaken by the next one.
Bulk kinds may have eight on the way (transport "Uploads"): each piece is complete in itself. Time is ticks of the loop.

Leaves to others: keeping the messages (secagg.daemon.journal) and sending them (secagg.daemon.loop).
"""

from collections import deque

from secagg.transport.link import BULK_KINDS

WINDOW = 8
"""Pieces on the way to one peer: enough to hide the round trip, few enough for the high-water mark of bulk (8)."""

PATIENCE = 2
"""Ticks without an answer before a message is sent again."""


class _Lane:
    def __init__(self, window: int) -> None:
        self.window = window
        self.waiting: deque[bytes] = deque()
        self.flying: dict[bytes, int] = {}


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
        return _launch(lane)

    def remove(self, id: bytes) -> list[bytes]:
        """Let go of a message that is acknowledged or withdrawn."""
        place = self._lane_of.pop(id, None)
        if place is None:
            return []
        lane = self._lanes[place]
        if lane.flying.pop(id, None) is None:
            lane.waiting.remove(id)
        due = _launch(lane)
        if not lane.flying:
            del self._lanes[place]
        return due

    def tick(self) -> list[bytes]:
        """Let one tick pass."""
        due = []
        for lane in self._lanes.values():
            for id in lane.flying:
                lane.flying[id] += 1
                if lane.flying[id] >= PATIENCE:
                    lane.flying[id] = 0
                    due.append(id)
        return due

    def waiting(self) -> dict[str, int]:
        """Return how many messages each peer has not acknowledged."""
        counts: dict[str, int] = {}
        for to, _ in self._lane_of.values():
            counts[to] = counts.get(to, 0) + 1
        return counts


def _launch(lane: _Lane) -> list[bytes]:
    due = []
    while lane.waiting and len(lane.flying) < lane.window:
        id = lane.waiting.popleft()
        lane.flying[id] = 0
        due.append(id)
    return due
