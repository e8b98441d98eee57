"""Who takes part in a round, and how a party holds a proposed manifest against the log.

Rules (protocol §3 step 0): a manifest is in the log, in a checkpoint consistent with the last one that this party saw.
Leaves to others: what a manifest may say (acceptance.py), the steps of a round (each engine).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey, check_public
from secagg.crypto.sign import SigningKey
from secagg.errors import ProtocolViolation, Refused, VerificationFailed
from secagg.log.checkpoint import Checkpoint
from secagg.log.statements import ManifestLogged, OfRound, open_statement
from secagg.log.witness import check as check_proof
from secagg.protocol.acceptance import Expectation, KnownLog
from secagg.protocol.fitting import Known
from secagg.protocol.manifest import Manifest
from secagg.protocol.memory import Accepted, Memory, Record, Witnessed
from secagg.protocol.round.messages import Propose
from secagg.wire.signed import Scope

S = TypeVar("S")
R = TypeVar("R", bound=OfRound)


def logged_manifest(propose: Propose, scope: Scope, expect: Expectation, memory: Memory) -> Checkpoint:
    """Check that the manifest is in the log, in a checkpoint consistent with the node's last (§3 step 0)."""
    statement = statement_of(propose.leaf, expect, ManifestLogged)
    if statement.manifest != scope.manifest.hex() or _round_of(statement) != _round_of(scope.round):
        raise VerificationFailed("The log entry names another manifest.", "Ask the operator for the log.")
    last = memory.last(expect.log_origin)
    return check_proof(propose.leaf, propose.proof, expect.log_origin, expect.aggregator_key, last)


def entered(scope: Scope, seen: Checkpoint) -> tuple[Record, ...]:
    """Return what a party remembers of an attempt that it entered: that it did, and the checkpoint it was shown."""
    return (
        Accepted(round=scope.round, manifest=scope.manifest),
        Witnessed(origin=seen.origin, size=seen.size, root=seen.root),
    )


def opening_key(manifest: Manifest) -> None:
    """Check that answers can be sealed to the key in the manifest, before anything is done for the round."""
    try:
        check_public(manifest.opening_key)
    except ProtocolViolation:
        raise Refused("The manifest's opening_key is none.", "Leave the round.", rule="manifest.opening_key") from None


def statement_of(leaf: bytes, expect: KnownLog, kind: type[S]) -> S:
    """Return the aggregator's statement of a log entry. Raises: VerificationFailed when it is of another type."""

    def key_of(signer: str) -> bytes:
        if signer != expect.aggregator:
            raise VerificationFailed(f"{signer} signed a statement that is the aggregator's.", "Leave the round.")
        return expect.aggregator_key

    statement, _ = open_statement(leaf, key_of)
    if not isinstance(statement, kind):
        raise VerificationFailed("The log entry is of another type.", "Leave the round.")
    return statement


def stated_of(leaf: bytes, expect: KnownLog, kind: type[R], scope: Scope) -> R:
    """Return the aggregator's statement of a log entry about a round. Raises: VerificationFailed for another round."""
    statement = statement_of(leaf, expect, kind)
    if _round_of(statement) != _round_of(scope.round):
        raise VerificationFailed("The log entry is about another round.", "Leave the round.")
    return statement


def _round_of(value: object) -> tuple[object, ...]:
    return tuple(getattr(value, field) for field in ("federation", "job", "round", "attempt", "group"))


@dataclass(frozen=True)
class AggregatorContext:
    """Who the aggregator is: identity, randomness, the job's opening key and the wall clock of statements."""

    name: str
    key: SigningKey
    rng: Rng
    opening: SealingKey
    now: int
    known: Callable[[], Known] = Known
    """What is known beside the round of whom can be summed together; asked when a set is frozen."""


@dataclass(frozen=True)
class NodeContext:
    """Who this node is and what it knows: identity, randomness, memory, and what it expects of a manifest."""

    name: str
    key: SigningKey
    rng: Rng
    memory: Memory
    expect: Expectation
    now: int
    proven: frozenset[bytes] = frozenset()
    """Signing keys of members whose fault in this job is proven to this node."""
