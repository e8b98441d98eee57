"""A trustee in a round of any engine whose sums trustees open: who it is, what it knows, and the end of an attempt.

Rules (protocol §6.5): of an attempt whose logged end it has heard a trustee decides nothing any more, and says so once
and for all. What it decided before counts, and then it says nothing.
Leaves to others: what is legal in a round (each engine's opener), believing its word (each engine's ending.py).
"""

from dataclasses import dataclass

from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.errors import VerificationFailed
from secagg.ids import EVERYBODY, NO_DIGEST, RoundId
from secagg.log.checkpoint import Checkpoint
from secagg.log.statements import Aborted
from secagg.log.witness import LogProof
from secagg.log.witness import check as check_proof
from secagg.protocol.acceptance import KnownLog
from secagg.protocol.manifest import Seat
from secagg.protocol.memory import AttemptOver, Record, TrusteeMemory, Witnessed
from secagg.protocol.round.messages import Ended
from secagg.protocol.round.parties import stated_of
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, Signed, sign


@dataclass(frozen=True)
class TrusteeExpectation:
    """What a trustee knows before it reads a manifest.

    `seats` and `trustees` are all of the roster in force, `colluders` the federation's c. `keys` are the digests of the
    keys it accepted a share of, `directory` the last directory checkpoint it verified.
    """

    me: str
    federation: str
    aggregator: str
    aggregator_key: bytes
    log_origin: str
    directory_origin: str
    directory_key: bytes
    roster_version: int
    roster: bytes
    seats: tuple[Seat, ...]
    trustees: tuple[Seat, ...]
    colluders: int
    keys: tuple[bytes, ...]
    directory: Checkpoint | None = None


@dataclass(frozen=True)
class TrusteeContext:
    """Who this trustee is and what it knows: identity, randomness, memory, and what it expects of a manifest."""

    name: str
    key: SigningKey
    rng: Rng
    memory: TrusteeMemory
    expect: TrusteeExpectation
    now: int


@dataclass(frozen=True)
class Ending:
    """What a trustee makes of a logged `Aborted`: its word that the attempt is over for it, and what it has to
    remember. The word is None when it decided to open exactly this attempt before."""

    scope: Scope
    word: Signed | None
    records: tuple[Record, ...]


def end(leaf: bytes, proof: LogProof, round_id: RoundId, ctx: TrusteeContext) -> Ending:
    """Take a logged `Aborted` of an attempt, whether this trustee ever heard of it or not.

    Raises: VerificationFailed when it is none of this attempt, or not in the log that this trustee knows.
    """
    scope, seen = logged_end(leaf, proof, round_id, ctx.expect, ctx.memory.last(ctx.expect.log_origin))
    witnessed = Witnessed(origin=seen.origin, size=seen.size, root=seen.root)
    if any(entry.round == scope.round for entry in ctx.memory.opened()):
        return Ending(scope, None, (witnessed,))
    before = ctx.memory.over(scope.round, scope.manifest)
    if before is not None:
        return Ending(scope, before.word, (witnessed,))
    word = sign(ctx.key, "Ended", scope, ctx.name, EVERYBODY, encode(Ended()))
    return Ending(scope, word, (AttemptOver(scope.round, scope.manifest, word), witnessed))


def logged_end(
    leaf: bytes, proof: LogProof, round_id: RoundId, expect: KnownLog, last: Checkpoint | None
) -> tuple[Scope, Checkpoint]:
    """Check that the end of an attempt without a result is in the log (§6.5); return which attempt it is of."""
    statement = stated_of(leaf, expect, Aborted, Scope(round_id, NO_DIGEST))
    manifest = bytes.fromhex(statement.manifest)
    if len(manifest) != len(NO_DIGEST):
        raise VerificationFailed("The log entry names no manifest.", "Ask the operator for the log.")
    seen = check_proof(leaf, proof, expect.log_origin, expect.aggregator_key, last)
    return Scope(round_id, manifest), seen
