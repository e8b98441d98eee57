"""What nodes and the aggregator say to each other around rounds: presence, jobs, results, and blobs by digest.

Rules: a round's messages travel as kind `round` with a `RoundHeader`. Updates as kind `chunk` with a signed
`ChunkHeader`. Anything larger than a message is fetched in pieces by its digest, so a receiver knows what it gets
before it gets it. A result is believed only with its log entry and proof (protocol §6.4).
Leaves to others: who sends when (node.service, aggregator.service).
"""

from typing import Annotated

from msgspec import Meta, Struct

from secagg.ids import NO_DIGEST, Count, Digest, Ordinal, RoundId, Word
from secagg.log.witness import LogProof
from secagg.protocol.binding import UNKNOWN, Bound
from secagg.protocol.manifest import JobSpec
from secagg.wire.signed import Scope, Signed

PIECE = 524_288
"""Bytes of a fetched piece."""

LOST_STEPS = frozenset({"Unmask", "Decrypt"})
"""An abort in one of these may follow an opening: the round is lost, and the next one starts from the same model."""


def job_scope(spec: JobSpec) -> Scope:
    """Return the slot in which the aggregator signs a job (kind `JobSpec`, receiver `*`): its first round, no manifest.

    `Announce.spec` is signed in it; `JobCreated.spec` is the SHA-256 of that encoded `Signed`, `Manifest.job_digest`
    the SHA-256 of its body.
    """
    return Scope(round=RoundId(federation=spec.federation, job=spec.name, round=1), manifest=NO_DIGEST)


class UploadName(Struct, frozen=True):
    """What the headers of all engines say of an upload; the engine judges what else they say."""

    length: Count
    upload: Digest


class Present(Struct, frozen=True, forbid_unknown_fields=True):
    """Node, trustee → aggregator, kind `present`, every two seconds while it waits: I am here and hold this checkpoint.

    Also sent at once when one of these fields changes, so that the next round need not wait. `job` and `next_round` say
    what a node needs to catch up with ("" and 1 when it knows no job). Of a trustee they say which round it decided to
    open and heard no end of ("" and 1 when there is none). `proven`: of how many members' faults in this job it has
    proofs. `changing_sets` and `exact_counts` are what the policy of a node says, so that an operator can be told which
    jobs it would refuse.
    """

    log_size: Count
    job: Word = ""
    next_round: Ordinal = 1
    bound: Bound = UNKNOWN
    proven: Count = 0
    changing_sets: bool = False
    exact_counts: bool = False


class Announce(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node, kind `announce`: a signed job (kind `JobSpec`), its log entry, and where the model is.

    `model` is the SHA-256 of the safetensors file that `fetch` returns.
    """

    spec: Signed
    leaf: bytes
    proof: LogProof
    model: Digest = NO_DIGEST


class RoundHeader(Struct, frozen=True, forbid_unknown_fields=True):
    """Header of kind `round`: which round and which message (a kind that the engine has) the body is."""

    round: RoundId
    kind: Annotated[str, Meta(pattern=r"\A[A-Za-z]{1,32}\Z")]


class ResultNotice(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node, trustee, kind `result`: a published result; `published` is the SHA-256 of the `Published`.

    A trustee is told that there is one, with its log entry; what it is, is zeros to it.
    """

    round: RoundId
    published: Digest
    length: Count
    salt: Digest
    leaf: bytes
    proof: LogProof


class AbortNotice(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node, trustee, kind `aborted`: the logged `Aborted` of an attempt; all that it says is in the entry.

    `words` are trustees' signed `Ended`s of exactly this attempt, for nodes, where trustees open.
    """

    round: RoundId
    leaf: bytes
    proof: LogProof
    words: tuple[Signed, ...] = ()


class AskRound(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → aggregator, kind `ask-round`: how did this attempt end, proven from a log of this size."""

    round: RoundId
    log_size: Count


class FrozenNotice(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node, kind `frozen`: the set of an attempt that has a result, and who agreed to it.

    `manifest` as it was proposed. `leaf` and `proof` of its `Contributors`. `before` and `frozen` are the lists U2 and
    U3, or nothing and U where trustees open. `agreements` of members to both, or of trustees to U.
    """

    round: RoundId
    manifest: Signed
    leaf: bytes
    proof: LogProof
    before: bytes
    frozen: bytes
    agreements: tuple[Signed, ...]


class SpotRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → aggregator, kind `spot`: hand out part `part` of what a spot check of these leaves needs.

    Travels signed (kind `SpotRequest`, receiver the aggregator, scope of the round). Every part is sealed to `key`,
    which is of this check alone, so that nobody on the way collects what opens a round.
    """

    round: RoundId
    key: Annotated[bytes, Meta(min_length=1216, max_length=1216)]
    indexes: Annotated[tuple[Count, ...], Meta(max_length=64)]
    part: Count


class SpotPart(Struct, frozen=True, forbid_unknown_fields=True):
    """Header of kind `spot-part`: which of `parts`. The first `pieces` are the transcript, the others leaves of as many
    members each as fit a message, in the order of U3."""

    round: RoundId
    part: Count
    parts: Count
    pieces: Count


class Fetch(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → aggregator, kind `fetch`: send piece `index` of the blob with this SHA-256."""

    digest: Digest
    index: Count


class PieceHeader(Struct, frozen=True, forbid_unknown_fields=True):
    """Header of kind `piece`: which piece of which blob, and the blob's length in bytes."""

    digest: Digest
    index: Count
    total: Count
