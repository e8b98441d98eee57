"""What the aggregator's shell asks of engine `paillier` beside its transitions; as masks/shell.py does for `masks`.

Rules: an upload counts once its proof of knowledge holds. The running product is one vector. Answers of trustees are
side files, read when they are put together.
Leaves to others: the transitions (aggregator.py), storing and timers (aggregator.rounds, aggregator.uploads).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.product import Product
from secagg.errors import ProtocolViolation
from secagg.protocol.binding import Bound
from secagg.protocol.custody import custody_of
from secagg.protocol.engine import Phase as AnyPhase
from secagg.protocol.lanes import decode_sums
from secagg.protocol.manifest import Manifest
from secagg.protocol.paillier import aggregator, intake
from secagg.protocol.paillier.accepting import check_upload
from secagg.protocol.paillier.aggregator import Turned
from secagg.protocol.paillier.bound import bounds_of
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import Attend, EncryptedInput
from secagg.protocol.paillier.opening import open_sum as open_product
from secagg.protocol.paillier.opening import read_answer
from secagg.protocol.paillier.rounds import (
    Collecting,
    Combined,
    Freezing,
    Opening,
    Phase,
    Waiting,
    Witnessing,
    complete,
)
from secagg.protocol.round.aggregating import lose
from secagg.protocol.round.aggregating import start as start
from secagg.protocol.round.asked import Running, Stage
from secagg.protocol.round.events import Effect, Event, FromNode
from secagg.protocol.round.lists import senders
from secagg.protocol.round.parties import AggregatorContext
from secagg.protocol.round.phases import Common, within
from secagg.wire.codec import decode
from secagg.wire.signed import Signed

WHOLE = 2**40
UPLOAD = "EncryptedInput"
OPENING = "Decrypt"
WORKERS = 2


def read(data: bytes) -> Phase:
    """Return an encoded phase. Raises: WireError."""
    return decode(cast(type[Phase], Phase), data, WHOLE)


def advance(phase: AnyPhase, event: Event, ctx: AggregatorContext) -> Turned:
    """Take one event in one phase. Raises: ProtocolViolation; the phase is then unchanged."""
    return aggregator.advance(cast(Phase, phase), event, ctx)


def stage(phase: AnyPhase) -> Stage:
    """Return what a phase means."""
    match phase:
        case Collecting():
            return Stage.WAITS | Stage.PROPOSES | Stage.GATHERS
        case Witnessing():
            return Stage.WAITS
        case Opening():
            return Stage.WAITS | (Stage.OPENS if phase.trying else Stage.NOTHING)
        case _:
            return Stage.NOTHING


def step_of(phase: Common) -> str:
    """Return the name of the step that a waiting phase belongs to."""
    return aggregator.step_of(cast(Waiting, phase))


def waiting_for(phase: Common) -> tuple[str, ...]:
    """Return whose message a waiting phase still lacks."""
    return aggregator.waiting_for(cast(Waiting, phase))


def frozen(phase: AnyPhase) -> bytes | None:
    """Return the list of the headers whose uploads are now fixed, when this is the phase that fixes them."""
    return phase.u if isinstance(phase, Freezing) else None


def entrusted(phase: AnyPhase) -> bytes:
    """Return the list of the headers whose uploads trustees may fetch now."""
    return phase.u if isinstance(phase, Freezing | Witnessing | Opening) else b""


def agreed(phase: AnyPhase) -> tuple[bytes, bytes, tuple[Signed, ...]] | None:
    """Return nothing, U and which trustees agreed to it, once enough did."""
    return (b"", phase.u, phase.agreements) if isinstance(phase, Opening) else None


def bounds(listed: bytes) -> dict[str, Bound]:
    """Return what every header in a list of verified ones says of its input, by member."""
    return bounds_of(listed)


def opened(manifest: Manifest, names: tuple[str, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
    """Return whose inputs may have been summed when a round is lost in its last step: all, once a trustee answered.

    It decided to open this set and never opens these inputs over another one, whatever members' ledgers say.
    """
    return () if set(custody_of(manifest).names()) <= set(missing) else names


def uploaded(phase: Common) -> tuple[str, ...]:
    """Return whose uploads count already."""
    return tuple(entry.sender for entry in within(phase, Collecting).headers)


def check_header(phase: Common, event: FromNode) -> None:
    """Check a header before its upload is looked at. Raises: ProtocolViolation."""
    intake.encrypted_input(within(phase, Collecting), event)


def shown(phase: Common, event: FromNode) -> bytes:
    """Return the checkpoint that a message in this phase proves its sender to hold; nothing when none."""
    return phase.checkpoint if isinstance(phase, Witnessing | Opening) and event.kind == "Witness" else b""


def judge(phase: Common) -> Event:
    """Trustees prove their answers one by one (opening.py), so that no phase waits for this."""
    raise ProtocolViolation("No phase of this engine is judged.", rule="phase.message")


def claimed_size(event: FromNode) -> int | None:
    """Return the size of the log checkpoint that a message says its sender holds, if it says so."""
    return decode(Attend, decode(Signed, event.data).body).log_size if event.kind == "Attend" else None


def failed(phase: Common, reason: str, now: int) -> Turned:
    """Return the end of a round whose sum cannot be opened."""
    return lose(phase, OPENING, reason, now)


def upload_bytes(manifest: Manifest) -> int:
    """Return the length of an upload in bytes."""
    return Layout(manifest).upload_bytes


def verify(phase: Common, member: str, header: Signed, data: bytes) -> None:
    """Hold a whole upload against its header and its proof.

    Raises: ProtocolViolation.
    """
    body = decode(EncryptedInput, header.body)
    with ThreadPoolExecutor(WORKERS) as workers:
        check_upload(Layout(phase.manifest), phase.scope, member, body, data, workers)


def check_name(manifest: Manifest, member: str, name: bytes, data: bytes) -> None:
    """Hold the bytes of an upload against the name it is kept under, its SHA-256. Raises: ProtocolViolation."""
    if sha256(data) != name:
        raise ProtocolViolation(f"The kept upload of {member} is damaged.", "Check the disk.", rule="upload.digest")


def chunk_hash(manifest: Manifest, body: bytes) -> bytes:
    """Return the hash that names a chunk of an upload."""
    return sha256(body)


class Ciphertexts:
    """The product of ciphertexts."""

    def __init__(self, manifest: Manifest) -> None:
        layout = Layout(manifest)
        self.product = Product(layout.ring, layout.ciphertexts)

    def add(self, data: bytes | memoryview) -> None:
        """Multiply one upload in. Raises: ProtocolViolation when it is not as it was verified."""
        self.product.multiply(data)


def running(manifest: Manifest) -> Ciphertexts:
    """Return the product of no uploads yet."""
    return Ciphertexts(manifest)


def open_sum(
    phase: Common, sums: Running, file: Callable[[str], bytes], asked: Effect | None = None
) -> Event:
    """Put the answers of `phase.trying` (side files by digest) together over the product of the frozen uploads.

    The effect that asked for it (`asked`) brings nothing that the phase has not.

    Raises: ProtocolViolation when the sum is not one of honest members, or a canary is wrong.
    """
    phase, made = within(phase, Opening), within(sums, Ciphertexts)
    answers = {
        name: read_answer([file(piece.digest.hex()) for piece in pieces])
        for name, pieces in complete(phase.answers).items()
        if name in phase.trying
    }
    names, products = senders(phase.u), made.product.close()
    with ThreadPoolExecutor(WORKERS) as workers:
        opened = open_product(phase.manifest, phase.scope, names, sha256(phase.u), products, answers, workers)
    if opened.used:
        decode_sums(phase.manifest, opened.groups, len(names))
    return Combined(opened.groups, opened.used, opened.wrong)


def list_of(phase: Common) -> bytes:
    """Return the list of the headers whose sum is opened."""
    return within(phase, Opening).u
