"""The mask generator: AES-CTR key stream over word arrays, blockwise through warm buffers.

Rules (protocol §3): IV 0, counter = absolute byte offset / 16, so block size never matters and blocks are independent;
raw key stream words, uniform over the whole group. `update_into` releases the GIL and, into a reused 256 KiB buffer,
runs at the speed of the hardware; a fresh buffer per call costs an order of magnitude.
"""

import threading
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from secagg.crypto.secret import Secret

BLOCK = 262_144
_ZERO = bytes(BLOCK)
_local = threading.local()
Words = npt.NDArray[np.unsignedinteger]


class Keystream:
    """AES-CTR of one key (16 or 32 bytes), from any offset that is a multiple of 16 bytes."""

    def __init__(self, key: Secret | bytes, offset: int = 0) -> None:
        raw = key.reveal() if isinstance(key, Secret) else key
        if offset % 16:
            raise ValueError("a key stream starts at a multiple of 16 bytes")
        counter = (offset // 16).to_bytes(16, "big")
        self._encryptor = Cipher(algorithms.AES(raw), modes.CTR(counter)).encryptor()

    def fill(self, out: memoryview, length: int) -> None:
        """Write the next `length` bytes (at most BLOCK) to the front of `out`."""
        self._encryptor.update_into(memoryview(_ZERO)[:length], out[:length])


def _buffer() -> npt.NDArray[np.uint8]:
    found: npt.NDArray[np.uint8] | None = getattr(_local, "buffer", None)
    if found is None:
        found = _local.buffer = np.zeros(BLOCK + 16, dtype=np.uint8)
    return found


def combine(words: Words, streams: Sequence[tuple[Secret | bytes, bool]], offset_bytes: int = 0) -> None:
    """Add (True) or subtract (False) key streams to `words` (1-D uint32 or uint64, contiguous) in place, modulo.

    `offset_bytes` is where the array starts in its lane group, a multiple of 16. Every block of words takes all streams
    while it is in the cache: memory is read and written once, however many streams there are.
    """
    buffer, size = _buffer(), words.dtype.itemsize
    view, mask, step = buffer.data, buffer[:BLOCK].view(words.dtype), BLOCK // size
    running = [(Keystream(key, offset_bytes), np.add if added else np.subtract) for key, added in streams]
    for start in range(0, len(words), step):
        block = words[start : start + step]
        part, length = mask[: len(block)], len(block) * size
        for stream, operation in running:
            stream.fill(view, length)
            operation(block, part, out=block)


def add(words: Words, key: Secret | bytes, offset_bytes: int = 0) -> None:
    """Add the key stream to `words` in place, modulo their width; arguments as of `combine`."""
    combine(words, ((key, True),), offset_bytes)


def subtract(words: Words, key: Secret | bytes, offset_bytes: int = 0) -> None:
    """Subtract the key stream from `words` in place; inverse of `add`."""
    combine(words, ((key, False),), offset_bytes)


def aes_rate(seconds: float = 1.0) -> float:
    """Return bytes per second of AES-128-CTR into a warm 256 KiB buffer: best of five, at least `seconds` in all."""
    stream, view = Keystream(bytes(16)), _buffer().data
    stream.fill(view, BLOCK)
    best = 0.0
    for _ in range(5):
        start, done = time.perf_counter(), 0
        while (spent := time.perf_counter() - start) < seconds / 5:
            stream.fill(view, BLOCK)
            done += BLOCK
        best = max(best, done / spent)
    return best
