"""What the aggregator's shell asks of engine `masks` beside its transitions: uploads, their sum, what a phase means.

Rules: every engine has a module of this name with these functions; a shell asks it and knows no engine. Uploads are
verified before their headers count, and added as they arrive: the running sum is O(d).
Leaves to others: the transitions (aggregator.py), storing and timers (aggregator.rounds, aggregator.uploads).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from secagg.errors import ProtocolViolation
from secagg.protocol import lanes
from secagg.protocol.binding import Bound
from secagg.protocol.engine import Phase as AnyPhase
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
    Agreeing,
    Drawing,
    Freezing,
    Judging,
    Opening,
    Phase,
    Sharing,
    Unmask,
    Unmasked,
    Unmasking,
    Uploading,
)
from secagg.protocol.masks.verify import answered
from secagg.protocol.round.aggregating import lose
from secagg.protocol.round.aggregating import start as start
from secagg.protocol.round.asked import Running, Stage
from secagg.protocol.round.events import Effect, Event, FromNode
from secagg.protocol.round.parties import AggregatorContext
from secagg.protocol.round.phases import Common, within
from secagg.wire.codec import decode
from secagg.wire.signed import Signed

WHOLE = 2**40
UPLOAD = "MaskedInput"
OPENING = "Unmask"

_STAGES: dict[type, Stage] = {
    Advertising: Stage.WAITS | Stage.PROPOSES,
    Drawing: Stage.WAITS,
    Sharing: Stage.WAITS,
    Uploading: Stage.WAITS | Stage.GATHERS,
    Agreeing: Stage.WAITS,
    Opening: Stage.WAITS,
    Judging: Stage.JUDGES,
    Unmasking: Stage.OPENS,
}


def read(data: bytes) -> Phase:
    """Return an encoded phase. Raises: WireError."""
    return decode(cast(type[Phase], Phase), data, WHOLE)


def advance(phase: AnyPhase, event: Event, ctx: AggregatorContext) -> Turned:
    """Take one event in one phase. Raises: ProtocolViolation; the phase is then unchanged."""
    return aggregator.advance(cast(Phase, phase), event, ctx)


def stage(phase: AnyPhase) -> Stage:
    """Return what a phase means."""
    return _STAGES.get(type(phase), Stage.NOTHING)


def step_of(phase: Common) -> str:
    """Return the name of the step that a waiting phase belongs to."""
    return aggregator.step_of(cast(intake.Collecting, phase))


def waiting_for(phase: Common) -> tuple[str, ...]:
    """Return whose message a waiting phase still lacks."""
    return aggregator.waiting_for(cast(intake.Collecting, phase))


def frozen(phase: AnyPhase) -> bytes | None:
    """Return the list of the headers whose uploads are now fixed, when this is the phase that fixes them."""
    return phase.u3 if isinstance(phase, Freezing) else None


def entrusted(phase: AnyPhase) -> bytes:
    """Return nothing: there are no trustees here."""
    return b""


def agreed(phase: AnyPhase) -> tuple[bytes, bytes, tuple[Signed, ...]] | None:
    """Return U2, U3 and who agreed to both, once enough did."""
    return (phase.u2, phase.u3, phase.agreements) if isinstance(phase, Opening) else None


def bounds(listed: bytes) -> dict[str, Bound]:
    """Return what every header in a list of verified ones says of its input, by member."""
    return bounds_of(listed)


def opened(manifest: Manifest, names: tuple[str, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
    """Return whose inputs may have been summed when a round is lost in its last step: who answered."""
    return answered(manifest, names, missing)


def uploaded(phase: Common) -> tuple[str, ...]:
    """Return whose uploads count already."""
    return intake.received(within(phase, Uploading))


def check_header(phase: Common, event: FromNode) -> None:
    """Check a header before its upload is looked at. Raises: ProtocolViolation."""
    intake.masked_input(within(phase, Uploading), event)


def claimed_size(event: FromNode) -> int | None:
    """Return the size of the log checkpoint that a message says its sender holds, if it says so."""
    if event.kind != "AdvertiseKeys":
        return None
    return decode(AdvertiseKeys, decode(Signed, event.data).body).log_size


def shown(phase: Common, event: FromNode) -> bytes:
    """Return the checkpoint that a message in this phase proves its sender to hold; nothing when none."""
    return phase.checkpoint if isinstance(phase, Agreeing) and event.kind == "ConsistencyCheck" else b""


def judge(phase: Common) -> Event:
    """Hold the answers against what was signed of them; runs beside the loop."""
    return judging.judge(within(phase, Judging))


def failed(phase: Common, reason: str, now: int) -> Turned:
    """Return the end of a round whose sum cannot be opened."""
    return lose(phase, OPENING, reason, now)


def upload_bytes(manifest: Manifest) -> int:
    """Return the length of an upload in bytes."""
    return lanes.upload_bytes(manifest)


def verify(phase: Common, member: str, header: Signed, data: bytes) -> None:
    """Hold a whole upload against its header. Raises: ProtocolViolation."""
    check_name(phase.manifest, member, decode(MaskedInput, header.body).upload, data)


def check_name(manifest: Manifest, member: str, name: bytes, data: bytes) -> None:
    """Hold the bytes of an upload against the name it is kept under, its Merkle root. Raises: ProtocolViolation."""
    if len(data) != upload_bytes(manifest) or upload_root(manifest, data) != name:
        raise ProtocolViolation(f"The upload of {member} has another root than its header.", rule="upload.root")


def chunk_hash(manifest: Manifest, body: bytes) -> bytes:
    """Return the hash that names a chunk of an upload."""
    return lanes.chunk_hash(manifest, body)


class Words:
    """The sum of masked words."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.groups: Groups = {}

    def add(self, data: bytes | memoryview) -> None:
        """Add one upload in place. Raises: ProtocolViolation when its form differs."""
        lanes.accumulate(self._manifest, self.groups, data)


def running(manifest: Manifest) -> Words:
    """Return the sum of no uploads yet."""
    return Words(manifest)


def open_sum(
    phase: Common, sums: Running, file: Callable[[str], bytes], asked: Effect | None = None
) -> Event:
    """Remove the masks from the sum of exactly the frozen uploads; its canaries are checked before anybody sees it.

    `asked` is the effect that asked for it; after a restart there is none, and the secrets are recovered again.

    Raises: ProtocolViolation when a canary is wrong.
    """
    found = asked if isinstance(asked, Unmask) else None
    proof = found.evidence if found else intake.evidence(within(phase, Unmasking))
    recovered = found.recovered if found else recover(proof)
    groups = within(sums, Words).groups
    with ThreadPoolExecutor(WORKERS) as workers:
        unmask(groups, proof, recovered, workers)
    check_canaries(phase.manifest, groups, len(proof.u3))
    return Unmasked(groups)


def list_of(phase: Common) -> bytes:
    """Return the list of the headers whose sum is opened."""
    return within(phase, Unmasking).u3
