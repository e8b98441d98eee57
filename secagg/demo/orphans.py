"""Ends the children of a program that was killed: a process beside it that notices its death, however it died.

SIGKILL lets a program end nothing. So its children are told to this process, one number a line on its standard input.
When that closes without a `done`, whoever was told and still runs is ended, and the directory is removed. The death
signal of Linux (PR_SET_PDEATHSIG) was rejected: it comes when the *thread* that started a child ends.

Rules: a child is held by a pidfd from the moment it is told, so that a number which is used again reaches nobody else.
Without pidfds (not Linux) there is no such process. Leaves to others: an orderly end (processes.py).
Usage: python -m secagg.demo.orphans DIRECTORY
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PATIENCE = 5.0
"""Seconds that a child has to end by itself."""

DONE = "done"


class Orphanage:
    """The process beside this one; `directory` goes with the children when this one is killed."""

    def __init__(self, directory: Path) -> None:
        line = [sys.executable, "-m", "secagg.demo.orphans", str(directory)]
        # A session of its own: the signals that end this program do not reach it.
        self._process = (
            subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True, text=True)  # noqa: S603 - our own
            if hasattr(os, "pidfd_open") else None
        )  # fmt: skip

    def tell(self, child: int) -> None:
        """Tell of a child that was started."""
        self._say(str(child))

    def close(self) -> None:
        """End it: every child is ended already."""
        self._say(DONE)
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()

    def _say(self, word: str) -> None:
        # Whoever kills it takes this safety away, and nothing else.
        with suppress(BrokenPipeError, ValueError):
            if self._process and self._process.stdin:
                self._process.stdin.write(f"{word}\n")
                self._process.stdin.flush()


def watch(told: Iterable[str], directory: Path) -> None:
    """Take children until they are all told; end them unless the last word was that all is done."""
    held: list[int] = []
    for line in told:
        if line.strip() == DONE:
            return
        with suppress(ProcessLookupError):
            held.append(os.pidfd_open(int(line)))
        for ended in _ended(held, 0.0):
            held.remove(ended)
            os.close(ended)
    _end(held, signal.SIGTERM, PATIENCE)
    _end(held, signal.SIGKILL, PATIENCE)
    shutil.rmtree(directory, ignore_errors=True)


def _ended(held: list[int], seconds: float) -> list[int]:
    poll = select.poll()
    for child in held:
        poll.register(child, select.POLLIN)
    return [child for child, _ in poll.poll(int(1000 * seconds))]


def _end(held: list[int], number: signal.Signals, patience: float) -> None:
    """Send a signal to everybody, the last one first, and give them time."""
    for child in reversed(held):
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(child, number)
    until = time.monotonic() + patience
    while held and time.monotonic() < until:
        for ended in _ended(held, until - time.monotonic()):
            held.remove(ended)


if __name__ == "__main__":
    watch(sys.stdin, Path(sys.argv[1]))
