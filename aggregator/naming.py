"""Members whose fault a round proved: out of the job's next rounds, and every member of the job is given the proof.

Rules (protocol §3): a named member keeps its seat in n, so that t and K_min stay, and is in no U1. It is not waited for
and what it says means nothing. The proof travels alone (kind `fault`), before the word of how the round ended, and
again to whoever says that it holds fewer of them. Leaves to others: proofs themselves (the engine).
"""

from collections.abc import Callable

from aggregator.desk import Desk
from aggregator.records import Job
from secagg.ids import NO_DIGEST
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.phases import Closed, Failed, Out
from secagg.protocol.session import Present

Sending = Callable[[str, str, bytes, bytes], object]
FIRST = "AdvertiseKeys"


def named(job: Job, phase: Closed | Failed) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    """Return the job's named members and the digests of the proofs, those of this round among them."""
    fresh = {entry.member: entry.proof for entry in phase.out if entry.proof != NO_DIGEST}
    added = {member: proof for member, proof in fresh.items() if member not in job.named}
    return (*job.named, *added), (*job.proofs, *added.values())


def invited(job: Job) -> tuple[str, ...]:
    """Return the cohort without its named members."""
    return tuple(member for member in job.spec.cohort if member not in job.named)


def left_out(job: Job) -> tuple[Out, ...]:
    """Return the named members as a round begins without them."""
    return tuple(Out(member, FIRST, "its fault in an earlier round is proven") for member in job.named)


def too_few(job: Job, manifest: Manifest) -> str:
    """Say why a job cannot go on without its named members, nothing when it can."""
    left = len(invited(job))
    if left >= manifest.needed:
        return ""
    return f"{left} members are left without those whose fault is proven, {manifest.needed} are needed"


def lacks(job: Job, member: str, said: Present) -> bool:
    """Say whether a member of this job that is not named holds fewer proofs than there are."""
    return said.job == job.spec.name and said.proven < len(job.proofs) and member in invited(job)


def tell(desk: Desk, job: Job, member: str, send: Sending) -> None:
    """Give a member every proof of the job."""
    for proof in job.proofs:
        send(member, "fault", b"", (desk.files / proof.hex()).read_bytes())
