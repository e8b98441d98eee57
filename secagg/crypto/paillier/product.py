"""Adding up: products of ciphertexts, upload by upload, as they arrive as bytes.

Rules (protocol §5): an upload has exactly the agreed number of ciphertexts, each in its range. A factor shared with the
modulus is found by one gcd over the whole vector when the product is closed. `offender` then says whose it was. The
proof of knowledge of each upload, which is verified before, finds it as well. Memory is one vector.
Leaves to others: whose uploads count, and their proofs.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor

from gmpy2 import mpz

from secagg.crypto.paillier.powers import over_blocks
from secagg.crypto.paillier.ring import Ring
from secagg.errors import ProtocolViolation


class Product:
    """The running product of uploads of `count` ciphertexts."""

    def __init__(self, ring: Ring, count: int, executor: Executor | None = None) -> None:
        self._ring, self._count, self._executor = ring, count, executor
        self._held: list[mpz] = []
        self.factors = 0

    def multiply(self, upload: bytes | memoryview) -> None:
        """Multiply an upload in; a refused one changes nothing.

        Raises: ProtocolViolation (paillier.length, paillier.range).
        """
        if len(upload) != self._count * self._ring.width:
            raise ProtocolViolation(
                f"An upload has {len(upload)} bytes, not {self._count * self._ring.width}.", "Refuse its sender.",
                rule="paillier.length",
            )  # fmt: skip
        read = self._ring.read(upload)
        if self.factors:
            pairs = list(zip(self._held, read, strict=True))
            self._held = over_blocks(self._work, pairs, self._executor, 256)
        else:
            self._held = read
        self.factors += 1

    def _work(self, pairs: Sequence[tuple[mpz, mpz]]) -> list[mpz]:
        modulus = self._ring.cipher
        return [held * one % modulus for held, one in pairs]

    def close(self) -> list[mpz]:
        """Return the product.

        Raises: ProtocolViolation when nothing was multiplied (paillier.empty) or a factor of the modulus is in it
        (paillier.gcd).
        """
        if not self.factors:
            raise ProtocolViolation("A product of nothing.", "Wait for uploads.", rule="paillier.empty")
        self._ring.check_units(self._held)
        return self._held


def offender(ring: Ring, uploads: Iterable[tuple[str, Callable[[], bytes]]]) -> str | None:
    """Return the first sender whose upload has a ciphertext that shares a factor with the modulus."""
    for sender, upload in uploads:
        try:
            ring.check_units(ring.read(upload()))
        except ProtocolViolation:
            return sender
    return None
