"""Slots to words and back: four layouts, the cheapest that fits (protocol §2).

| layout   | slot      | word in memory | bytes on the wire per slot |
| 3x21     | ≤ 21 bits | uint64         | 2.67 (three slots a word)  |
| 3bytes   | ≤ 24 bits | uint32         | 3 (low three bytes)        |
| lane32   | ≤ 32 bits | uint32         | 4                          |
| lane64   | 64 bits   | uint64         | 8 (two's complement)       |

Rules: a slot has room for the sum of n_max values, so nothing carries into a neighbour. Sums wrap modulo the word, and
for `3bytes` modulo 2^24. Words are little-endian. Leaves to others: offset codes (quantize), sums and masks.
"""

import sys

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from secagg.errors import BadInput, WireError

Words = npt.NDArray[np.unsignedinteger]
Slots = npt.NDArray[np.integer]

LAYOUTS = ("3x21", "3bytes", "lane32", "lane64")
_WIDEST = {"3x21": 21, "3bytes": 24, "lane32": 32, "lane64": 64}
_BLOCK = 32_768

if sys.byteorder != "little":
    raise ImportError("words travel little-endian; this machine is big-endian")


def slot_bits(value_bits: int, n_max: int) -> int:
    """Return b + ceil(log2 n_max): room for the sum of `n_max` offset codes of `value_bits` bits."""
    return value_bits + (n_max - 1).bit_length()


def cheapest(width: int) -> str:
    """Return the layout with the fewest bytes for a slot of `width` bits.

    Raises: BadInput when no packed layout holds it.
    """
    for layout in ("3x21", "3bytes", "lane32"):
        if width <= _WIDEST[layout]:
            return layout
    raise BadInput(f"A slot of {width} bits fits no word.", "Use fewer bits per value or fewer members.")


