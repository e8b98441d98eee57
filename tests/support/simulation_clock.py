"""Virtual time and repeatable chance for the simulator: an event loop whose clock jumps to the next timer.

Rules: no thread, no socket, no sleeping. What is ready runs in the order it became ready. Everything that takes time
takes a time drawn from the seed, so the seed is the schedule. Chance is a Mersenne twister, one per purpose, so that
one more draw in one place does not move all others.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")


class Crash(BaseException):
    """The process of a role ends here; no `except Exception` of the product sees it."""


class Stuck(Exception):
    """Nothing is ready and no timer is set: the simulation would wait for ever."""


class Chance:
    """Draws of one purpose of one seed."""

    def __init__(self, seed: int, purpose: str) -> None:
        self.fraction: Callable[[], float] = random.Random(f"{seed}/{purpose}").random
        """Return a number in [0, 1)."""

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


class Call:
    """Something that will be done; a handle of the loop."""

    __slots__ = ("act", "args")

    def __init__(self, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.act: Callable[..., object] | None = act
        self.args = args

    def cancel(self) -> None:
        """Do it not."""
        self.act, self.args = None, ()


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop on one thread in virtual seconds.

    What asyncio's own loop does for sockets, threads, contexts and debugging took a sixth of a seed's time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._due: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._count = 0
        self._stopping = False

    get_debug = staticmethod(bool)
    """Never; asked for every future."""

    def time(self) -> float:
        """Return virtual seconds since the start."""
        return self.now

    def call_soon(self, act: Callable[..., object], *args: Any, context: object = None) -> Call:  # type: ignore[override]
        """Do something when everything before it is done."""
        call = Call(act, args)
        self._due.append(call)
        return call

    def call_later(self, delay: float, act: Callable[..., object], *args: Any, context: object = None) -> Call:  # type: ignore[override]
        """Do something after virtual seconds; at one time, in the order of asking."""
        call = Call(act, args)
        self._count += 1
        heappush(self._timers, (self.now + delay, self._count, call))
        return call

    def run_in_executor(self, executor: Any, act: Callable[..., object], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Do work beside the loop, as the executor of the simulator does it."""
        future = self.create_future()
        executor.take(future, act, args)
        return future

    def stop(self) -> None:
        """Do nothing more."""
        self._stopping = True

    def _run_once(self) -> None:
        due = self._due
        while not self._stopping:
            if not due:
                self._jump()
            call = due.popleft()
            if call.act is None:
                continue
            try:
                call.act(*call.args)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    raise
                self.call_exception_handler({"message": "an error nobody took", "exception": error})

    def _jump(self) -> None:
        """Let time pass until the next timer. Raises: Stuck when there is none."""
        while self._timers:
            self.now, _, call = heappop(self._timers)
            if call.act is not None:
                self._due.append(call)
                return
        raise Stuck("nothing is ready and no timer is set")


class Timers:
    """Timers of one life of a role: none of them rings after its end."""

    def __init__(self, loop: VirtualLoop, alive: Callable[[], bool]) -> None:
        self._loop, self._alive = loop, alive

    def later(self, seconds: float, act: Callable[[], None]) -> Call:
        """Do something later (secagg.daemon.loop.Later)."""
        return self._loop.call_later(seconds, self._ring, act)

    def _ring(self, act: Callable[[], None]) -> None:
        if self._alive():
            try:
                act()
            except Crash:
                return
