"""Floats to offset codes and back: unbiased stochastic rounding with operating-system randomness (protocol §2).

Rules: Q(x) = floor(x·S + u), u uniform, S a power of two, code = q + 2^(b−1); what does not fit saturates and is
counted; NaN and infinity are refused by index. The uniform u has 32 bits from AES-CTR under a fresh key.
Error: variance at most 1/(4 S²) per value. Leaves to others: weights and lanes (secagg.protocol.lanes).
"""

import math

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from secagg.crypto.prg import Keystream
from secagg.crypto.rng import Rng
from secagg.errors import BadInput

_BLOCK = 65_536


class Quantizer(Struct, frozen=True, forbid_unknown_fields=True):
    """`bits` per value; |x| up to `clip` is representable, beyond it saturates."""

    bits: int
    clip: float

    @property
    def scale(self) -> float:
        """Return S = 2^(b−1)/clip rounded down to a power of two."""
        return float(2.0 ** math.floor(math.log2(2.0 ** (self.bits - 1) / self.clip)))


def encode(
    values: npt.NDArray[np.floating], quantizer: Quantizer, rng: Rng, *,
    factor: float = 1.0, out: npt.NDArray[np.uint64] | None = None,
) -> tuple[npt.NDArray[np.uint64], int]:  # fmt: skip
    """Return offset codes in [0, 2^bits) of `values` · `factor` (uint64, 1-D like `values`) and how many saturated.

    The codes go into `out` when it is given. Block by block: no second copy of a large update is made.
    Raises: BadInput naming the first value that is NaN or infinite.
    """
    codes = np.empty(values.shape, dtype=np.uint64) if out is None else out
    stream, raw = Keystream(rng(16)), np.empty(_BLOCK, dtype=np.uint32)
    half, top = 2.0 ** (quantizer.bits - 1), 2.0**quantizer.bits - 1
    saturated, limit = 0, 2.0**quantizer.bits / quantizer.scale
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].astype(np.float64) * factor
        if not np.isfinite(block).all():
            bad = start + int(np.flatnonzero(~np.isfinite(block))[0])
            raise BadInput(
                f"The update holds {values[bad]} at index {bad}.", "Check the learning rate and the data for NaN."
            )
        stream.fill(raw.view(np.uint8).data, 4 * len(block))
        steps = np.clip(block, -limit, limit) * quantizer.scale
        whole = np.floor(steps)
        # floor(x·S + u) without the sum, which has more bits than a float64 when x·S is large.
        shifted = whole + (steps - whole + raw[: len(block)] * 2.0**-32 >= 1) + half
        saturated += int(np.count_nonzero((shifted < 0) | (shifted > top)))
        codes[start : start + _BLOCK] = np.clip(shifted, 0, top).astype(np.uint64)
    return codes, saturated


def decode_sum(codes: npt.NDArray[np.uint64], contributors: int, quantizer: Quantizer) -> npt.NDArray[np.float64]:
    """Return the float64 sum of `contributors` values from summed codes: (sum − n·2^(b−1)) / S, exact below 2^53."""
    offset = contributors << (quantizer.bits - 1)
    return (codes.astype(np.int64) - offset) / quantizer.scale
