"""The work on a frozen set that this trustee decided to open: fetch, verify and multiply every upload, then decrypt.

How to read it: `pursue` does the next thing for the oldest such round. An upload is fetched piece by piece, multiplied
in beside the loop and deleted, then the next. When none is left the product is decrypted in a process of its own.
Rules: what is fetched is named by the frozen, signed headers. The product is a cache in this process, made again after
a restart. Memory and disk are one upload and one product, however many members there are. Leaves to others: deciding,
and saying what came out (rounds). Source: docs/protocol.md §5, docs/threat-model.md rows 19, 31.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock

from keyserver.trustee import records
from keyserver.trustee.decrypting import decrypt
from secagg.crypto.secret import Secret
from secagg.daemon.blobs import Blobs
from secagg.daemon.fetching import Fetching
from secagg.daemon.participant import Round, all_rounds
from secagg.daemon.turn import Turn
from secagg.protocol import engines
from secagg.protocol.round.asked import Stage
from secagg.transport.link import Received

MULTIPLY, DECRYPT = "multiply", "decrypt"
ELSEWHERE = "elsewhere"
"""The outcome of work that was already being done."""

Decrypt = Callable[[str, object, str, bytes, Path, Secret], object]
"""How what was collected is decrypted with the share: as `decrypting.decrypt` does, in a process of its own."""


class _Product:
    """The product of one round as far as it is made.

    What is done beside the loop claims it first. So a turn that is rolled back has asked for nothing, and two that
    asked for the same thing do it once.
    """

    def __init__(self, kept: Round) -> None:
        self.label, self.engine, self.phase = kept.label, kept.engine, records.read(kept)
        self.collector = records.opener(kept).collect(self.phase)
        manifest = records.opener(kept).decided(self.phase).manifest
        self.limit = engines.load(kept.engine).sums.upload_bytes(manifest)
        self._lock = Lock()

    @property
    def busy(self) -> bool:
        """Say whether something is done to it now."""
        return self._lock.locked()

    def claim(self) -> bool:
        """Begin to do something to it; False when somebody else does."""
        return self._lock.acquire(blocking=False)

    def release(self) -> None:
        """End what `claim` began."""
        self._lock.release()


class Work:
    """One product at a time."""

    def __init__(self, name: str, blobs: Blobs, state_dir: Path, storage: Secret, decrypt: Decrypt = decrypt) -> None:
        self._name, self._blobs, self._state, self._storage = name, blobs, state_dir, storage
        self._apart = decrypt
        self._fetching = Fetching(blobs)
        self._product: _Product | None = None

    def pursue(self, aggregator: str, turn: Turn) -> None:
        """Do the next thing for the oldest round that is to be opened."""
        product = self._current(turn)
        if product is None or product.busy:
            return
        label, collector = product.label, product.collector
        for member, digest in collector.wanted().items():
            if not self._fetching.want(aggregator, digest, product.limit, turn):
                return
            turn.run(f"{MULTIPLY}/{label}/{member}", partial(self._multiply, product, member, digest))
            return
        turn.run(f"{DECRYPT}/{label}", partial(self._decrypt, product))

    def piece(self, message: Received, aggregator: str, turn: Turn) -> None:
        """Take a piece of an upload.

        Raises: ProtocolViolation, VerificationFailed when it is not what was asked for.
        """
        if self._fetching.piece(message, turn):
            self.pursue(aggregator, turn)

    def missing(self, label: str) -> tuple[str, ...]:
        """Return whose uploads are not multiplied in yet."""
        product = self._product
        return tuple(product.collector.wanted()) if product and product.label == label else ()

    def end(self, label: str, turn: Turn) -> None:
        """Let go of a round, and of what was fetched for it, also by an earlier start."""
        if self._product and self._product.label != label:
            return
        self._product = None
        self._fetching.stop(turn)
        self._blobs.sweep((), None)

    def sweep(self, turn: Turn) -> None:
        """Remove what a crash left: uploads are fetched again, but for one that is on its way."""
        opening = any(Stage.OPENS in records.stage(kept) for kept in all_rounds(turn))
        self._blobs.sweep((), "fetch-" if opening else None)

    def _current(self, turn: Turn) -> _Product | None:
        if self._product is None:
            for kept in all_rounds(turn):
                if Stage.OPENS in records.stage(kept):
                    self._product = _Product(kept)
                    break
        return self._product

    def _multiply(self, product: _Product, member: str, digest: bytes) -> object:
        if not product.claim():
            return ELSEWHERE
        try:
            if member in product.collector.wanted():
                product.collector.add(member, self._blobs.get(digest))
        finally:
            # Also a damaged one: it is fetched again, or never wanted again.
            self._blobs.delete(digest)
            product.release()
        return None

    def _decrypt(self, product: _Product) -> object:
        if not product.claim():
            return ELSEWHERE
        try:
            collected = product.collector.close()
            return self._apart(product.engine, product.phase, self._name, collected, self._state, self._storage)
        finally:
            product.release()
