"""The mask generator: AES-CTR key stream over word arrays, blockwise through warm buffers.

Rules (protocol §3): IV 0, counter = absolute byte offset / 16, so block size never matters and blocks are independent.
Raw key stream words, uniform over the whole group. `update_into` releases the GIL and, into a reused buffer of 128 to
384 KiB, runs at the speed of the hardware. A fresh buffer per call costs an order of magnitude, one that does not start
at a page 5 %.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from secagg.crypto.secret import Secret

BLOCK = 262_144
"""Bytes that a thread alone works on at a time: with a key stream and its source they fit a second-level cache."""

SHARED = 393_216
"""The same among threads: they meet at the interpreter's lock a third less often, worth more than the cache."""

_PAGE = 4096
_local = threading.local()
Words = npt.NDArray[np.unsignedinteger]


def aligned(size: int) -> npt.NDArray[np.uint8]:
    """Return `size` zero bytes that start at a page."""
    raw = np.zeros(size + _PAGE, dtype=np.uint8)
    start = -raw.ctypes.data % _PAGE
    return raw[start : start + size]


_ZERO = aligned(SHARED).data


class Keystream:
    """AES-CTR of one key (16 or 32 bytes), from any offset that is a multiple of 16 bytes."""

    def __init__(self, key: Secret | bytes, offset: int = 0) -> None:
        raw = key.reveal() if isinstance(key, Secret) else key
        context = Cipher(algorithms.AES(raw), modes.CTR(_counter(offset))).encryptor()
        self.encrypt_into, self.set_counter = context.update_into, context.reset_nonce

    def fill(self, out: memoryview, length: int) -> None:
        """Write the next `length` bytes (at most SHARED) to the front of `out`."""
        self.encrypt_into(_ZERO[:length], out[:length])


def _counter(offset: int) -> bytes:
    if offset % 16:
        raise ValueError("a key stream starts at a multiple of 16 bytes")
    return (offset // 16).to_bytes(16, "big")


def _buffer() -> npt.NDArray[np.uint8]:
    buffer: npt.NDArray[np.uint8] | None = getattr(_local, "buffer", None)
    if buffer is None:
        buffer = _local.buffer = aligned(SHARED)
    return buffer


class Sum:
    """Key streams on their way through one array, block after block, from `offset_bytes` (a multiple of 16) on.

    Each stream is (key, True to add, False to subtract). Every block takes all streams while it is in the cache: memory
    is read and written once, however many streams there are. Belongs to the thread that uses it.
    """

    def __init__(self, streams: Sequence[tuple[Secret | bytes, bool]], offset_bytes: int = 0) -> None:
        made = [Keystream(key, offset_bytes) for key, _ in streams]
        self._running = [
            (stream.encrypt_into, np.add if added else np.subtract)
            for stream, (_, added) in zip(made, streams, strict=True)
        ]
        self._set_counters = [stream.set_counter for stream in made]

    def seek(self, offset_bytes: int) -> None:
        """Go on at another place of the array (a multiple of 16 bytes): a tenth of the work of new key streams."""
        counter = _counter(offset_bytes)
        for set_counter in self._set_counters:
            set_counter(counter)

    def apply(self, block: Words) -> None:
        """Take all streams into the next block (1-D uint32 or uint64, contiguous, at most SHARED bytes), in place.

        Every block but the last has a multiple of 16 bytes.
        """
        buffer = _buffer()[: block.nbytes]
        zeros, stream, part = _ZERO[: block.nbytes], buffer.data, buffer.view(block.dtype)
        for encrypt_into, operation in self._running:
            encrypt_into(zeros, stream)
            operation(block, part, block)

    def combine(self, words: Words) -> None:
        """Take all streams into an array of any length (otherwise as `apply`), block by block."""
        step = BLOCK // words.dtype.itemsize
        for start in range(0, len(words), step):
            self.apply(words[start : start + step])


class Sums:
    """Key streams through one array by several threads: each thread's are made once and moved from part to part."""

    def __init__(self, streams: Sequence[tuple[Secret | bytes, bool]]) -> None:
        self._streams, self._free = streams, deque[Sum]()

    @contextmanager
    def at(self, offset_bytes: int) -> Iterator[Sum]:
        """Lend key streams that stand at `offset_bytes` (a multiple of 16) to the thread that asks."""
        try:
            lent = self._free.pop()
            lent.seek(offset_bytes)
        except IndexError:
            lent = Sum(self._streams, offset_bytes)
        yield lent
        self._free.append(lent)


def combine(words: Words, streams: Sequence[tuple[Secret | bytes, bool]], offset_bytes: int = 0) -> None:
    """Take key streams into `words` (1-D uint32 or uint64, contiguous) in place, modulo; arguments as of `Sum`."""
    Sum(streams, offset_bytes).combine(words)


def add(words: Words, key: Secret | bytes, offset_bytes: int = 0) -> None:
    """Add the key stream to `words` in place, modulo their width; arguments as of `combine`."""
    combine(words, ((key, True),), offset_bytes)


def subtract(words: Words, key: Secret | bytes, offset_bytes: int = 0) -> None:
    """Subtract the key stream from `words` in place; inverse of `add`."""
    combine(words, ((key, False),), offset_bytes)
