"""A member's own ZMTP client, over CURVE: it can do what libzmq's sender cannot, begin a message and never end it.

ZMTP 3.0 with mechanism CURVE (rfc.zeromq.org/spec/26): greeting, HELLO, WELCOME, INITIATE, READY, then frames, each in
a MESSAGE command of its own. The boxes are libsodium's, the library that pyzmq brings along, called by ctypes. The
product needs no such client, and no package of its own is installed for it.
"""

import ctypes
import os
import select
import socket
from collections.abc import Sequence
from pathlib import Path

import zmq

MORE = 1
"""Flag of a frame: another one follows."""

_LARGE, _COMMAND = 2, 4


def _library() -> ctypes.CDLL:
    """Return libsodium as it lies beside pyzmq. Raises: RuntimeError when it does not."""
    for place in (Path(zmq.__file__).parents[1] / "pyzmq.libs").glob("libsodium*"):
        return ctypes.CDLL(str(place))
    raise RuntimeError("this pyzmq brings no libsodium along")


class Boxes:
    """crypto_box between two keys (32 bytes each), with nonces that count."""

    def __init__(self, sodium: ctypes.CDLL, secret: bytes, public: bytes) -> None:
        self._sodium, self._shared = sodium, ctypes.create_string_buffer(32)
        if sodium.crypto_box_beforenm(self._shared, public, secret):
            raise ValueError("no key")

    def close(self, data: bytes, nonce: bytes) -> bytes:
        """Return a box: 16 bytes more than `data`; `nonce` has 24 bytes."""
        box = ctypes.create_string_buffer(len(data) + 16)
        self._sodium.crypto_box_easy_afternm(box, data, ctypes.c_ulonglong(len(data)), nonce, self._shared)
        return box.raw

    def open(self, box: bytes, nonce: bytes) -> bytes:
        """Return what is in a box. Raises: ValueError."""
        data = ctypes.create_string_buffer(max(1, len(box) - 16))
        if self._sodium.crypto_box_open_easy_afternm(data, box, ctypes.c_ulonglong(len(box)), nonce, self._shared):
            raise ValueError("the box does not open")
        return data.raw[: len(box) - 16]


class Sender:
    """A connection to one door of a broker under a member's key; every frame is sent as told, ended or not."""

    def __init__(self, address: str, broker_key: bytes, secret: bytes, public: bytes) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._sodium = _library()
        self._count = 0
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self._shake(broker_key, secret, public)

    def _pair(self) -> tuple[bytes, bytes]:
        public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
        self._sodium.crypto_box_keypair(public, secret)
        return public.raw, secret.raw

    def _number(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(8, "big")

    def _shake(self, broker_key: bytes, secret: bytes, public: bytes) -> None:
        self.socket.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32))
        self._read(64)
        mine, own = self._pair()
        hello, number = Boxes(self._sodium, own, broker_key), self._number()
        box = hello.close(bytes(64), b"CurveZMQHELLO---" + number)
        self._command(b"\x05HELLO\x01\x00" + bytes(72) + mine + number + box)
        welcome = self._receive().removeprefix(b"\x07WELCOME")
        opened = hello.open(welcome[16:], b"WELCOME-" + welcome[:16])
        theirs, cookie = opened[:32], opened[32:]
        self._boxes, salt = Boxes(self._sodium, own, theirs), os.urandom(16)
        vouch = Boxes(self._sodium, secret, theirs).close(mine + broker_key, b"VOUCH---" + salt)
        metadata = b"\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER" + b"\x08Identity" + bytes(4)
        number = self._number()
        box = self._boxes.close(public + salt + vouch + metadata, b"CurveZMQINITIATE" + number)
        self._command(b"\x08INITIATE" + cookie + number + box)
        ready = self._receive()
        if not ready.startswith(b"\x05READY"):
            raise PermissionError(ready)

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self.socket.recv(size - len(found))
            if not part:
                raise ConnectionResetError("the broker closed")
            found += part
        return found

    def _receive(self) -> bytes:
        flags = self._read(1)[0]
        size = int.from_bytes(self._read(8 if flags & _LARGE else 1), "big")
        return self._read(size)

    def _command(self, body: bytes) -> None:
        self.socket.sendall(_framed(body, _COMMAND))

    def frame(self, data: bytes, flags: int = 0) -> None:
        """Send one frame of a message; with `MORE` the message goes on. Raises: OSError when the broker closed."""
        number = self._number()
        box = self._boxes.close(bytes([flags]) + data, b"CurveZMQMESSAGEC" + number)
        self._push(memoryview(_framed(b"\x07MESSAGE" + number + box, 0)))

    def _push(self, data: memoryview) -> None:
        """Send, and notice when the broker closed: one that reads no more takes nothing, and would be waited for."""
        while data:
            readable, writable, _ = select.select([self.socket], [self.socket], [], 10)
            if readable and not self.socket.recv(65_536):
                raise ConnectionResetError("the broker closed")
            if not readable and not writable:
                raise TimeoutError("the broker takes nothing")
            if writable:
                data = data[self.socket.send(data) :]

    def message(self, frames: Sequence[bytes]) -> None:
        """Send a whole message."""
        for place, data in enumerate(frames, 1):
            self.frame(data, MORE if place < len(frames) else 0)


def _framed(body: bytes, flags: int) -> bytes:
    if len(body) > 255:
        return bytes([flags | _LARGE]) + len(body).to_bytes(8, "big") + body
    return bytes([flags, len(body)]) + body
