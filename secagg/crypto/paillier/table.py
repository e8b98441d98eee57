"""Powers of one base without squarings: T[j][d] = h_s^(d·2^(w·j)), one product per digit of the exponent.

Rules (protocol §8): w is the largest that the given memory holds, up to the knee where the table stops to pay. That is
10 for half-length exponents, 12 for short ones. A table is shared by threads and saved per key, and a saved one is used
only when its digest fits. What a table's reader can see of memory accesses tells digits of exponents: the process that
encrypts is the institution's own.
Leaves to others: drawing exponents (encrypt). Source: Brickell, Gordon, McCurley, Wilson, Eurocrypt '92.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from hashlib import sha256
from pathlib import Path

from gmpy2 import mpz

from secagg.crypto.labels import fields
from secagg.crypto.paillier.numbers import write
from secagg.crypto.paillier.packing import from_numbers, unpack_rows
from secagg.crypto.paillier.powers import in_blocks, over_blocks, products
from secagg.crypto.paillier.ring import Ring
from secagg.errors import BadConfiguration

DEFAULT_MEMORY = 160 * 2**20
_LABEL = "secagg/v1/paillier/table"
_ENTRY_OVERHEAD = 64
"""Bytes of an mpz beside its limbs: the object, the allocator's header, the list's slot."""
_SHORT = 768
_BLOCK = 256
"""Exponents that a thread works on at a time: so many products it reduces without the interpreter's lock."""

_HANDED = 4
"""Blocks that a shorter list is divided into, so that no thread waits long for another's last one."""

_WINDOWS = range(2, 13)
_DIGEST = 32


def memory(ring: Ring, window: int) -> int:
    """Return about how many bytes a table takes."""
    return -(-ring.exponent_bits // window) * (1 << window) * (ring.width + _ENTRY_OVERHEAD)


def affordable(share: int = 4) -> int:
    """Return the bytes a table may take here: one `share`-th of the memory that is free now, at most the default."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(DEFAULT_MEMORY, free // share)


def choose(ring: Ring, budget: int = DEFAULT_MEMORY) -> int:
    """Return the largest window that pays and whose table takes at most `budget` bytes, at least 2."""
    knee = 12 if ring.exponent_bits <= _SHORT else 10
    fitting = [window for window in _WINDOWS if window <= knee and memory(ring, window) <= budget]
    return max(fitting, default=_WINDOWS[0])


class Table:
    """The table of one ring's base; read-only once made, so threads share it."""

    def __init__(self, ring: Ring, window: int, rows: list[list[mpz]]) -> None:
        self.ring, self.window, self._rows = ring, window, rows

    @classmethod
    def build(cls, ring: Ring, budget: int = DEFAULT_MEMORY, executor: Executor | None = None) -> "Table":
        """Compute the table that fits `budget` bytes; about a second for the largest."""
        window, modulus = choose(ring, budget), ring.cipher
        bases, base = [], ring.base
        for _ in range(-(-ring.exponent_bits // window)):
            bases.append(base)
            for _ in range(window):
                base = base * base % modulus

        def work(block: Sequence[mpz]) -> list[list[mpz]]:
            return [_row(one, modulus, window) for one in block]

        return cls(ring, window, over_blocks(work, bases, executor, 8))

    def powers(self, exponents: Sequence[mpz], executor: Executor | None = None) -> list[mpz]:
        """Return base^exponent for exponents of at most the ring's `exponent_bits` bits."""
        size = _BLOCK if executor is None else min(_BLOCK, max(8, len(exponents) // _HANDED))
        return in_blocks(self._powers, exponents, executor, size)

    def _powers(self, exponents: Sequence[mpz]) -> list[mpz]:
        digits = len(self._rows)
        limbs = from_numbers(exponents, 8 * -(-digits * self.window // 64))
        # A modulus of its own for each block: threads that count references to one wait for each other's caches.
        modulus, held = self.ring.cipher + 0, None
        for row, column in zip(self._rows, unpack_rows(limbs, self.window, digits).T.tolist(), strict=True):
            factors = [row[digit] for digit in column]
            held = factors if held is None else products(held, factors, modulus)
        return held or []

    def save(self, path: Path) -> None:
        """Write the table so that it is on disk whole or not at all."""
        head = self._head(self.ring)
        digest, temporary = sha256(head), path.with_name(path.name + ".new")
        with temporary.open("wb") as file:
            file.write(head)
            file.write(bytes([self.window]))
            digest.update(bytes([self.window]))
            for row in self._rows:
                data = write(row, self.ring.width)
                digest.update(data)
                file.write(data)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, ring: Ring) -> "Table":
        """Read a table that `save` wrote for the same key and s.

        Raises: BadConfiguration when it is of another key, cut off or damaged.
        """
        head, rows = cls._head(ring), []
        with path.open("rb") as file:
            start = file.read(len(head) + 1)
            window = start[-1] if len(start) == len(head) + 1 and start[:-1] == head else 0
            if window not in _WINDOWS:
                raise _unusable(path)
            digest = sha256(start)
            for _ in range(-(-ring.exponent_bits // window)):
                data = file.read(ring.width << window)
                digest.update(data)
                steps = range(0, len(data), ring.width)
                rows.append([mpz.from_bytes(data[at : at + ring.width], "big") for at in steps])
            if file.read(_DIGEST + 1) != digest.digest():
                raise _unusable(path)
        return cls(ring, window, rows)

    @staticmethod
    def _head(ring: Ring) -> bytes:
        return fields(_LABEL, ring.digest)


def table_at(path: Path, ring: Ring, budget: int = DEFAULT_MEMORY, executor: Executor | None = None) -> Table:
    """Return the table saved at `path`, or build it and save it there when it is missing, unusable or does not fit."""
    try:
        table = Table.load(path, ring)
    except (FileNotFoundError, BadConfiguration):
        table = None
    if table is None or table.window != choose(ring, budget):
        table = Table.build(ring, budget, executor)
        table.save(path)
    return table


def _row(base: mpz, modulus: mpz, window: int) -> list[mpz]:
    row = [mpz(1)]
    for _ in range((1 << window) - 1):
        row.append(row[-1] * base % modulus)
    return row


def _unusable(path: Path) -> BadConfiguration:
    return BadConfiguration(f"The table {path.name} is damaged or of another key.", "Delete it; it is built again.")
