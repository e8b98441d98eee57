"""How much one peer may send, and what becomes of one that breaks the frame rules.

Rules: going over a quota drops the message and nothing else, since what matters is sent again. Three broken messages
within ten minutes, and the key is ignored for ten minutes. Time is an argument (monotonic seconds). Tables are bounded,
because strangers choose their keys freely: the oldest entry goes first.
Source: docs/transport.md "Sockets".
"""

from collections import OrderedDict
from typing import Generic, TypeVar

STRIKES = 3
IGNORED = 600.0
"""Seconds that a key is ignored after its third strike; also how long a strike is remembered."""

KEYS = 10_000
"""Entries of a table, about 1 MB."""

T = TypeVar("T")


class Bounded(OrderedDict[bytes, T], Generic[T]):
    """A dictionary by key of at most `KEYS` entries; what was set longest ago goes first."""

    def __setitem__(self, key: bytes, value: T) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > KEYS:
            self.popitem(last=False)


class Strikes:
    """Broken messages by key."""

    def __init__(self) -> None:
        self._strikes: Bounded[tuple[int, float]] = Bounded()

    def add(self, key: bytes, now: float) -> bool:
        """Count one; say whether the key is ignored from now on."""
        count, last = self._strikes.get(key, (0, now))
        count = 1 if now - last >= IGNORED else count + 1
        self._strikes[key] = (count, now)
        return count >= STRIKES

    def ignored(self, key: bytes, now: float) -> bool:
        """Say whether messages under this key are ignored at `now`."""
        count, last = self._strikes.get(key, (0, now))
        return count >= STRIKES and now - last < IGNORED


class Quota:
    """A token bucket for each key: `rate` tokens a second, at most `burst` saved up."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: Bounded[tuple[float, float]] = Bounded()

    def take(self, key: bytes, amount: float, now: float) -> bool:
        """Take `amount` tokens of a key; False, and none taken, when there are not enough."""
        saved, last = self._buckets.get(key, (self._burst, now))
        saved = min(self._burst, saved + (now - last) * self._rate)
        granted = amount <= saved
        self._buckets[key] = (saved - amount if granted else saved, now)
        return granted
