"""A wait, in words for people: for whom, for what, since when, until when.

Rules: times are wall time, for people and never for decisions. Leaves to others: what a role waits for (the roles).
Source: docs/operations.md "Commands".
"""

from abc import abstractmethod
from datetime import UTC, datetime
from typing import Annotated

from secagg.daemon.answers import Answer
from secagg.daemon.config import means


class Wait(Answer, frozen=True):
    """What every role's wait can do."""

    @abstractmethod
    def sentence(self, now: int) -> str:
        """Return it as one line, at wall time `now`."""


class Waiting(Wait, frozen=True, rename={"for_whom": "for"}):
    """One wait; `until` is nothing when it has no end."""

    for_whom: Annotated[str, means("For whom.")]
    what: Annotated[str, means("For what, in words.")]
    since: Annotated[int, means("Since when, in seconds since 1970.")]
    until: Annotated[int | None, means("Until when at most, in seconds since 1970; nothing when it has no end.")] = None

    def sentence(self, now: int) -> str:
        """Return it as one line, at wall time `now`."""
        return sentence(self.for_whom, self.what, self.since, self.until, now)


def sentence(whom: str, what: str, since: int, until: int | None, now: int) -> str:
    """Return a wait as one line, at wall time `now`."""
    start = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if since else "the start"
    said = f"{whom}: {what}, since {start}"
    if until is None:
        return said
    left = max(0, until - now)
    return f"{said}, {left // 60:02}:{left % 60:02} left"
