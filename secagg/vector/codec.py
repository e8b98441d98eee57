"""How the values of a lane become the integers that are summed: a tagged union, one kind of code each.

How to read it: a signed job names a codec for each of its lanes; secagg.protocol.lanes packs what it gives.
Rules (protocol §2): an offset code saturates and says how often; a fixed one is exact or refused. A code with noise is
named, so that nothing is shaped against it, and refused until it is built.
Leaves to others: rounding (secagg.vector.quantize), slots and words (secagg.vector.packing), which lanes a job may have
(secagg.protocol.ranges).
Example:
    >>> Offset(bits=16, clip_log2=2).quantizer.clip
    4.0
    >>> Fixed().limit(members=4)
    68719476736.0
"""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from secagg.errors import BadInput
from secagg.ids import Name, Ordinal
from secagg.vector.quantize import Quantizer

WIDTH = 64
"""Bits of a fixed code."""

FRACTION = 24
"""Bits behind the binary point of a sum."""

_SUM_BITS = 62
"""A sum of fixed codes stays below 2^62, whoever sends them."""

Clip = Annotated[int, Meta(ge=-64, le=64)]


class Offset(Struct, frozen=True, forbid_unknown_fields=True, tag="offset"):
    """Stochastic rounding to `bits`; |x| up to 2^clip_log2 is representable, beyond it saturates and is counted."""

    bits: Annotated[int, Meta(ge=2, le=31)]
    clip_log2: Clip

    @property
    def quantizer(self) -> Quantizer:
        """Return what rounds."""
        return Quantizer(bits=self.bits, clip=2.0**self.clip_log2)


class Fixed(Struct, frozen=True, forbid_unknown_fields=True, tag="fixed"):
    """64 bits in two's complement, `fraction` of them behind the binary point: sums are exact."""

    fraction: Annotated[int, Meta(ge=0, le=48)] = FRACTION

    def limit(self, members: int) -> float:
        """Return what |x| has to stay below so that the sum of as many members holds."""
        return float(2.0 ** (_SUM_BITS - self.fraction)) / members

    def encode(self, values: npt.NDArray[np.float64], members: int) -> npt.NDArray[np.int64]:
        """Return the codes (int64, 1-D) of finite values (1-D).

        Raises: BadInput on NaN and infinity, and on what could leave the sum.
        """
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise BadInput(f"The vector holds a value that is not finite at index {int(bad[0])}.", "Clean the data.")
        limit = self.limit(members)
        if values.size and float(np.abs(values).max()) >= limit:
            raise BadInput(f"A value exceeds {limit:g}, the largest that a sum can hold.", "Rescale the vector.")
        return np.rint(values * 2.0**self.fraction).astype(np.int64)

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the values (float64, 1-D) of summed codes."""
        return codes / 2.0**self.fraction


class Noised(Struct, frozen=True, forbid_unknown_fields=True, tag="noised"):
    """Codes that carry a share of noise: a name that is kept free, and refused in every job."""

    bits: Annotated[int, Meta(ge=2, le=63)]
    clip_log2: Clip


Codec = Offset | Fixed | Noised


class Lane(Struct, frozen=True, forbid_unknown_fields=True):
    """A vector of a job: `count` values, and how they become codes; a `weighted` one travels as n_k/W times itself."""

    name: Name
    count: Ordinal
    codec: Codec
    weighted: bool = False


def code_bits(codec: Codec) -> int:
    """Return the bits of one code."""
    return WIDTH if isinstance(codec, Fixed) else codec.bits


def described(codec: Codec) -> tuple[str | int, ...]:
    """Return the kind of a codec and its numbers, in the order of its fields: what names an encoding."""
    return (str(codec.__struct_config__.tag), *(getattr(codec, field) for field in codec.__struct_fields__))
