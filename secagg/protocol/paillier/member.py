"""What a node's shell asks of engine `paillier` beside its transitions; as masks/member.py does for `masks`.

Rules: the table of powers is saved per key and kept for the next round; its size follows from what is free and from how
many ciphertexts an upload has, because a large table takes longer to build than a small model to encrypt.
Leaves to others: the transitions (node.py), training, storing and sending (node.rounds, node.work).
"""

from concurrent.futures import Executor
from pathlib import Path
from threading import Lock

from secagg.crypto.paillier.encrypt import Obfuscators, obfuscate
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table, affordable, memory, table_at
from secagg.crypto.rng import Rng
from secagg.protocol.custody import custody_of
from secagg.protocol.lanes import Contribution, words_of
from secagg.protocol.manifest import Manifest
from secagg.protocol.paillier import node
from secagg.protocol.paillier.door import public_key
from secagg.protocol.paillier.encrypting import protect as encrypt
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.phases import Encrypted, Encrypting, NodePhase

PHASE = NodePhase
FIRST = ""
"""A proposal is answered by the upload alone."""

ROUNDS = 8
"""Rounds over which building a table should pay."""

start, advance = node.start, node.advance


def moduli(manifest: Manifest) -> tuple[bytes, ...]:
    """Return the moduli of the keys that a manifest has encrypted to."""
    return (public_key(custody_of(manifest)).modulus,)


def joined(phase: object) -> bool:
    """Say whether a phase answered the proposal and nothing else."""
    return isinstance(phase, Encrypting)


def trains(phase: object) -> bool:
    """Say whether the node's words are still wanted in this phase."""
    return isinstance(phase, Encrypting)


def ready(phase: object) -> bool:
    """Say whether the node's words can be protected in this phase."""
    return isinstance(phase, Encrypting)


def prepare(phase: Encrypting, me: str, rng: Rng, tables: Path, executor: Executor) -> Obfuscators:
    """Make the obfuscators of one upload while the model trains; they live in memory only, so none is used twice."""
    layout = Layout(phase.manifest)
    window = min(12, max(4, (ROUNDS * layout.ciphertexts).bit_length()))
    return obfuscate(_KEPT.of(layout.ring, window, tables, executor), layout.ciphertexts, rng, executor)


def protect(
    phase: Encrypting, me: str, given: Contribution, rng: Rng, tables: Path, executor: Executor,
    warm: bytearray | None = None, prepared: Obfuscators | None = None,
) -> tuple[bytes | bytearray, Encrypted]:  # fmt: skip
    """Encrypt a contribution, with `prepared` obfuscators if there are; return the upload, and the event for `advance`.

    Raises: BadInput on NaN, or when a value does not fit its slot.
    """
    ready = prepared or prepare(phase, me, rng, tables, executor)
    return encrypt(phase, me, words_of(phase.manifest, given), lambda count: ready, rng)


class _Kept:
    """The table that was used last: a node encrypts to one key at a time."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._table: Table | None = None
        self._asked = 0

    def of(self, ring: Ring, window: int, tables: Path, executor: Executor) -> Table:
        """Return a table for a ring, of at most that window: the one at hand, else the saved one, else a new one."""
        with self._guard:
            if self._table is None or self._table.ring.digest != ring.digest or self._asked < window:
                tables.mkdir(mode=0o700, parents=True, exist_ok=True)
                budget = min(affordable(), memory(ring, window))
                self._table, self._asked = table_at(tables / ring.digest.hex(), ring, budget, executor), window
            return self._table


_KEPT = _Kept()
