"""Virtual time and repeatable chance for the simulator: an event loop whose clock jumps to the next timer.

Rules: no thread, no socket, no sleeping; what is ready runs in the order it became ready, and everything that takes
time takes a time drawn from the seed, so the seed is the schedule. Chance is SHA-256 in counter mode, one stream per
purpose, so that one more draw in one place does not move all others.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from secagg.crypto import sign
from secagg.crypto.derive import sha256

T = TypeVar("T")


class Crash(BaseException):
    """The process of a role ends here; no `except Exception` of the product sees it."""


class Stuck(Exception):
    """Nothing is ready and no timer is set: the simulation would wait for ever."""


class Chance:
    """Draws of one purpose of one seed."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._seed = f"{seed}/{purpose}/".encode()
        self._count = 0

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        drawn = sha256(self._seed + self._count.to_bytes(8, "big"))
        self._count += 1
        return int.from_bytes(drawn[:6], "big") / 2**48

    def below(self, limit: int) -> int:
        """Return a whole number in [0, limit)."""
        return int(self.fraction() * limit)

    def between(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.fraction()

    def happens(self, probability: float) -> bool:
        """Say whether something of this probability happens; what never does, draws nothing."""
        return probability > 0 and self.fraction() < probability

    def choose(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.below(len(options))]


class _NoSelector:
    """Stands where the loop would wait for sockets: jumps to the next timer instead."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        self._loop.now += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop on one thread in virtual seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector = _NoSelector(self)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Return virtual seconds since the start."""
        return self.now

    def _process_events(self, events: list[Any]) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody wakes this loop from another thread."""


class Timers:
    """Timers of one life of a role: none of them rings after its end."""

    def __init__(self, loop: VirtualLoop, alive: Callable[[], bool]) -> None:
        self._loop, self._alive = loop, alive

    def later(self, seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something later (secagg.daemon.loop.Later)."""
        return self._loop.call_later(seconds, self._ring, act)

    def _ring(self, act: Callable[[], None]) -> None:
        if self._alive():
            try:
                act()
            except Crash:
                return


class _Remembered:
    """Ed25519 public keys that do not compute again what they have verified: the same bytes, the same key."""

    def __init__(self) -> None:
        self._good: set[tuple[bytes, bytes, bytes]] = set()
        self._keys: dict[bytes, Ed25519PublicKey] = {}
        self._public = b""

    def from_public_bytes(self, public: bytes) -> "_Remembered":
        """Take up a key; it is used at once, so one place for it is enough."""
        if public not in self._keys:
            self._keys[public] = Ed25519PublicKey.from_public_bytes(public)
        self._public = public
        return self

    def verify(self, signature: bytes, data: bytes) -> None:
        """Verify with the real class, once."""
        claim = (self._public, signature, data)
        if claim not in self._good:
            self._keys[self._public].verify(signature, data)
            self._good.add(claim)


@contextmanager
def remembered() -> Iterator[None]:
    """Verify every signature once: all roles are in one process here, and look at the same ones (a fifth of the time).

    What fails is computed each time. The check itself is the real one; only its repetition is saved.
    """
    vars(sign)["Ed25519PublicKey"] = _Remembered()
    try:
        yield
    finally:
        vars(sign)["Ed25519PublicKey"] = Ed25519PublicKey
