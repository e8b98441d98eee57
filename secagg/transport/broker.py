"""The broker: three sockets that everybody dials, and a loop that moves frames between them.

Rules: it holds no secret but its own key, and reads no header and no body but a newcomer's request. It promises nothing
(acknowledgements are end to end). The key of a connection (`User-Id`) is looked up again with every message. A key that
does not read gets its own bounded waiting room (waiting.py), whatever connections it has. One that sends a message
without an end is cut off (unended.py). The broker serves only after the fixed options were read back and a random key
was refused.
Leaves to others: every decision (relay.py), who is known (directory.py, zap.py), restarting after a crash (supervisor).
Source: docs/transport.md "Sockets" and "Security traps of ZeroMQ".
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.errors import BadConfiguration
from secagg.events.line import Logger, write
from secagg.events.lines import AcceptFailed
from secagg.transport.curve import (
    DOORS,
    Addresses,
    check_mandatory,
    check_refusal,
    domain,
    open_server,
    public_key,
)
from secagg.transport.directory import Directory
from secagg.transport.quotas import Bounded
from secagg.transport.relay import Post, Relay
from secagg.transport.unended import LOOK, Unended
from secagg.transport.waiting import WaitingRooms
from secagg.transport.zap import Zap

_WATCHED: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "refused",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "broken_handshake",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "broken_handshake",
    zmq.EVENT_DISCONNECTED: "disconnected",
    zmq.EVENT_ACCEPT_FAILED: "accept_failed",
}
"""Counted; `accept_failed` means that the file descriptors ran out, and is logged."""

IN_A_ROW = 16
"""Messages from one door before the others have their turn: less than a millisecond of the loop's time."""


