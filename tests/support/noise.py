"""A distinguisher for tests: says whether bytes look like uniform noise, and whether two streams share a block."""

import numpy as np
import numpy.typing as npt

MASK_BLOCK = 16
"""Bytes of one AES block."""


def chi_square(data: bytes) -> float:
    """Return the chi-square statistic of the byte values of `data`: 255 on average for noise, with deviation 22.6."""
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2).sum() / expected)


def is_noise(words: npt.NDArray[np.generic]) -> bool:
    """Say whether every byte of the words, and every bit, is as often one value as another, within six deviations.

    Raises: AssertionError when there are too few words to say.
    """
    data = words.tobytes()
    assert len(data) >= 8192, "too little to judge"
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8).reshape(-1, words.dtype.itemsize), axis=1)
    ones = bits.sum(axis=0, dtype=np.int64)
    even = bool((np.abs(ones - len(bits) / 2) < 3 * np.sqrt(len(bits))).all())
    return even and abs(chi_square(data) - 255) < 6 * np.sqrt(2 * 255)


def blocks(words: npt.NDArray[np.generic]) -> set[bytes]:
    """Return the AES blocks that a mask's words were made of."""
    data = words.tobytes()
    return {data[at : at + MASK_BLOCK] for at in range(0, len(data) - MASK_BLOCK + 1, MASK_BLOCK)}
