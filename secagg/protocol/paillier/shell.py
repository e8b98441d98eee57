"""What the aggregator's shell asks of engine `paillier` beside its transitions; as masks/shell.py does for `masks`.

Rules: an upload counts once its proof of knowledge holds; the running product is one vector; answers of trustees are
side files, read when they are put together.
Leaves to others: the transitions (aggregator.py), storing and timers (aggregator.rounds, aggregator.uploads).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.product import Product
from secagg.errors import ProtocolViolation
from secagg.protocol.binding import Bound
from secagg.protocol.custody import custody_of
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
from secagg.protocol.paillier.rounds import Collecting, Combined, Freezing, Opening, Phase, Waiting, complete
from secagg.protocol.round import stating
from secagg.protocol.round.events import Append, FromNode
from secagg.protocol.round.lists import senders
from secagg.protocol.round.phases import Common, Failed
from secagg.wire.codec import decode
from secagg.wire.signed import Signed

PHASE = Phase
UPLOAD = "EncryptedInput"
OPENING = "Decrypt"
WORKERS = 2

start, advance = aggregator.start, aggregator.advance
step_of, waiting_for = aggregator.step_of, aggregator.waiting_for


@dataclass(frozen=True)
class Ciphertexts:
    """One verified upload, to be multiplied in."""

    layout: Layout
    data: bytes


def waits(phase: object) -> bool:
    """Say whether a phase waits for messages, and has a deadline."""
    return isinstance(phase, Waiting)


def proposes(phase: object) -> bool:
    """Say whether a proposal may be repeated in this phase."""
    return isinstance(phase, Collecting)


def uploads(phase: object) -> bool:
    """Say whether uploads are taken in this phase."""
    return isinstance(phase, Collecting)


def judges(phase: object) -> bool:
    """Say whether a phase waits for `judge`: none, trustees prove their answers (opening.py)."""
    return False


def works(phase: object) -> bool:
    """Say whether a phase waits for `open_sum`."""
    return isinstance(phase, Opening) and bool(phase.trying)


def frozen(phase: object) -> bytes | None:
    """Return the list of the headers whose uploads are now fixed, when this is the phase that fixes them."""
    return phase.u if isinstance(phase, Freezing) else None


def agreed(phase: object) -> tuple[bytes, bytes, tuple[Signed, ...]] | None:
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


def uploaded(phase: Collecting) -> tuple[str, ...]:
    """Return whose uploads count already."""
    return tuple(entry.sender for entry in phase.headers)


def check_header(phase: Collecting, event: FromNode) -> None:
    """Check a header before its upload is looked at. Raises: ProtocolViolation."""
    intake.encrypted_input(phase, event)


def claimed_size(event: FromNode) -> int | None:
    """Return the size of the log checkpoint that a message says its sender holds, if it says so."""
    return decode(Attend, decode(Signed, event.data).body).log_size if event.kind == "Attend" else None


def failed(phase: Common, reason: str, now: int) -> Turned:
    """Return the end of a round whose sum cannot be opened."""
    statement = stating.aborted(phase.scope, OPENING, reason, phase.out, now)
    return Turned(Failed(phase.scope, OPENING, reason, phase.out), (Append(statement),))


def upload_bytes(manifest: Manifest) -> int:
    """Return the length of an upload in bytes."""
    return Layout(manifest).upload_bytes


def verify(phase: Collecting, member: str, header: Signed, data: bytes) -> None:
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


def words(manifest: Manifest, data: bytes) -> Ciphertexts:
    """Return what `accumulate` multiplies in of one upload."""
    return Ciphertexts(Layout(manifest), data)


def accumulate(sums: dict[str, Any], found: Ciphertexts) -> None:
    """Multiply one upload into the running product. Raises: ProtocolViolation when it is not as it was verified."""
    product = sums.setdefault("", Product(found.layout.ring, found.layout.ciphertexts))
    product.multiply(found.data)


def open_sum(
    phase: Opening, sums: dict[str, Any], file: Callable[[str], bytes], asked: object = None
) -> Combined:
    """Put the answers of `phase.trying` (side files by digest) together over the product of the frozen uploads.

    The effect that asked for it (`asked`) brings nothing that the phase has not.

    Raises: ProtocolViolation when the sum is not one of honest members, or a canary is wrong.
    """
    answers = {
        name: read_answer([file(piece.digest.hex()) for piece in pieces])
        for name, pieces in complete(phase.answers).items()
        if name in phase.trying
    }
    names, products = senders(phase.u), sums[""].close()
    with ThreadPoolExecutor(WORKERS) as workers:
        opened = open_product(phase.manifest, phase.scope, names, sha256(phase.u), products, answers, workers)
    if opened.used:
        decode_sums(phase.manifest, opened.groups, len(names))
    return Combined(opened.groups, opened.used, opened.wrong)


def list_of(phase: Opening) -> bytes:
    """Return the list of the headers whose sum is opened."""
    return phase.u
