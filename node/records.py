"""What a node keeps in its journal besides its ledger and its rounds: jobs, and the upload on its way.

Rules: a struct per value, encoded completely. A job's name means one signed job for ever.
Leaves to others: rounds (secagg.daemon.participant), what follows from them (node.jobs, node.rounds).
"""

from msgspec import Struct
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.daemon import lies
from secagg.daemon.participant import WHOLE, Round, all_rounds
from secagg.daemon.turn import Turn
from secagg.ids import NO_DIGEST, Count, Digest, Ordinal, RoundId
from secagg.protocol.manifest import JobSpec
from secagg.protocol.session import ResultNotice
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope

ACTIVE, _UPLOAD = "active", "upload/"


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


def current(turn: Turn) -> Round | None:
    """Return the round this node is in: one at a time."""
    return next(iter(all_rounds(turn)), None)


def put_upload(turn: Turn, upload: Upload) -> None:
    """Keep the upload on its way."""
    turn.put(_UPLOAD + upload.scope.round.label(), encode(upload))


def find_upload(turn: Turn) -> Upload | None:
    """Return the upload on its way: one at a time."""
    return next((decode(Upload, kept, WHOLE) for _, kept in turn.scan(_UPLOAD)), None)


def drop_upload(turn: Turn, upload: Upload) -> None:
    """Keep an upload no longer."""
    turn.delete(_UPLOAD + upload.scope.round.label())


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
