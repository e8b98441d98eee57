"""One socket of a role, kept alive: watched, greeted, rebuilt.

A handshake that succeeded is followed by `hello`. A `welcome` to exactly this one says that the broker knows where to
reach us: without it nothing that others send arrives. One that was refused is never tried again by libzmq, while `send`
goes on succeeding. The socket is thrown away and built anew after a pause that doubles up to 16 s, because an approval
may come later. One that met a byte out of place is given up by libzmq for good and in silence. A socket that is not
connected and says nothing for six seconds is built anew too. Every other loss is left to libzmq's own reconnection.

Rules: the monitor is always watched; whoever waits for the socket is told within `patience` seconds. Leaves to others:
choosing the socket, queueing what arrives (zmq_link.py). Source: docs/transport.md "Security traps of ZeroMQ" 2 and 3.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from secagg.crypto.secret import Secret
from secagg.errors import PeerUnavailable, WireError
from secagg.transport.curve import PATIENCE, open_client
from secagg.transport.link import (
    BROKER,
    CLOSED,
    CONNECTED,
    CONNECTING,
    HELLO,
    OTHER,
    OTHER_WIRE,
    REFUSED,
    WELCOME,
    Received,
)
from secagg.transport.routing import read_stamped, write_routing

GREET = 2.0
"""Seconds until `hello` is said again that nobody answered."""

PAUSES = (0.5, 16.0)
"""Seconds between two sockets while we are refused: the first pause and the longest."""

QUIET = 6.0
"""Seconds without a word of libzmq about a connection that is not there: longer than a handshake may take."""

_GIVEN_UP = 0
"""No event of libzmq."""

_REFUSALS = {"refused": REFUSED, OTHER: OTHER_WIRE}
"""The broker's words after which a socket is of no use."""

