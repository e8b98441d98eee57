"""Children of a demonstration: every role as a process of its own, and none of them left behind.

Rules: a child is started in a session of its own, so that Ctrl-C reaches this program alone, which then ends its
children in order. Whatever happens, leaving the block ends them all, and a process beside this one does so when this
one is killed (orphans.py). No signal comes between starting a child and knowing it, nor between ending and being done.
What a child says goes to a file of its own.
Leaves to others: which processes there are (founding.py). The roles are started by command, never imported.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from secagg.demo.orphans import Orphanage
from secagg.errors import PeerUnavailable, SecaggError, TryLater

SECAGG = (sys.executable, "-m", "secagg.cli")
READY = 30.0
"""Seconds that a child has to say that it is ready."""

PATIENCE = 5.0
"""Seconds that a child has to end by itself."""

_PAUSE = 0.02

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Child = subprocess.Popen[bytes]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back the signals that end a program until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {number: signal.signal(number, lambda found, _: held.append(found)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in held[:1]:
            signal.raise_signal(late)


class Processes:
    """Children by name; a context manager that ends them. `environment` holds what some of them are given besides."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._orphanage: Orphanage | None = None
        directory.mkdir(mode=0o700, exist_ok=True)
        # What a child that is ended leaves unfinished goes with everything else.
        self._scratch = directory / "scratch"
        self._scratch.mkdir(mode=0o700, exist_ok=True)
        self.environment: dict[str, dict[str, str]] = {}
        self._children: dict[str, Child] = {}
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def log(self, name: str) -> Path:
        """Return the file that holds what a child said."""
        return self._directory / f"{name}.log"

    def start(self, name: str, *arguments: str, given: str = "", command: tuple[str, ...] = SECAGG) -> Child:
        """Start a child; `given` is its standard input. Raises: TryLater when all children were ended."""
        with self.log(name).open("ab") as said:
            child = self._spawn(name, [*command, *arguments], said, subprocess.STDOUT)
        if child.stdin:
            child.stdin.write(given.encode())
            child.stdin.close()
        return child

    def run(self, name: str, *arguments: str, command: tuple[str, ...] = SECAGG) -> str:
        """Run a child to its end and return what it printed. Raises: SecaggError with its words when it failed."""
        child = self._spawn(name, [*command, *arguments], subprocess.PIPE, subprocess.PIPE)
        printed, told = child.communicate()
        if child.returncode:
            line = " ".join(arguments[:2])
            words = told.decode(errors="replace").strip()
            raise SecaggError(f"`{line}` ended with {child.returncode}: {words}", "See what it says there.")
        return printed.decode()

    def _spawn(self, name: str, line: list[str], out: IO[bytes] | int, err: int) -> Child:
        own = {"OMP_NUM_THREADS": "1", "TMPDIR": str(self._scratch)} | self.environment.get(name, {})
        with undisturbed(), self._lock:
            if self._ended:
                raise TryLater(f"{name} is not started: everything is being ended.", "Start again.")
            self._children[name] = subprocess.Popen(  # noqa: S603 - our own command and paths
                line, stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True,
                env=os.environ | own,
            )  # fmt: skip
            self._orphanage = self._orphanage or Orphanage(self._directory.parent)
            self._orphanage.tell(self._children[name].pid)
            return self._children[name]

    def serve(self, name: str, *arguments: str, command: tuple[str, ...] = SECAGG) -> Child:
        """Start a daemon and wait until it says that it is ready.

        Raises: SecaggError with what it said last when it ends instead.
        """
        known = self.log(name).stat().st_size if self.log(name).exists() else 0
        child = self.start(name, *arguments, command=command)
        self.await_line(name, b"ready ", known)
        return child

    def await_line(self, name: str, beginning: bytes, known: int = 0) -> None:
        """Wait until a child has written a line that begins so, after its first `known` bytes."""
        end = time.monotonic() + READY
        while not any(line.startswith(beginning) for line in self.log(name).read_bytes()[known:].splitlines()):
            if self._children[name].poll() is not None:
                raise self.failure(name)
            if time.monotonic() > end:
                raise PeerUnavailable(f"{name} is not ready after {READY:.0f} s.", "This machine may be overloaded.")
            time.sleep(_PAUSE)

    def finish(self, name: str) -> None:
        """Wait until a child that is no daemon ends. Raises: SecaggError when it failed."""
        if self._children[name].wait(READY):
            raise self.failure(name)

    def kill(self, name: str) -> None:
        """Kill a child as a power cut would."""
        self._children[name].kill()
        self._children[name].wait()

    def stop(self, name: str) -> None:
        """End a child, if it still runs, as a service manager does."""
        child = self._children[name]
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill(name)

    def pid(self, name: str) -> int:
        """Return the process id of a child."""
        return self._children[name].pid

    def killed(self, name: str) -> bool:
        """Say whether a child died by SIGKILL."""
        return self._children[name].poll() == -signal.SIGKILL

    def alive(self, name: str) -> bool:
        """Say whether a child runs."""
        return name in self._children and self._children[name].poll() is None

    def code(self, name: str) -> int | None:
        """Return the exit code of a child, None while it runs."""
        return self._children[name].poll()

    def failure(self, name: str) -> SecaggError:
        """Return what a child that failed said last, as an error of this program."""
        said = self.log(name).read_text(errors="replace").strip().splitlines()
        return SecaggError(f"{name} ended with code {self.code(name)}: {' '.join(said[-2:])}", "See its log.")

    def end(self) -> None:
        """End all children, the last one started first; none can be started afterwards."""
        with undisturbed(), self._lock:
            self._ended = True
            self._end()
            if self._orphanage:
                self._orphanage.close()

    def _end(self) -> None:
        running = [child for child in reversed(self._children.values()) if child.poll() is None]
        for child in running:
            child.terminate()
        end = time.monotonic() + PATIENCE
        for child in running:
            try:
                child.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
