"""A wait, in words for people: for whom, for what, since when, until when.

Rules: times are wall time, for people and never for decisions. Leaves to others: what a role waits for (the roles).
Source: docs/operations.md "Commands".
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct


class Waiting(Struct, frozen=True):
    """One wait; `until` is None when it has no end."""

    for_whom: str
    what: str
    since: int
    until: int | None = None

    def shown(self) -> dict[str, object]:
        """Return plain values for the admin socket."""
        return {"for": self.for_whom, "what": self.what, "since": self.since, "until": self.until}


def sentence(shown: Mapping[str, object], now: int) -> str:
    """Return what `Waiting.shown` says as one line, at wall time `now`."""
    since, until = int(str(shown["since"])), shown["until"]
    start = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if since else "the start"
    said = f"{shown['for']}: {shown['what']}, since {start}"
    if until is None:
        return said
    left = max(0, int(str(until)) - now)
    return f"{said}, {left // 60:02}:{left % 60:02} left"
