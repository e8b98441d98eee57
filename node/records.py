"""What a node keeps in its journal besides its ledger: jobs, the round it is in, and the upload on its way.

Rules: a struct per value, encoded completely. What holds secrets (the phase) lies sealed under the round's data key. A
job's name means one signed job for ever. Leaves to others: what follows from them (node.jobs, node.rounds).
"""

from msgspec import Struct
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.daemon import lies
from secagg.daemon.turn import Turn
from secagg.ids import NO_DIGEST, Count, Digest, Ordinal, RoundId
from secagg.protocol.manifest import JobSpec
from secagg.protocol.session import ResultNotice
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope

WHOLE = 2**40
"""Limit for values that this daemon wrote itself."""

ACTIVE = "active"


class Job(Struct, frozen=True, forbid_unknown_fields=True):
    """A job this node was told of: `next_round` comes next, `model` is the blob of the model it starts from.

    `body` is the SHA-256 of the signed job's bytes. `model_digest` of the model's values. `ready` once the model is
    here and was checked by this process. `published` is what a sum job gave last (the blob of its `Published`). `owed`
    is a round whose result came with a proof from another checkpoint than this node's, and has to come again. `given`
    names the tensors of the model when this node computed them from published sums. Zeros while the model is one that
    was handed out, which a lost first round leaves it. `skipped` once a round passed that the policy refused. `state`
    is the blob of what the algorithm keeps between rounds, zeros while that is nothing.
    """

    spec: JobSpec
    body: Digest
    next_round: Ordinal = 1
    model: Digest = NO_DIGEST
    model_digest: Digest = NO_DIGEST
    ready: bool = False
    published: Digest = NO_DIGEST
    awaited: ResultNotice | None = None
    evaluated: bool = False
    owed: Count = 0
    given: Digest = NO_DIGEST
    skipped: bool = False
    state: Digest = NO_DIGEST
    state_digest: Digest = NO_DIGEST

    @property
    def over(self) -> bool:
        """Say whether every round is behind this node."""
        return self.next_round > self.spec.rounds


class Round(Struct, frozen=True, forbid_unknown_fields=True):
    """The round this node is in: its scope, its manifest, its phase sealed, and its first answer, to be repeated.

    `since` is when the phase began, `until` when the round ends by itself (wall time, for people only).
    """

    scope: Scope
    sealed: bytes
    answer: bytes = b""
    manifest: bytes = b""
    since: Count = 0
    until: Count = 0
    engine: str = "masks"


class Upload(Struct, frozen=True, forbid_unknown_fields=True):
    """An upload on its way: its blob (named by its Merkle root), its length and chunk size in bytes, and the hash of
    every chunk. It also says which of them the aggregator holds.
    """

    scope: Scope
    blob: Digest
    total: Count
    size: Count
    chunks: tuple[Digest, ...]
    stored: tuple[Count, ...] = ()


class Refusal(Struct, frozen=True, forbid_unknown_fields=True):
    """A round this node left, or never entered, and by which of its rules."""

    round: RoundId
    rule: str
    cause: str
    remedy: str


def put_job(turn: Turn, job: Job, **changes: object) -> Job:
    """Keep a job with these changes and return it."""
    changed: Job = replace(job, **changes)
    turn.put(f"job/{job.spec.name}", encode(changed))
    return changed


def find_job(turn: Turn, name: str) -> Job | None:
    """Return the job of this name, if this node was told of it."""
    kept = turn.get(f"job/{name}")
    return decode(Job, kept, WHOLE) if kept else None


def all_jobs(turn: Turn) -> list[Job]:
    """Return every job this node was told of, in order of names."""
    return [decode(Job, kept, WHOLE) for _, kept in turn.scan("job/")]


def blobs_in_use(turn: Turn, but: str = "") -> set[bytes]:
    """Return the blobs that jobs (all, or all `but` one), the upload on its way and evidence need."""
    jobs, upload = [job for job in all_jobs(turn) if job.spec.name != but], find_upload(turn)
    found = {digest for job in jobs for digest in (job.model, job.state, job.published)}
    found |= {job.awaited.published for job in jobs if job.awaited}
    found |= lies.kept(turn)
    return found | ({upload.blob} if upload else set())


def active(turn: Turn) -> Job | None:
    """Return the job that was announced last."""
    kept = turn.get(ACTIVE)
    return find_job(turn, kept.decode()) if kept else None


def put_round(turn: Turn, round: Round) -> None:
    """Keep the round this node is in."""
    turn.put("round", encode(round))


def find_round(turn: Turn) -> Round | None:
    """Return the round this node is in."""
    kept = turn.get("round")
    return decode(Round, kept, WHOLE) if kept else None


def put_upload(turn: Turn, upload: Upload) -> None:
    """Keep the upload on its way."""
    turn.put("upload", encode(upload))


def find_upload(turn: Turn) -> Upload | None:
    """Return the upload on its way."""
    kept = turn.get("upload")
    return decode(Upload, kept, WHOLE) if kept else None


def put_since(turn: Turn) -> None:
    """Keep that from now on this node waits for something else than before, outside of rounds."""
    turn.put("since", str(turn.now()).encode())


def find_since(turn: Turn) -> int:
    """Return since when (wall time) this node has waited for the same thing, outside of rounds."""
    return int(turn.get("since") or b"0")


def put_refusal(turn: Turn, refusal: Refusal) -> None:
    """Keep the last refusal, for whoever asks this node."""
    turn.put("refusal", encode(refusal))


def find_refusal(turn: Turn) -> Refusal | None:
    """Return the last refusal."""
    kept = turn.get("refusal")
    return decode(Refusal, kept, WHOLE) if kept else None


def put_told(turn: Turn, round_id: RoundId) -> None:
    """Keep that others were told that this institution's task failed in a round."""
    turn.put(f"told/{round_id.job}/{round_id.round}", b"")


def find_told(turn: Turn, round_id: RoundId) -> bool:
    """Say whether others were told that this institution's task failed in a round."""
    return turn.get(f"told/{round_id.job}/{round_id.round}") is not None


def put_proven(turn: Turn, job: str, key: bytes) -> None:
    """Keep that the member with this signing key is proven to have cheated in a job."""
    turn.put(f"proven/{job}/{key.hex()}", b"")


def find_proven(turn: Turn, job: str) -> frozenset[bytes]:
    """Return the signing keys of the members that are proven to have cheated in a job."""
    return frozenset(bytes.fromhex(key.rpartition("/")[2]) for key, _ in turn.scan(f"proven/{job}/"))


def put_moduli(turn: Turn, moduli: tuple[bytes, ...]) -> None:
    """Keep the moduli that this node encrypts to: a later key may share no factor with one of them."""
    for modulus in moduli:
        turn.put(f"modulus/{sha256(modulus).hex()}", modulus)


def find_moduli(turn: Turn) -> tuple[bytes, ...]:
    """Return the moduli that this node has encrypted to."""
    return tuple(modulus for _, modulus in turn.scan("modulus/"))
