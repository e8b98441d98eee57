"""Workers that a test holds, and how often they read a blob: what is asked for many times, and done once."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from secagg.daemon.blobs import Blobs
from support.aggregating import Inline


class Held(Inline):
    """Workers that begin nothing while they are held."""

    def __init__(self) -> None:
        super().__init__(1)
        self.holds = False
        self.waiting: list[Callable[[], None]] = []

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not self.holds:
            return super().submit(work, *args, **kwargs)
        future: Future[Any] = Future()
        self.waiting.append(lambda: future.set_result(work(*args, **kwargs)))
        return future

    def beside(self) -> None:
        """Do the next thing that waits, as another worker does while one is at work."""
        if self.waiting:
            self.waiting.pop(0)()

    def release(self) -> None:
        """Do everything that waits."""
        self.holds = False
        while self.waiting:
            self.beside()


class Read(Blobs):
    """Blobs, with how often each was read as a whole."""

    times: Counter[bytes]
    workers: Held

    def read(self, name: bytes) -> bytes:
        self.times[name] += 1
        if self.times[name] == 1:
            self.workers.beside()
        return super().read(name)
