"""Who may finish a CURVE handshake: the handler that libzmq asks (ZeroMQ RFC 27).

Rules: the answer is one lookup, because a slow handler blocks every handshake. Whatever goes wrong is a refusal. The
User-Id of a connection is its CURVE key in hexadecimal, checked again with every message, since a live connection
outlives its revocation. Leaves to others: the lookup itself (directory.py). Written here because a callback in pyzmq's
authenticator that raises ends authentication for good.
"""

from collections.abc import Callable, Mapping, Sequence

import zmq
import zmq.asyncio

ENDPOINT = "inproc://zeromq.zap.01"
Lookup = Callable[[bytes], bool]
"""From a CURVE key (32 bytes) to whether it may enter."""


class Zap:
    """The handler of one context; `run` answers until it is cancelled."""

    def __init__(self, context: zmq.asyncio.Context, doors: Mapping[bytes, Lookup]) -> None:
        self._doors = doors
        self._socket = context.socket(zmq.ROUTER)
        self._socket.bind(ENDPOINT)

    async def run(self) -> None:
        """Answer every question; closes the socket when it ends."""
        try:
            while True:
                frames = await self._socket.recv_multipart()
                await self._socket.send_multipart(answer(frames, self._doors))
        finally:
            self._socket.close(linger=0)


def answer(frames: Sequence[bytes], doors: Mapping[bytes, Lookup]) -> list[bytes]:
    """Return the reply to a request `[envelope…, b"", version, id, domain, address, routing, mechanism, key]`."""
    cut = frames.index(b"") + 1
    version, request, *rest = frames[cut:]
    key = _admit(rest, doors)
    verdict = [b"200", b"OK", key.hex().encode(), b""] if key else [b"400", b"unknown key", b"", b""]
    return [*frames[:cut], version, request, *verdict]


def _admit(rest: Sequence[bytes], doors: Mapping[bytes, Lookup]) -> bytes:
    """Return the key that may enter, or nothing."""
    try:
        domain, _, _, mechanism, key = rest
        return key if mechanism == b"CURVE" and len(key) == 32 and doors[domain](key) else b""
    except Exception:
        return b""
