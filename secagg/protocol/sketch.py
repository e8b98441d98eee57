"""A sketch of a training update: small enough to keep, good enough to see that another update is nearly the same.

A count-sketch (Charikar, Chen, Farach-Colton, ICALP 2002): every coordinate goes, with a sign, into one of 1,024
counters. Which, and the sign, come from an AES-CTR key stream. It is linear, so the sketch of a difference is the
difference of sketches. Its length is that of the vector within a few per cent. So two updates that differ by one part
in a thousand have sketches that do. Rules (protocol §6.5): of the clear update, before clipping, quantising or masking.
The key is the ledger's, so that nobody without it can make an update whose sketch says something else. Kept sealed.
Leaves to others: keeping it (secagg.daemon.inputs), what follows when two are near (secagg.protocol.inputs).
"""

import math

import numpy as np
import numpy.typing as npt

from secagg.crypto.prg import BLOCK, Keystream, aligned
from secagg.crypto.secret import Secret

COUNTERS = 1_024
_STEP = BLOCK // 2
"""Coordinates of one block: each takes two bytes of the key stream, of which eleven bits are used."""

Sketch = npt.NDArray[np.float64]


def sketch(update: npt.NDArray[np.floating], key: Secret) -> Sketch:
    """Return the sketch (float64, 1,024) of an update (1-D, finite)."""
    stream, buffer = Keystream(key), aligned(BLOCK)
    both = np.zeros(2 * COUNTERS)
    for start in range(0, len(update), _STEP):
        part = update[start : start + _STEP]
        length = -(-2 * len(part) // 16) * 16
        stream.fill(buffer.data, length)
        # The sign doubles the counters, so that nothing has to be multiplied.
        places = buffer.view("<u2")[: len(part)] & (2 * COUNTERS - 1)
        both += np.bincount(places, weights=part, minlength=2 * COUNTERS)
    return both[:COUNTERS] - both[COUNTERS:]


def sine(one: Sketch, other: Sketch) -> float:
    """Return the sine of the angle between two sketches, whatever their sign and length; of two zeros, 0."""
    first, second = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if first == 0.0 or second == 0.0:
        return 0.0 if first == second else 1.0
    # From the difference, not from the cosine, which is 1 to the last digit where the sine is still 1e-8.
    direction = one / first
    away = other / second
    along = float(direction @ away)
    return min(1.0, math.sqrt(float(np.sum((away - along * direction) ** 2))))


def encode(found: Sketch) -> bytes:
    """Return the 8,192 bytes of a sketch."""
    return found.astype("<f8").tobytes()


def decode(data: bytes) -> Sketch:
    """Return the sketch that `encode` wrote."""
    return np.frombuffer(data, dtype="<f8")
