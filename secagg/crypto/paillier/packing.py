"""Many small numbers in one plaintext: slots side by side, with room for the sum.

Rules (protocol §2): a slot has `value_bits + ceil(log2 summands)` bits. So the sum of at most `summands` offset codes
cannot carry into its neighbour. More summands than that are refused when a sum is taken apart. So is a sum that no
honest summands have: a slot above its bound, a bit above the last slot. Slots lie in a word from its lowest bit on.
Shifts run over whole columns of a block of words in numpy; 7-15 ns per slot.
Leaves to others: offset codes and their meaning (vector.quantize), encryption (encrypt).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from gmpy2 import mpz
from msgspec import Struct

from secagg.errors import BadInput, ProtocolViolation

Slots = npt.NDArray[np.uint64]
_ROWS = 512
"""Words in a block: a block of any layout stays in the processor's second cache."""


class WordLayout(Struct, frozen=True, forbid_unknown_fields=True):
    """`count` values of `value_bits` bits, of which up to `summands` are added, in words of `capacity` bits."""

    capacity: int
    value_bits: int
    summands: int
    count: int

    def __post_init__(self) -> None:
        """Refuse what fits no word; a layout may come from a peer.

        Raises: ValueError, which decoding turns into its own error.
        """
        if not (self.value_bits >= 1 and self.summands >= 1 and self.count >= 1 and self.slot_bits <= 64):
            raise ValueError(f"{self.count} values of {self.value_bits} bits, {self.summands} summands: no layout")
        if self.slot_bits > self.capacity:
            raise ValueError(f"a slot of {self.slot_bits} bits fits no word of {self.capacity} bits")

    @property
    def slot_bits(self) -> int:
        """Return the bits of a slot."""
        return self.value_bits + (self.summands - 1).bit_length()

    @property
    def per_word(self) -> int:
        """Return the slots of a full word."""
        return self.capacity // self.slot_bits

    @property
    def words(self) -> int:
        """Return the number of words."""
        return -(-self.count // self.per_word)

    def pack(self, codes: npt.NDArray[np.integer]) -> list[mpz]:
        """Return the words of `count` codes (1-D, any integer dtype).

        Raises: BadInput when the shape is wrong or a code is no number of `value_bits` bits.
        """
        if codes.shape != (self.count,):
            raise BadInput(f"{codes.shape} codes where ({self.count},) belong.", "Run the task the job was made for.")
        if int(codes.min()) < 0 or int(codes.max()) >> self.value_bits:
            raise BadInput(f"A value does not fit its {self.value_bits} bits.", "Lower the clip.")
        found: list[mpz] = []
        step = _ROWS * self.per_word
        for start in range(0, self.count, step):
            part = codes[start : start + step].astype(np.uint64)
            part = np.pad(part, (0, -len(part) % self.per_word))
            found += to_numbers(pack_rows(part.reshape(-1, self.per_word), self.slot_bits))
        return found

    def unpack(self, words: Sequence[mpz], contributors: int) -> Slots:
        """Return the `count` sums (uint64) in the words of a sum of `contributors` packed vectors.

        Raises: ProtocolViolation when they are more than the layout has room for (rule paillier.summands) or a sum is
        not one of that many codes (paillier.slots).
        """
        if not 1 <= contributors <= self.summands:
            raise ProtocolViolation(
                f"A sum of {contributors} where slots have room for 1 to {self.summands}.",
                "Use a job made for that many members.", rule="paillier.summands",
            )  # fmt: skip
        if len(words) != self.words:
            raise BadInput(f"{len(words)} words where {self.words} belong.", "Decrypt the whole vector.")
        last = self.count - (self.words - 1) * self.per_word
        if max(words).bit_length() > self.per_word * self.slot_bits or words[-1].bit_length() > last * self.slot_bits:
            raise _overflow()
        parts = [
            unpack_rows(from_numbers(words[start : start + _ROWS], self._row_bytes), self.slot_bits, self.per_word)
            for start in range(0, self.words, _ROWS)
        ]
        found = np.concatenate([part.reshape(-1) for part in parts])[: self.count]
        if int(found.max()) > contributors * ((1 << self.value_bits) - 1):
            raise _overflow()
        return found

    @property
    def _row_bytes(self) -> int:
        return 8 * -(-self.per_word * self.slot_bits // 64)


def pack_rows(slots: Slots, width: int) -> Slots:
    """Return rows of 64-bit limbs, lowest first, for rows of slots that have at most `width` bits."""
    columns = np.ascontiguousarray(slots.T)
    out = np.zeros((-(-len(columns) * width // 64), slots.shape[0]), dtype=np.uint64)
    for index, column in enumerate(columns):
        limb, offset = divmod(index * width, 64)
        out[limb] |= column << np.uint64(offset)
        if offset + width > 64:
            out[limb + 1] |= column >> np.uint64(64 - offset)
    return np.ascontiguousarray(out.T)


def unpack_rows(limbs: Slots, width: int, count: int) -> Slots:
    """Return rows of `count` slots of `width` bits for rows of 64-bit limbs, lowest first."""
    columns = np.ascontiguousarray(limbs.T)
    out = np.empty((count, limbs.shape[0]), dtype=np.uint64)
    mask = np.uint64((1 << width) - 1)
    for index in range(count):
        limb, offset = divmod(index * width, 64)
        np.right_shift(columns[limb], np.uint64(offset), out=out[index])
        if offset + width > 64:
            out[index] |= columns[limb + 1] << np.uint64(64 - offset)
        out[index] &= mask
    return np.ascontiguousarray(out.T)


def to_numbers(limbs: Slots) -> list[mpz]:
    """Return the number of each row of limbs."""
    view, width, from_bytes = memoryview(limbs.tobytes()), 8 * limbs.shape[1], mpz.from_bytes
    return [from_bytes(view[start : start + width], "little") for start in range(0, len(view), width)]


def from_numbers(numbers: Sequence[mpz], width: int) -> Slots:
    """Return rows of limbs for numbers of at most `width` bytes, a multiple of 8."""
    data = b"".join([number.to_bytes(width, "little") for number in numbers])
    return np.frombuffer(data, dtype=np.uint64).reshape(len(numbers), width // 8)


def _overflow() -> ProtocolViolation:
    return ProtocolViolation(
        "A decrypted sum is not one of this many honest values.", "Abort the round; a member wrote outside its slot.",
        rule="paillier.slots",
    )  # fmt: skip
