"""What leaves a daemon: control and bulk in a line of their own each, so that an upload holds up no decision.

Rules: a durable message is read from the journal when its turn comes, so that one that is acknowledged or withdrawn
meanwhile does not leave. What cannot be handed over is not kept here: the outbox brings durable messages again, and
single ones are their owner's to repeat. Nor is what a peer asks for faster than the line carries it away. A question
has a hundred bytes, its answer half a million, and only single messages lie in memory. That a peer cannot be reached
is said once, and when it can again.
Leaves to others: when a message is due (secagg.daemon.outbox), sockets (the link). Source: docs/transport.md "Sockets".
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

from secagg.daemon.journal import Journal, Outgoing
from secagg.daemon.outbox import Outbox
from secagg.daemon.turn import Emit
from secagg.errors import BadInput, PeerUnavailable, ProtocolViolation, SecaggError, TryLater
from secagg.events.line import Logger, write
from secagg.events.lines import ReachPeer, WaitForPeer
from secagg.transport.link import Link, is_bulk

ROOM = 2**25
"""Bytes of single messages to one peer that wait in a line: four times the eight chunks that an upload has on its way.
"""

EACH = 512
"""Bytes that a message costs beside its own, so that empty ones fill the room too."""

Failed = Callable[..., None]
"""How an error is told: the error, and `peer` and `kind`."""


class Sender:
    """The messages on their way out; `run` hands them over until it is cancelled."""

    def __init__(
        self, link: Link, journal: Journal, outbox: Outbox, log: Logger, failed: Failed, wall: Callable[[], int]
    ) -> None:
        self.unreached: dict[str, int] = {}
        self.bytes = 0
        self._link, self._journal, self._outbox = link, journal, outbox
        self._log, self._failed, self._wall = log, failed, wall
        self._lines = (_Line(), _Line())
        self._waiting: set[bytes] = set()

    def put(self, item: Emit | bytes) -> None:
        """Send a single message, or the message of the outbox with this id."""
        kind, size = self._shape(item)
        self._lines[is_bulk(kind, size)].put(item)

    def put_ids(self, ids: list[bytes]) -> None:
        """Send these messages of the outbox, each of which waits here once."""
        for id in ids:
            if id not in self._waiting:
                self._waiting.add(id)
                self.put(id)

    async def run(self) -> None:
        """Hand over what is put here."""
        tasks = [asyncio.create_task(self._hand_out(line)) for line in self._lines]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _shape(self, item: Emit | bytes) -> tuple[str, int]:
        message = self._read_out(item)
        return (message.kind, len(message.header) + len(message.body)) if message else ("", 0)

    async def _hand_out(self, line: "_Line") -> None:
        while True:
            item = await line.get()
            if isinstance(item, bytes):
                self._waiting.discard(item)
            message = self._read_out(item)
            if message:
                await self._hand_over(message)

    def _read_out(self, item: Emit | bytes) -> Outgoing | Emit | None:
        try:
            return self._journal.outgoing(item) if isinstance(item, bytes) else item
        except TryLater as error:
            self._failed(error)
            return None

    async def _hand_over(self, message: Outgoing | Emit) -> None:
        to, kind = message.to, message.kind
        try:
            await self._link.send(to, kind, message.header, message.body, id=message.id)
        except PeerUnavailable as error:
            if to not in self.unreached:
                self.unreached[to] = self._wall()
                write(self._log, WaitForPeer(to, kind, self.unreached[to], error.cause))
        except (BadInput, ProtocolViolation) as error:
            # The link will never take this message: keeping it would hold up everything behind it.
            self._failed(error, peer=to, kind=kind)
            if isinstance(message, Outgoing):
                with suppress(TryLater):
                    self._journal.acknowledge(message.id, to)
                self.put_ids(self._outbox.remove(message.id))
        except SecaggError as error:
            self._failed(error, peer=to, kind=kind)
        else:
            self.bytes += len(message.header) + len(message.body)
            if to in self.unreached:
                write(self._log, ReachPeer(to, self.unreached.pop(to)))


class _Line:
    """Items in order; `get` waits for one, and one task at a time calls it."""

    def __init__(self) -> None:
        self._items: deque[Emit | bytes] = deque()
        self._there: asyncio.Future[None] | None = None
        self._sizes: Counter[str] = Counter()

    def put(self, item: Emit | bytes) -> None:
        """Take an item; a single message to a peer whose room is full is dropped, as on its way it may be."""
        if isinstance(item, Emit):
            if self._sizes[item.to] + _cost(item) > ROOM:
                return
            self._sizes[item.to] += _cost(item)
        self._items.append(item)
        if self._there and not self._there.done():
            self._there.set_result(None)

    async def get(self) -> Emit | bytes:
        while not self._items:
            self._there = asyncio.get_running_loop().create_future()
            await self._there
        item = self._items.popleft()
        if isinstance(item, Emit):
            self._sizes[item.to] -= _cost(item)
            if not self._sizes[item.to]:
                del self._sizes[item.to]
        return item


def _cost(item: Emit) -> int:
    return len(item.header) + len(item.body) + EACH
