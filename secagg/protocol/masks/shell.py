"""What the aggregator's shell asks of engine `masks` beside its transitions: uploads, their sum, what a phase means.

Rules: every engine has a module of this name with these functions; a shell asks it and knows no engine. Uploads are
verified before their headers count, and added as they arrive: the running sum is O(d).
Leaves to others: the transitions (aggregator.py), storing and timers (aggregator.rounds, aggregator.uploads).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from secagg.errors import ProtocolViolation
from secagg.protocol import lanes
from secagg.protocol.binding import Bound
from secagg.protocol.lanes import Groups, check_canaries, upload_root
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import aggregator, intake, judging
from secagg.protocol.masks.aggregator import Turned
from secagg.protocol.masks.fitting import bounds_of
from secagg.protocol.masks.masking import WORKERS
from secagg.protocol.masks.messages import AdvertiseKeys, MaskedInput
from secagg.protocol.masks.recovery import recover, unmask
from secagg.protocol.masks.rounds import (
    Advertising,
    Freezing,
    Judged,
    Judging,
    Opening,
    Phase,
    Unmask,
    Unmasked,
    Unmasking,
    Uploading,
)
from secagg.protocol.masks.verify import answered
from secagg.protocol.round import stating
from secagg.protocol.round.events import Append, FromNode
from secagg.protocol.round.phases import Common, Failed
from secagg.wire.codec import decode
from secagg.wire.signed import Signed

PHASE = Phase
UPLOAD = "MaskedInput"
OPENING = "Unmask"

start, advance = aggregator.start, aggregator.advance
step_of, waiting_for = aggregator.step_of, aggregator.waiting_for


def waits(phase: object) -> bool:
    """Say whether a phase waits for messages, and has a deadline."""
    return isinstance(phase, intake.Collecting)


def proposes(phase: object) -> bool:
    """Say whether a proposal may be repeated in this phase."""
    return isinstance(phase, Advertising)


def uploads(phase: object) -> bool:
    """Say whether uploads are taken in this phase."""
    return isinstance(phase, Uploading)


def works(phase: object) -> bool:
    """Say whether a phase waits for `open_sum`."""
    return isinstance(phase, Unmasking)


def frozen(phase: object) -> bytes | None:
    """Return the list of the headers whose uploads are now fixed, when this is the phase that fixes them."""
    return phase.u3 if isinstance(phase, Freezing) else None


def agreed(phase: object) -> tuple[bytes, bytes, tuple[Signed, ...]] | None:
    """Return U2, U3 and who agreed to both, once enough did."""
    return (phase.u2, phase.u3, phase.agreements) if isinstance(phase, Opening) else None


def bounds(listed: bytes) -> dict[str, Bound]:
    """Return what every header in a list of verified ones says of its input, by member."""
    return bounds_of(listed)


def opened(manifest: Manifest, names: tuple[str, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
    """Return whose inputs may have been summed when a round is lost in its last step: who answered."""
    return answered(manifest, names, missing)


def uploaded(phase: Uploading) -> tuple[str, ...]:
    """Return whose uploads count already."""
    return intake.received(phase)


def check_header(phase: Uploading, event: FromNode) -> None:
    """Check a header before its upload is looked at. Raises: ProtocolViolation."""
    intake.masked_input(phase, event)


def claimed_size(event: FromNode) -> int | None:
    """Return the size of the log checkpoint that a message says its sender holds, if it says so."""
    if event.kind != "AdvertiseKeys":
        return None
    return decode(AdvertiseKeys, decode(Signed, event.data).body).log_size


def judges(phase: object) -> bool:
    """Say whether a phase waits for `judge`."""
    return isinstance(phase, Judging)


def judge(phase: Judging) -> Judged:
    """Hold the answers against what was signed of them; runs beside the loop."""
    return judging.judge(phase)


def failed(phase: Common, reason: str, now: int) -> Turned:
    """Return the end of a round whose sum cannot be opened."""
    statement = stating.aborted(phase.scope, OPENING, reason, phase.out, now)
    return Turned(Failed(phase.scope, OPENING, reason, phase.out), (Append(statement),))


def upload_bytes(manifest: Manifest) -> int:
    """Return the length of an upload in bytes."""
    return lanes.upload_bytes(manifest)


def verify(phase: Uploading, member: str, header: Signed, data: bytes) -> None:
    """Hold a whole upload against its header. Raises: ProtocolViolation."""
    check_name(phase.manifest, member, decode(MaskedInput, header.body).upload, data)


def check_name(manifest: Manifest, member: str, name: bytes, data: bytes) -> None:
    """Hold the bytes of an upload against the name it is kept under, its Merkle root. Raises: ProtocolViolation."""
    if len(data) != upload_bytes(manifest) or upload_root(manifest, data) != name:
        raise ProtocolViolation(f"The upload of {member} has another root than its header.", rule="upload.root")


def chunk_hash(manifest: Manifest, body: bytes) -> bytes:
    """Return the hash that names a chunk of an upload."""
    return lanes.chunk_hash(manifest, body)


def words(manifest: Manifest, data: bytes) -> tuple[Manifest, bytes]:
    """Return what `accumulate` adds of one upload."""
    return manifest, data


def accumulate(sums: dict[str, Any], found: tuple[Manifest, bytes]) -> None:
    """Add one upload to the running sum in place. Raises: ProtocolViolation when its form differs."""
    lanes.accumulate(found[0], sums, found[1])


def open_sum(
    phase: Unmasking, sums: dict[str, Any], file: Callable[[str], bytes], asked: Unmask | None = None
) -> Unmasked:
    """Remove the masks from the sum of exactly the frozen uploads; its canaries are checked before anybody sees it.

    `asked` is the effect that asked for it; after a restart there is none, and the secrets are recovered again.

    Raises: ProtocolViolation when a canary is wrong.
    """
    proof = asked.evidence if asked else intake.evidence(phase)
    recovered = asked.recovered if asked else recover(proof)
    with ThreadPoolExecutor(WORKERS) as workers:
        unmask(sums, proof, recovered, workers)
    check_canaries(phase.manifest, sums, len(proof.u3))
    return Unmasked(cast(Groups, sums))


def list_of(phase: Unmasking) -> bytes:
    """Return the list of the headers whose sum is opened."""
    return phase.u3
