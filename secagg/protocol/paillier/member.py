"""What a node's shell asks of engine `paillier` beside its transitions; as masks/member.py does for `masks`.

Rules: the table of powers is saved per key and kept for the next round. Its size follows from what is free and from how
many ciphertexts an upload has. A large table takes longer to build than a small model to encrypt.
Leaves to others: the transitions (node.py), training, storing and sending (node.rounds, node.work).
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from threading import Lock
from typing import cast

from msgspec.structs import replace

from secagg.crypto.paillier.encrypt import Obfuscators, obfuscate
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table, affordable, memory, table_at
from secagg.crypto.rng import Rng
from secagg.ids import NO_DIGEST
from secagg.protocol.custody import custody_of
from secagg.protocol.inputs import Given
from secagg.protocol.lanes import Contribution, words_of
from secagg.protocol.manifest import Manifest
from secagg.protocol.paillier import node
from secagg.protocol.paillier.door import public_key
from secagg.protocol.paillier.encrypting import protect as encrypt
from secagg.protocol.paillier.ending import check_frozen as check_frozen
from secagg.protocol.paillier.ending import check_words as check_words
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.phases import Encrypted, Encrypting, NodePhase, Uploaded
from secagg.protocol.round.asked import Named, Stage
from secagg.protocol.round.parties import NodeContext
from secagg.protocol.round.phases import within
from secagg.wire.codec import decode
from secagg.wire.signed import Signed

WHOLE = 2**40
ANSWERS: Mapping[str, str] = {"Propose": "EncryptedInput"}
FIRST = ""
"""A proposal is answered by the upload alone."""

ROUNDS = 8
"""Rounds over which building a table should pay."""

start = node.start


def read(data: bytes) -> NodePhase:
    """Return an encoded phase. Raises: WireError."""
    return decode(cast(type[NodePhase], NodePhase), data, WHOLE)


def advance(phase: object, event: object, ctx: NodeContext) -> node.Step:
    """Take one event in one phase. Raises: ProtocolViolation; the phase is then unchanged."""
    return node.advance(cast(NodePhase, phase), cast(Signed | Encrypted, event), ctx)


def stage(phase: object) -> Stage:
    """Return what a phase means."""
    return Stage.JOINED | Stage.TRAINS | Stage.READY if isinstance(phase, Encrypting) else Stage.NOTHING


def awaited(phase: object) -> str:
    """Return what a member waits for in a phase, for people."""
    return "the frozen list of uploads" if isinstance(phase, Uploaded) else "the end of the round"


def agreed(phase: object) -> bytes:
    """Return zeros: members see no frozen list here."""
    return NO_DIGEST


def moduli(manifest: Manifest) -> tuple[bytes, ...]:
    """Return the moduli of the keys that a manifest has encrypted to."""
    return (public_key(custody_of(manifest)).modulus,)


def prepare(phase: object, me: str, rng: Rng, tables: Path, executor: Executor) -> Obfuscators:
    """Make the obfuscators of one upload while the model trains; they live in memory only, so none is used twice."""
    layout = Layout(within(phase, Encrypting).manifest)
    window = min(12, max(4, (ROUNDS * layout.ciphertexts).bit_length()))
    return obfuscate(_KEPT.of(layout.ring, window, tables, executor), layout.ciphertexts, rng, executor)


def counted(done: Named, given: Given) -> Encrypted:
    """Return the event of a stored upload with what the node's ledger says of its input."""
    return replace(within(done, Encrypted), given=given)


def protect(
    phase: object, me: str, given: Contribution, rng: Rng, tables: Path, executor: Executor,
    warm: bytearray | None = None, prepared: object = None,
) -> tuple[bytes | bytearray, Encrypted]:  # fmt: skip
    """Encrypt a contribution, with `prepared` obfuscators if there are; return the upload, and the event for `advance`.

    Raises: BadInput on NaN, or when a value does not fit its slot.
    """
    found, ready = within(phase, Encrypting), prepared or prepare(phase, me, rng, tables, executor)
    made = within(ready, Obfuscators)
    return encrypt(found, me, words_of(found.manifest, given), lambda count: made, rng)


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
