"""What the measured rounds are fed with: float updates, clear words, and the time that plain sums take.

Rules: made block by block, so that making an input never shows in the peak memory of whoever is measured. Bytes come
from AES key streams, because updates that are constant would flatter caches and compression.
"""

import statistics
import time

import numpy as np
import numpy.typing as npt

from secagg.crypto.prg import BLOCK, Keystream, add, aligned
from secagg.crypto.rng import Rng
from secagg.protocol.lanes import Groups, Words, packing
from secagg.protocol.manifest import LaneGroup, Manifest

_TIMES, _BLOCKS = 20, 40
_WARM = 262_144
_BEYOND_CACHE = 2**26


def update_of(count: int, rng: Rng) -> npt.NDArray[np.float32]:
    """Return `count` float32 in ±0.99: a trained update is clipped, and next to none of it lies at the clip."""
    out = np.empty(count, dtype=np.float32)
    raw = np.empty(BLOCK // 4, dtype=np.uint32)
    stream = Keystream(rng(16))
    for start in range(0, count, len(raw)):
        block = out[start : start + len(raw)]
        stream.fill(raw.view(np.uint8).data, BLOCK)
        np.multiply(raw[: len(block)], np.float32(0.99 * 2.0**-31), out=block, casting="unsafe")
        block -= np.float32(0.99)
    return out


def clear_words(manifest: Manifest, rng: Rng) -> Groups:
    """Return one member's clear words: uniform codes in every slot, canaries 1."""
    return {group.name: _clear(group, rng) for group in manifest.groups}


def _clear(group: LaneGroup, rng: Rng) -> Words:
    pack = packing(group)
    words = np.zeros(pack.words, dtype=pack.dtype)
    if group.layout == "lane64":
        slots = np.zeros(group.count, dtype=np.int64)
        slots[1:] = np.frombuffer(rng(8), dtype=np.int64)[0] >> 24
        words = slots.view(np.uint64)
    else:
        add(words, rng(16))
        code = (1 << group.value_bits) - 1
        lanes = 3 if group.layout == "3x21" else 1
        words &= pack.dtype(sum(code << (21 * lane) for lane in range(lanes)))
    first = (1 << 21) - 1 if group.layout == "3x21" else -1
    words[0] = (int(words[0]) & ~first | 1) if first > 0 else 1
    if group.layout == "3x21":
        # Slots beyond the last value of a word that is not full stay empty, as packing leaves them.
        rest = group.count - 3 * (pack.words - 1)
        words[-1] = int(words[-1]) & ((1 << (21 * rest)) - 1)
    return words


def additions(words: Words, count: int) -> float:
    """Return the seconds that adding `count` arrays like `words` takes with numpy: what any sum must cost.

    The arrays are different ones, enough of them to come from memory and not from a cache, as uploads do.
    """
    total = words.copy()
    others = [words.copy() for _ in range(min(count, -(-_BEYOND_CACHE // words.nbytes)))]
    began = time.thread_time()
    for index in range(count):
        np.add(total, others[index % len(others)], out=total)
    return time.thread_time() - began


class AesRate:
    """AES-128-CTR into a warm buffer of 256 KiB, measured between the rounds that it is the limit of.

    A machine that others use is faster and slower by the minute: rounds and limit are medians of the same minutes.
    """

    def __init__(self) -> None:
        self._stream, self._raw = Keystream(bytes(16)), aligned(_WARM).data
        self._taken: list[float] = []

    def sample(self) -> None:
        """Measure twenty times 10 MB."""
        self._stream.fill(self._raw, _WARM)
        for _ in range(_TIMES):
            began = time.thread_time()
            for _ in range(_BLOCKS):
                self._stream.fill(self._raw, _WARM)
            self._taken.append(time.thread_time() - began)

    @property
    def rate(self) -> float:
        """Return bytes per second of CPU time, the median."""
        return _BLOCKS * _WARM / statistics.median(self._taken)