_UNEXPLAINED = (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


class Channel:
    """One DEALER socket to one door of the broker; `run` keeps it until it is cancelled."""

    def __init__(
        self,
        context: zmq.asyncio.Context,
        door: str,
        address: str,
        broker_key: bytes,
        secret: Secret,
        deliver: Callable[[Received], Awaitable[None]],
    ) -> None:
        self.state = f"{CONNECTING} to {address}"
        self._context, self._door, self._address = context, door, address
        self._broker_key, self._secret, self._deliver = broker_key, secret, deliver
        self._socket: zmq.asyncio.Socket | None = None
        self._settled = asyncio.Event()  # connected or refused: a sender need not wait
        self._shaken = asyncio.Event()
        self._greet_now = asyncio.Event()
        self._patient_until: float | None = None
        self._handshakes = 0

    async def run(self) -> None:
        """Connect, and again whenever the broker refuses us."""
        pause = PAUSES[0]
        while True:
            with suppress(zmq.ZMQError):
                if await self._live():
                    pause = PAUSES[0]
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSES[1])

    def close(self) -> None:
        """Tell whoever waits to send that it is over; `run` is cancelled by its owner."""
        self._settle(CLOSED)

    async def send(self, frames: list[bytes]) -> None:
        """Hand a message to libzmq. Raises: PeerUnavailable after at most twice `PATIENCE`."""
        await self._wait_until_settled()
        socket = self._socket
        if self.state != CONNECTED or socket is None:
            raise self._unavailable()
        try:
            await socket.send_multipart(frames, copy=False)
        except zmq.ZMQError:
            raise self._unavailable() from None
        except asyncio.CancelledError:
            # A socket that closes cancels who waits for it; that is no cancellation of this task.
            if socket.closed:
                raise self._unavailable() from None
            raise

    async def _wait_until_settled(self) -> None:
        """Give a connection that was lost a moment ago time to come back, once, not with each message."""
        now = asyncio.get_running_loop().time()
        if self._patient_until is None:
            self._patient_until = now + PATIENCE / 1000
        if not self._settled.is_set() and now < self._patient_until:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patient_until - now):
                    await self._settled.wait()

    def _unavailable(self) -> PeerUnavailable:
        return PeerUnavailable(
            f"The broker takes nothing from us: {self.state}.", "Check that it runs, and that this party is enrolled."
        )

    async def _live(self) -> bool:
        """Use one socket until we are refused; say whether it was ever connected."""
        socket = open_client(self._context, self._door, self._secret, self._broker_key)
        monitor = socket.get_monitor_socket()
        self._socket = socket
        socket.connect(self._address)
        works = [asyncio.create_task(work) for work in (self._read(socket), self._watch(monitor), self._greet(socket))]
        try:
            done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            return any([task.result() for task in done])
        finally:
            self._socket = None
            for task in works:
                task.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            socket.disable_monitor()
            monitor.close(linger=0)
            socket.close(linger=0)

    async def _watch(self, monitor: zmq.asyncio.Socket) -> bool:
        """Follow the connection; return when the broker refused the handshake, or libzmq has given it up."""
        connected = False
        while True:
            event = await self._said(monitor)
            if event == _GIVEN_UP:
                return connected
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                connected = True
                # Whatever we were told before: the broker of this handshake does not know us yet.
                self._lose(f"{CONNECTING} to {self._address}")
                self._handshakes += 1
                self._shaken.set()
                self._greet_now.set()
                if self._door == "enrol":
                    self._settle(CONNECTED)
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._settle(REFUSED)
                return connected
            elif event == zmq.EVENT_DISCONNECTED and self._shaken.is_set():
                self._lose(f"{CONNECTING} to {self._address}")
            elif event in _UNEXPLAINED:
                self._lose(f"{CONNECTING}: the broker at {self._address} does not hold the expected key")

    async def _said(self, monitor: zmq.asyncio.Socket) -> int:
        """Return what libzmq says next, `_GIVEN_UP` when it has stopped to try."""
        while True:
            # Not `wait_for`: it swallows a cancellation that comes together with an event.
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET):
                    return int(parse_monitor_message(await monitor.recv_multipart())["event"])
            if self.state != CONNECTED:
                return _GIVEN_UP

    async def _read(self, socket: zmq.asyncio.Socket) -> bool:
        """Pass on what arrives; return when the broker says that it does not know us any more."""
        while True:
            frames = await socket.recv_multipart()
            try:
                stamped = read_stamped(frames)
            except WireError:
                continue
            if stamped.sender == BROKER and stamped.kind == WELCOME:
                # One that a broker sent before it died may be read when there is another already.
                if stamped.id == self._greeting():
                    self._settle(CONNECTED)
            elif stamped.sender == BROKER and stamped.kind in _REFUSALS:
                self._settle(_REFUSALS[stamped.kind])
                return False
            else:
                await self._deliver(
                    Received(stamped.sender, stamped.kind, stamped.id, frames[1], frames[2], stamped.curve_key)
                )

    async def _greet(self, socket: zmq.asyncio.Socket) -> bool:
        """Say hello after every handshake, until it is answered; a guest need not."""
        while self._door != "enrol":
            await self._shaken.wait()
            if self.state != CONNECTED:
                with suppress(zmq.Again):
                    await socket.send_multipart([write_routing(BROKER, HELLO, self._greeting()), b"", b""])
            with suppress(TimeoutError):
                async with asyncio.timeout(GREET):
                    await self._greet_now.wait()
            self._greet_now.clear()
        await asyncio.Event().wait()
        return False

    def _greeting(self) -> bytes:
        """Return the id of `hello` and `welcome` under the last handshake."""
        return self._handshakes.to_bytes(16, "big")

    def _settle(self, state: str) -> None:
        self.state = state
        self._settled.set()
        self._patient_until = None
        if state != CONNECTED:
            self._shaken.clear()

    def _lose(self, state: str) -> None:
        self.state = state
        self._settled.clear()
        self._shaken.clear()
