"""The only source of randomness: the operating system.

Rule: whoever needs randomness takes an `Rng` as an argument; only a role's outermost shell passes `system_rng`.
"""

import os
from collections.abc import Callable

Rng = Callable[[int], bytes]


def system_rng(count: int) -> bytes:
    """Return `count` bytes from the operating system's generator."""
    return os.urandom(count)
