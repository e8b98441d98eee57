"""Floats to offset codes and back: unbiased stochastic rounding with operating-system randomness (protocol §2).

Rules: Q(x) = floor(x·S + u), u uniform with 32 bits from AES-CTR under a fresh key, S a power of two, code = q +
2^(b−1). What does not fit saturates and is counted. NaN and infinity are refused by index. Any block can be made by
itself and comes out the same again. Error: variance at most 1/(4 S²) per value. Leaves to others: weights and lanes
(secagg.protocol.lanes).

Two members' codes are added as integers, and their sum is decoded once; 9.0 is beyond the clip and is counted:

>>> from secagg.crypto.rng import system_rng
>>> quantizer = Quantizer(bits=16, clip=4.0)
>>> first, _ = encode(np.array([1.0, -0.5]), quantizer, system_rng)
>>> second, saturated = encode(np.array([0.25, 9.0]), quantizer, system_rng)
>>> int(first[0]), saturated
(40960, 1)
>>> decode_sum(first + second, 2, quantizer).round(2).tolist()
[1.25, 3.5]
"""

import math

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from secagg.crypto.prg import Keystream
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.errors import BadInput
from secagg.vector.warm import warm

BLOCK = 32_768
"""Values at a time: their float64 stay in the second-level cache."""

Codes = npt.NDArray[np.unsignedinteger]
Floats = npt.NDArray[np.floating]

_FAST_BITS = 19
_FRACTION = 2.0**32
_MAGIC = 2.0**52 + 2.0**40
"""A float64 from −2^40 to 2^51 + 2^40 added to this has its nearest integer in the low bits: a conversion without a
cast. Codes of 19 bits and 32 fractional ones, with what saturates, are within that."""

_MAGIC_BITS = int(np.float64(_MAGIC).view(np.int64))


class Quantizer(Struct, frozen=True, forbid_unknown_fields=True):
    """`bits` per value; |x| up to `clip` is representable, beyond it saturates."""

    bits: int
    clip: float

    @property
    def scale(self) -> float:
        """Return S = 2^(b−1)/clip rounded down to a power of two."""
        return float(2.0 ** math.floor(math.log2(2.0 ** (self.bits - 1) / self.clip)))


class Encoder:
    """The codes of `values` · `factor` (1-D floats, not copied), made block by block in any order and repeatably."""

    def __init__(self, values: Floats, quantizer: Quantizer, rng: Rng, factor: float = 1.0) -> None:
        self._values, self._quantizer, self._key, self._factor = values, quantizer, Secret(rng(16)), factor
        self._running: dict[int, Keystream] = {}
        half = 2.0 ** (quantizer.bits - 1)
        # Within this no code can saturate, whatever u: nothing to clip, nothing to count.
        self._inside = (half - 1) / (quantizer.scale * factor)

    def fill(self, start: int, out: Codes) -> int:
        """Write the codes of values `start`… into `out` (1-D, at most BLOCK); return how many saturated.

        Raises: BadInput naming the first value that is NaN or infinite.
        """
        values = self._values[start : start + len(out)]
        if not len(out):
            return 0
        # NaN makes both comparisons false.
        inside = bool(values.max() <= self._inside and values.min() >= -self._inside)
        if not inside:
            self._require_finite(start, values)
        round_off = self._fixed if self._quantizer.bits <= _FAST_BITS else self._floating
        return round_off(values, self._draw(start, len(out)), out, inside)

    def _require_finite(self, start: int, values: Floats) -> None:
        finite = np.isfinite(values)
        if not finite.all():
            bad = start + int(np.flatnonzero(~finite)[0])
            raise BadInput(
                f"The update holds {self._values[bad]} at index {bad}.", "Check the learning rate and the data for NaN."
            )

    def _draw(self, start: int, length: int) -> npt.NDArray[np.uint32]:
        """Return u·2^32 of values `start`…; where the block before them was made, its key stream goes on."""
        stream = self._running.pop(start, None) or self._stream(start)
        drawn: npt.NDArray[np.uint32] = warm("drawn", length, np.uint32)
        stream.fill(drawn.view(np.uint8).data, drawn.nbytes)
        self._running[start + length] = stream
        return drawn

    def _stream(self, start: int) -> Keystream:
        """Return the key stream at value `start`; it can be entered at whole AES blocks, which hold four values."""
        skipped = start % 4
        stream = Keystream(self._key, 4 * (start - skipped))
        stream.fill(memoryview(bytearray(16)), 4 * skipped)
        return stream

    def _fixed(self, values: Floats, drawn: npt.NDArray[np.uint32], out: Codes, inside: bool) -> int:
        """Round with 32 fractional bits in integers: floor(x·S + u) = (x·S·2^32 + u·2^32) >> 32."""
        bits = self._quantizer.bits
        limit = _FRACTION * (2.0 ** (bits - 1) + 1)
        with np.errstate(over="ignore"):  # what overflows is clipped
            scaled = warm("scaled", len(values), np.float64)
            np.multiply(values, self._factor * self._quantizer.scale * _FRACTION, out=scaled)
        if not inside:
            np.clip(scaled, -limit, limit, out=scaled)
        scaled += _MAGIC + _FRACTION * 2.0 ** (bits - 1)
        fixed = scaled.view(np.int64)
        fixed += drawn
        fixed >>= 32
        if inside:
            out[:] = fixed
            out -= out.dtype.type(_MAGIC_BITS >> 32)
            return 0
        fixed -= _MAGIC_BITS >> 32
        saturated = int(np.count_nonzero((fixed < 0) | (fixed >= 1 << bits)))
        np.clip(fixed, 0, (1 << bits) - 1, out=fixed)
        out[:] = fixed
        return saturated

    def _floating(self, values: Floats, drawn: npt.NDArray[np.uint32], out: Codes, inside: bool) -> int:
        """Round codes of more bits than fit beside 32 fractional ones; slower, and always counts."""
        quantizer = self._quantizer
        half, top, limit = 2.0 ** (quantizer.bits - 1), 2.0**quantizer.bits - 1, 2.0**quantizer.bits / quantizer.scale
        steps = np.clip(values.astype(np.float64) * self._factor, -limit, limit) * quantizer.scale
        whole = np.floor(steps)
        # floor(x·S + u) without the sum, which has more bits than a float64 when x·S is large.
        shifted = whole + (steps - whole + drawn * 2.0**-32 >= 1) + half
        out[:] = np.clip(shifted, 0, top).astype(np.uint64)
        return int(np.count_nonzero((shifted < 0) | (shifted > top)))


def encode(
    values: Floats, quantizer: Quantizer, rng: Rng, *, factor: float = 1.0
) -> tuple[npt.NDArray[np.uint64], int]:
    """Return offset codes in [0, 2^bits) of `values` · `factor` (uint64, 1-D like `values`) and how many saturated.

    Raises: BadInput naming the first value that is NaN or infinite.
    """
    encoder, codes = Encoder(values, quantizer, rng, factor), np.empty(values.shape, dtype=np.uint64)
    saturated = sum(encoder.fill(at, codes[at : at + BLOCK]) for at in range(0, len(values), BLOCK))
    return codes, saturated


def decode_sum(codes: npt.NDArray[np.uint64], contributors: int, quantizer: Quantizer) -> npt.NDArray[np.float64]:
    """Return the float64 sum of `contributors` values from summed codes: (sum − n·2^(b−1)) / S, exact below 2^53."""
    offset = contributors << (quantizer.bits - 1)
    return (codes.astype(np.int64) - offset) / quantizer.scale
