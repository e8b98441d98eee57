"""The two clocks of a daemon: wall time for signed statements, monotonic time for everything that waits.

Rule: this is the only file that reads wall time. Everybody else takes a time, or this function, as an argument, so a
clock that jumps moves no deadline. Source: docs/transport.md "Crash rules".
"""

import time
from collections.abc import Callable
from typing import Protocol


def wall() -> int:
    """Return wall time in whole seconds since 1970, UTC."""
    return int(time.time())


def monotonic() -> float:
    """Return seconds of a clock that never jumps; only differences mean anything."""
    return time.monotonic()


class Handle(Protocol):
    """A timer that can be dropped."""

    def cancel(self) -> None:
        """Drop it."""


Later = Callable[[float, Callable[[], None]], Handle]
"""How timers are set: seconds and what to do; a virtual clock in tests."""
