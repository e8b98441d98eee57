"""A role's link over ZeroMQ: a control and a bulk socket to the broker, or one enrolment socket for a guest.

Rules: everybody dials out. Both sockets have their own queue, so that an upload holds up no decision. What arrives
waits in one bounded queue, and a role that does not read makes the broker keep its messages, then drop them.
Leaves to others: keeping a socket alive (channel.py), durability (secagg.daemon.outbox).
Source: docs/transport.md "Sockets".
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import zmq.asyncio

from secagg.crypto.secret import Secret
from secagg.errors import PeerUnavailable
from secagg.transport.channel import Channel
from secagg.transport.curve import Addresses
from secagg.transport.link import CONNECTED, OTHER_WIRE, REFUSED, Received, check_size, is_bulk
from secagg.transport.routing import write_routing

INBOX = 64
"""Messages read ahead of the role: at most 64 MiB."""


class ZmqLink:
    """The link of an enrolled party: messages above 32 KiB and chunks go over bulk, the rest over control."""

    doors: Sequence[str] = ("control", "bulk")

    def __init__(self, addresses: Addresses, broker_key: bytes, secret: Secret) -> None:
        self._context = zmq.asyncio.Context(io_threads=2)
        self._inbox: asyncio.Queue[Received | Exception] = asyncio.Queue(INBOX)
        self._channels = {
            door: Channel(self._context, door, addresses.of(door), broker_key, secret, self._inbox.put)
            for door in self.doors
        }
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def state(self) -> str:
        """Return `connected`, `connecting …` or `refused: …`, the worse of the two sockets."""
        states = {channel.state for channel in self._channels.values()}
        for refusal in (REFUSED, OTHER_WIRE):
            if refusal in states:
                return refusal
        return min(states - {CONNECTED}, default=CONNECTED)

    async def send(self, to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
        """Hand one message to the broker. Raises: BadInput, PeerUnavailable (see `Link.send`)."""
        check_size(header, body, guest=len(self._channels) == 1)
        routing = write_routing(to, kind, id)
        self._start()
        await self._channels[self._door(kind, len(header) + len(body))].send([routing, header, body])

    async def receive(self) -> Received:
        """Wait for the next message. Raises: PeerUnavailable once the link is closed."""
        self._start()
        item = await self._inbox.get()
        if isinstance(item, Exception):
            raise item
        return item

    def at_hand(self) -> Received | None:
        """Return the next message if it is here already; an error is left to `receive`."""
        with suppress(asyncio.QueueEmpty):
            item = self._inbox.get_nowait()
            if not isinstance(item, Exception):
                return item
            self._inbox.put_nowait(item)
        return None

    async def close(self) -> None:
        """Close the sockets; what libzmq still holds is dropped, because the outbox sends it again."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels.values():
            channel.close()
        with suppress(asyncio.QueueEmpty):
            while True:
                self._inbox.get_nowait()
        self._inbox.put_nowait(_closed())
        self._context.destroy(linger=0)

    def _door(self, kind: str, size: int) -> str:
        return "bulk" if is_bulk(kind, size) else "control"

    def _start(self) -> None:
        """Dial on first use: the constructor needs no running loop."""
        if self._closed:
            raise _closed()
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._run(channel)) for channel in self._channels.values()]

    async def _run(self, channel: Channel) -> None:
        try:
            await channel.run()
        except Exception as error:
            await self._inbox.put(error)


class GuestLink(ZmqLink):
    """The link of somebody who is not enrolled: `enrol` messages to the key server, and its replies."""

    doors = ("enrol",)

    def _door(self, kind: str, size: int) -> str:
        return "enrol"


def _closed() -> PeerUnavailable:
    return PeerUnavailable("The link is closed.", "Open a new one.")
