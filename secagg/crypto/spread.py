"""Work on the parts of an array or a list by several threads: the caller and those of a `concurrent.futures.Executor`.

Rules: whoever is free takes the next part that is left, so that a thread which the machine keeps waiting takes fewer.
The caller is one of them, for it has a core already, where a thread that wakes must find one. Nobody works any more
when `spread` returns or raises; a pool that is busy, even with the caller itself, is not waited for.
Leaves to others: work that gives up the interpreter's lock, without which threads gain nothing.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, wait
from typing import TypeVar

P = TypeVar("P")
T = TypeVar("T")


def spread(work: Callable[[P], T], parts: Sequence[P], executor: Executor, workers: int = 0) -> list[T]:
    """Return the work on every part, in order, by at most `workers` threads (0: as many as there are processors).

    Raises: what the work raised.
    """
    left, done = deque(enumerate(parts)), {}

    def take() -> None:
        while True:
            try:
                number, part = left.popleft()
            except IndexError:
                return
            done[number] = work(part)

    threads = min(workers or os.cpu_count() or 1, len(parts))
    others = [executor.submit(take) for _ in range(threads - 1)]
    try:
        take()
    finally:
        left.clear()
        busy = [other for other in others if not other.cancel()]
        wait(busy)
    for other in busy:
        other.result()
    return [done[number] for number in range(len(parts))]
