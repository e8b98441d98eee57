"""Messages without an end: a connection on which bytes arrive and no message comes out is cut.

libzmq gathers the frames of a message until the last one is there. MAXMSGSIZE bounds one frame and the high-water mark
counts whole messages. So whoever got through a handshake, at the door for enrolment anybody, could fill the memory of
the broker. The kernel knows how much a connection has received (TCP_INFO): what came since the last message is at most
what is held back. A message is complete or it blocks its connection, so nothing that is honest grows like this.

Rules: `HELD` bytes for one connection, `BUILDING` for all of one door that have said nothing for a while, where the
largest goes first. Looked at `LOOK` seconds apart, so that a fast peer gets so much further. Heartbeats of a connection
that is idle for months are allowed for. Where the kernel does not tell (not Linux), nothing is cut, and the limit of
memory is all there is.
Leaves to others: which connections there are (broker.py), the limit of memory (secagg.daemon.broker).
"""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from secagg.events.line import Logger, write
from secagg.events.lines import CutOff

HELD = 2**25
"""Bytes of one connection: four times what waits honestly in its queue (8 x 1 MiB), and the kernel's own buffer."""

BUILDING = 2**28
"""Bytes of all connections of one door."""

SILENT = 2.0
"""Seconds without a message until a connection counts for `BUILDING`: a busy broker takes so long to come to each."""

LOOK = 0.25
"""Seconds between two looks."""

ALIVE = 64.0
"""Bytes a second that are no message: heartbeats, every two seconds."""

_TCP_INFO = 11
_RECEIVED = struct.Struct("=128xQ")
"""Where `struct tcp_info` has tcpi_bytes_received, since Linux 4.1."""


def received(descriptor: int) -> int | None:
    """Return how many bytes a TCP connection of this process has received; None when nobody can tell."""
    try:
        with _lent(descriptor) as connection:
            told = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _RECEIVED.size)
    except OSError:
        return None
    return int(_RECEIVED.unpack(told)[0]) if len(told) == _RECEIVED.size else None


def cut(descriptor: int) -> None:
    """Shut a connection; libzmq drops what it gathered of it, and closes it."""
    with suppress(OSError), _lent(descriptor) as connection:
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def _lent(descriptor: int) -> Iterator[socket.socket]:
    """Look at a descriptor of libzmq's, which stays its own. Raises: OSError when it is no socket any more."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()


class Unended:
    """The connections of one broker, by descriptor; `now` is monotonic seconds."""

    def __init__(
        self, now: Callable[[], float], log: Logger, *, count: Callable[[int], int | None] = received,
        cut: Callable[[int], None] = cut,
    ) -> None:  # fmt: skip
        self._now, self._log, self._count, self._cut = now, log, count, cut
        self._begun: dict[int, tuple[int, float]] = {}
        self._spoke: set[int] = set()

    def accept(self, descriptor: int) -> None:
        """Take note of a new connection."""
        self._begun[descriptor] = (0, self._now())

    def heard(self, descriptor: int) -> None:
        """Take note of a message that is complete."""
        self._spoke.add(descriptor)

    def forget(self, descriptor: int) -> None:
        """Let go of a connection that ended."""
        self._begun.pop(descriptor, None)
        self._spoke.discard(descriptor)

    def look(self) -> int:
        """Cut what holds too much back; return how many were cut."""
        held: dict[int, int] = {}
        silent, now = 0, self._now()
        for descriptor, (before, since) in list(self._begun.items()):
            total = self._count(descriptor)
            if total is None:
                continue
            if descriptor in self._spoke or total < before:
                self._begun[descriptor] = (total, now)
            else:
                held[descriptor] = max(0, total - before - int(ALIVE * (now - since)))
                silent += held[descriptor] if now - since >= SILENT else 0
        self._spoke.clear()
        return self._cut_largest(held, silent)

    def _cut_largest(self, held: dict[int, int], silent: int) -> int:
        done = 0
        for descriptor, size in sorted(held.items(), key=lambda found: -found[1]):
            if size <= HELD and silent <= BUILDING:
                break
            self._cut(descriptor)
            self.forget(descriptor)
            write(self._log, CutOff(size, HELD, "a message without an end"))
            silent, done = silent - size, done + 1
        return done