class Broker:
    """One broker of one federation; `open`, then `serve` until `stop`."""

    def __init__(
        self,
        bind: Addresses,
        secret: Secret,
        keyserver_key: bytes,
        root_fingerprint: str,
        federation: str,
        *,
        wall: Callable[[], int],
        monotonic: Callable[[], float],
        rng: Rng,
        log: Logger,
        state_dir: Path | None = None,
        holding: Callable[[str], None] = lambda door: None,
    ) -> None:
        self._bind, self._secret, self._rng, self._log = bind, secret, rng, log
        self._directory = Directory(federation, root_fingerprint, keyserver_key, wall, state_dir)
        self._directory.load()
        self._relay = Relay(self._directory, monotonic, log)
        self._holding = holding
        self._context = zmq.asyncio.Context(io_threads=2)
        self._sockets: dict[str, zmq.asyncio.Socket] = {}
        self._monitors: dict[str, zmq.asyncio.Socket] = {}
        self._routes: dict[str, Bounded[bytes]] = {door: Bounded() for door in DOORS}
        self._rooms = WaitingRooms(self._pass_on, self.counts)
        self._unended = {door: Unended(monotonic, log) for door in DOORS}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    @property
    def counts(self) -> Counter[str]:
        """Return what was received, relayed, dropped (by reason) and refused since the start."""
        return self._relay.counts

    @property
    def waiting(self) -> int:
        """Return the bytes that wait for peers that do not read."""
        return self._rooms.size

    @property
    def connected(self) -> list[str]:
        """Return the names of the members that spoke on the control socket and were not found gone since."""
        names = (self._directory.name_of(key) for key in self._routes["control"])
        return sorted(name for name in names if name)

    @property
    def sockets(self) -> dict[str, zmq.asyncio.Socket]:
        """Return the sockets by door, for reading their options back."""
        return self._sockets

    @property
    def roster_version(self) -> int:
        """Return the version of the roster in force, 0 before the first."""
        return self._directory.version

    async def open(self) -> Addresses:
        """Bind, answer handshakes, try the doors; return the addresses that were bound.

        Raises: BadConfiguration when a port is taken, an option did not take, or a stranger was let in.
        """
        try:
            return await self._open()
        except BaseException:
            await self._close()
            raise

    async def serve(self) -> None:
        """Relay until `stop`; the sockets are closed when it returns.

        Raises: what ended one of its loops, so that the supervisor starts it again.
        """
        for door in DOORS:
            self._spawn(self._relay_from(door))
            self._spawn(self._watch(door))
        self._spawn(self._cut_endless())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([stop, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            stop.cancel()
            await self._close()

    def stop(self) -> None:
        """End `serve`; may be called from a signal handler of the loop."""
        self._stopping.set()

    async def _open(self) -> Addresses:
        doors = {domain(door): self._relay.knows for door in DOORS} | {domain("enrol"): lambda key: True}
        self._spawn(Zap(self._context, doors).run())
        for door in DOORS:
            socket = self._sockets[door] = open_server(self._context, door, self._secret)
            self._monitors[door] = socket.get_monitor_socket()
            await check_mandatory(socket)
            _bind(socket, self._bind.of(door), door)
        bound = Addresses(*(_bound(self._sockets[door], self._bind.of(door)) for door in DOORS))
        for door in ("control", "bulk"):
            here = bound.of(door).replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]")
            await check_refusal(self._context, door, here, public_key(self._secret), self._rng)
        return bound

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._rooms.close()
        for socket in self._sockets.values():
            socket.disable_monitor()
        # The context closes the monitors too: one left open would make it wait for ever.
        self._context.destroy(linger=0)

    async def _relay_from(self, door: str) -> None:
        socket = self._sockets[door]
        # The same socket without futures: what is there already is taken at a third of the cost.
        there: zmq.Socket[bytes] = zmq.Socket.shadow(socket.underlying)
        while True:
            first = await socket.recv_multipart(copy=False)
            for route, *frames in chain([first], _waiting_in(there)):
                if frames:
                    await self._take(door, route.bytes, frames)
            # A door with a full queue never waits: let the others, and handshakes, have their turn.
            await asyncio.sleep(0)

    async def _take(self, door: str, route: bytes, frames: list[zmq.Frame]) -> None:
        key = _user(frames[0])
        self._unended[door].heard(int(frames[0].get(zmq.SRCFD)))
        seen = [frame.buffer for frame in frames]
        post = self._relay.handle(door, key, seen)
        if post and post.body is seen[-1]:
            # The frames themselves, not views of them: libzmq passes them on without a copy and without a callback.
            post = post._replace(header=frames[1], body=frames[2])
        if self._enters(door, key):
            self._routes[door][key] = route
        else:
            # Revoked: what goes to this key now is at most the broker's own word that it is.
            self._routes[door].pop(key, None)
        if post is None:
            return
        self._holding(door)
        answered = route if (post.door, post.key) == (door, key) else self._routes[post.door].get(post.key)
        if answered is None:
            self.counts["dropped.unreachable"] += 1
        elif post.key == key and not self._enters(door, key):
            with suppress(zmq.Again):
                await self._push(post, answered)
        else:
            await self._rooms.send(post, answered)

    def _enters(self, door: str, key: bytes) -> bool:
        return door == "enrol" or self._relay.knows(key)

    async def _pass_on(self, post: Post, route: bytes) -> None:
        """Push, unless the receiver was revoked while the message waited. Raises: zmq.Again."""
        if self._enters(post.door, post.key):
            await self._push(post, route)
        else:
            self.counts["dropped.revoked"] += 1

    async def _push(self, post: Post, route: bytes) -> None:
        """Give one message to libzmq now. Raises: zmq.Again when the peer's queue is full."""
        try:
            frames = [route, post.stamped, post.header, post.body]
            await self._sockets[post.door].send_multipart(frames, flags=zmq.NOBLOCK, copy=False)
            self.counts["relayed"] += 1
        except zmq.Again:
            raise
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.counts["dropped.unreachable"] += 1
            if self._routes[post.door].get(post.key) == route:
                del self._routes[post.door][post.key]

    async def _watch(self, door: str) -> None:
        monitor = self._monitors[door]
        while True:
            told = parse_monitor_message(await monitor.recv_multipart())
            event = told["event"]
            if event == zmq.EVENT_ACCEPTED:
                self._unended[door].accept(told["value"])
            elif event == zmq.EVENT_DISCONNECTED:
                self._unended[door].forget(told["value"])
            if event in _WATCHED:
                self.counts[f"{door}.{_WATCHED[event]}"] += 1
            if event == zmq.EVENT_ACCEPT_FAILED:
                write(self._log, AcceptFailed(door, "Raise LimitNOFILE to 65536 or more."))


    async def _cut_endless(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            for door, connections in self._unended.items():
                if found := connections.look():
                    self.counts[f"{door}.cut_off"] += found


def _waiting_in(socket: zmq.Socket[bytes]) -> Iterator[list[zmq.Frame]]:
    """Yield messages that are there already, some of them."""
    for _ in range(IN_A_ROW):
        try:
            yield socket.recv_multipart(flags=zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return


def _user(frame: zmq.Frame) -> bytes:
    """Return the CURVE key (32 bytes) that the handshake proved."""
    return bytes.fromhex(str(frame.get("User-Id")))


def _bound(socket: zmq.asyncio.Socket, address: str) -> str:
    """Return the address with the port that the system chose."""
    port = socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2]
    return f"{address.rpartition(':')[0]}:{port}"


def _bind(socket: zmq.asyncio.Socket, address: str, door: str) -> None:
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise BadConfiguration(
                f"The {door} address {address} is taken by another program.",
                "Stop it, or set another [broker] port.",
                code="E-PORT",
            ) from None
        raise BadConfiguration(
            f"The {door} address {address} cannot be bound: {error.strerror}.", "Check [broker] listen and port."
        ) from None