class Packing(Struct, frozen=True, forbid_unknown_fields=True):
    """The layout of one lane group: `count` slots of `slot_bits` bits."""

    layout: str
    slot_bits: int
    count: int

    def __post_init__(self) -> None:
        """Refuse what no array can have; a packing may come from a peer.

        Raises: ValueError, which decoding turns into its own error.
        """
        if not 1 <= self.slot_bits <= _WIDEST.get(self.layout, 0) or self.count < 1:
            raise ValueError(f"{self.count} slots of {self.slot_bits} bits in {self.layout!r} are no packing")

    @property
    def words(self) -> int:
        """Return the number of words in memory."""
        return -(-self.count // 3) if self.layout == "3x21" else self.count

    @property
    def dtype(self) -> type[np.uint64] | type[np.uint32]:
        """Return the dtype of words in memory."""
        return np.uint64 if self.layout in ("3x21", "lane64") else np.uint32

    @property
    def wire_bytes(self) -> int:
        """Return the length of the wire form in bytes."""
        return self.words * self.word_bytes

    def pack(self, slots: Slots) -> Words:
        """Return words (1-D, `self.words` of `self.dtype`) of `count` slots (uint64, or int64 for lane64).

        Raises: BadInput when the shape is wrong or a slot does not fit `slot_bits`.
        """
        if slots.shape != (self.count,):
            raise BadInput(f"{slots.shape} slots where ({self.count},) belong.", "Run the task the job was made for.")
        if self.layout == "lane64":
            return slots.astype(np.int64, copy=False).view(np.uint64)
        if slots.size and (int(slots.max()) >> self.slot_bits or int(slots.min()) < 0):
            raise BadInput(f"A value does not fit its slot of {self.slot_bits} bits.", "Lower the clip.")
        if self.layout != "3x21":
            return slots.astype(np.uint32)
        out = np.zeros(self.words, dtype=np.uint64)
        for lane in range(3):
            part = slots[lane::3].astype(np.uint64)
            out[: len(part)] |= part << np.uint64(21 * lane)
        return out

    def unpack(self, words: Words) -> Slots:
        """Return `count` slots of summed words: uint64, for lane64 int64."""
        self._check(words)
        if self.layout == "lane64":
            return words.view(np.int64).copy()
        if self.layout == "3bytes":
            return (words & np.uint32(0xFF_FFFF)).astype(np.uint64)
        if self.layout == "lane32":
            return words.astype(np.uint64)
        out = np.empty(self.count, dtype=np.uint64)
        for lane in range(3):
            part = out[lane::3]
            part[:] = (words[: len(part)] >> np.uint64(21 * lane)) & np.uint64(0x1F_FFFF)
        return out

    def reduce(self, words: Words) -> None:
        """Reduce summed words in place to what travelled: for `3bytes` modulo 2^24, otherwise nothing to do."""
        if self.layout == "3bytes":
            words &= np.uint32(0xFF_FFFF)

    def to_wire(self, words: Words) -> bytes:
        """Return the wire form of words."""
        self._check(words)
        out = bytearray(self.wire_bytes)
        for start in range(0, self.words, _BLOCK):
            block = words[start : start + _BLOCK]
            self.write_wire(block, memoryview(out)[start * self.word_bytes :][: len(block) * self.word_bytes])
        return bytes(out)

    @property
    def word_bytes(self) -> int:
        """Return the bytes of one word on the wire."""
        return 3 if self.layout == "3bytes" else np.dtype(self.dtype).itemsize

    def write_wire(self, words: Words, out: memoryview) -> None:
        """Write the wire form of any run of words (contiguous) to `out`, which has its length and is contiguous."""
        if self.layout != "3bytes":
            np.frombuffer(out, dtype=words.dtype)[:] = words
            return
        # In ascending order each word is written over the top byte of the one before it.
        _overlapping(out, len(words) - 1)[:] = words[:-1]
        out[-3:] = int(words[-1]).to_bytes(4, "little")[:3]

    def read_wire(self, data: bytes | memoryview, out: Words) -> None:
        """Write the words of a run of the wire form to `out` (contiguous; its length fits)."""
        if self.layout != "3bytes":
            out[:] = np.frombuffer(data, dtype=out.dtype)
            return
        out[:-1] = _overlapping(data, len(out) - 1)
        out[-1] = int.from_bytes(data[-3:], "little")
        out &= np.uint32(0xFF_FFFF)

    def add_wire(self, data: bytes | memoryview, total: Words) -> None:
        """Add the words of a wire form to `total` in place, without making them; `reduce` makes of it what travelled.

        Raises: WireError when the length is not `wire_bytes`.
        """
        self._check(total)
        self._check_wire(data)
        if self.layout != "3bytes":
            np.add(total, np.frombuffer(data, dtype=self.dtype), out=total)
            return
        # What the next word leaves in the top byte carries into no lower one.
        np.add(total[:-1], _overlapping(data, self.words - 1), out=total[:-1])
        total[-1:] += np.uint32(int.from_bytes(data[-3:], "little"))

    def _check_wire(self, data: bytes | memoryview) -> None:
        if len(data) != self.wire_bytes:
            raise WireError(f"A lane group has {len(data)} bytes, not {self.wire_bytes}.", "Send the whole group.")

    def from_wire(self, data: bytes | memoryview) -> Words:
        """Return the words of a wire form, writable.

        Raises: WireError when the length is not `wire_bytes`; nothing is allocated before.
        """
        self._check_wire(data)
        words = np.empty(self.words, dtype=self.dtype)
        for start in range(0, self.words, _BLOCK):
            stop = min(start + _BLOCK, self.words)
            self.read_wire(memoryview(data)[start * self.word_bytes : stop * self.word_bytes], words[start:stop])
        return words

    def _check(self, words: Words) -> None:
        if words.shape != (self.words,) or words.dtype != self.dtype:
            raise BadInput(
                f"Words {words.shape} {words.dtype} where ({self.words},) {np.dtype(self.dtype)} belong.",
                "Use the layout of the manifest.",
            )


def _overlapping(data: bytes | memoryview, count: int) -> Words:
    """Return `count` words over three bytes each, with the first byte of the next one on top."""
    return np.ndarray((count,), np.uint32, data, 0, (3,))
