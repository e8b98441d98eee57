"""A spot check: any member recomputes drawn leaves of a round's sum from the uploads and the signed answers.

How to read it: `transcript` is what the aggregator hands out beside the leaves, `check` recomputes and compares.
Rules (protocol §7): a leaf counts with its Merkle path to the root that its owner signed. Lists count when the
aggregator froze exactly them, and secrets when they match their commitments.
Leaves to others: who checks and what is drawn (round/spots.py), what a lie proves to others (round/lie.py).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.errors import ProtocolViolation, SecaggError, VerificationFailed
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.statements import Contributors, open_statement
from secagg.log.tree import leaf_hash, verify_inclusion
from secagg.protocol.engine import Phase
from secagg.protocol.lanes import Words, packing
from secagg.protocol.manifest import Manifest, Published
from secagg.protocol.masks.masking import Mask, apply
from secagg.protocol.masks.recovery import Evidence, masks_to_remove, recover
from secagg.protocol.masks.rounds import Unmasking
from secagg.protocol.masks.verify import evidence_of
from secagg.protocol.published import words_of
from secagg.protocol.round.spots import Leaf, Part, leaves_in, part, span
from secagg.vector.packing import Packing
from secagg.vector.ring import add_into
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, open_signed


class Transcript(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What opened a round: the signed manifest, its lists as encoded for everybody (`drawn` on a sparse graph), and the
    members' signed answers. It has the log entry (`Contributors`) by which the aggregator froze exactly these lists."""

    manifest: Signed
    u1: bytes
    u2: bytes
    u3: bytes
    answers: tuple[Signed, ...]
    frozen: bytes
    drawn: bytes = b""


def transcript(phase: Phase, frozen: Callable[[], bytes]) -> bytes | None:
    """Return the encoded transcript in the phase that opens the sum; `frozen` gives the log entry that froze its lists.

    Raises: what `frozen` raises.
    """
    return encode(transcript_of(phase, frozen())) if isinstance(phase, Unmasking) else None


def listed(transcript: bytes) -> bytes:
    """Return the list of headers (U3) of an encoded transcript, unverified. Raises: WireError."""
    return decode(Transcript, transcript, LIMIT_LIST).u3


def transcript_of(phase: Unmasking, frozen: bytes) -> Transcript:
    """Return the transcript of a round that is opened; `frozen` is the log entry that froze its lists."""
    return Transcript(
        manifest=phase.signed, u1=phase.u1, u2=phase.u2, u3=phase.u3, answers=phase.answers, drawn=phase.drawn,
        frozen=frozen,
    )  # fmt: skip


def check(
    manifest: Manifest, scope: Scope, aggregator_key: bytes, transcript: bytes, published: Published,
    indexes: Sequence[int], found: Mapping[str, Sequence[Leaf]],
) -> None:  # fmt: skip
    """Recompute the drawn leaves of the sum and compare them with what was published.

    Raises: VerificationFailed naming the member or the leaf that does not hold. With code `E-SPOT` it is the
    aggregator's lie, otherwise what was handed out proves nothing.
    """
    try:
        shown = decode(Transcript, transcript, LIMIT_LIST)
        check_frozen(shown, manifest, scope, aggregator_key)
        evidence, headers = evidence_of(
            manifest, scope, shown.u1, shown.u2, shown.u3, shown.answers, shown.drawn
        )
        masks = _masks(evidence, manifest)
    except VerificationFailed:
        raise
    except SecaggError as error:
        cause = f"The round cannot be recomputed: {error.cause}"
        raise VerificationFailed(cause, "Keep what was handed out.") from None
    drawn = {
        member: [_leaf(found, member, at, index, manifest, header.upload) for at, index in enumerate(indexes)]
        for member, header in headers.items()
    }
    words = read(manifest, scope, published, evidence.u3)
    for position, index in enumerate(indexes):
        held = part(manifest, index)
        total = np.zeros(held.words, dtype=packing(held.group).dtype)
        for given in drawn.values():
            add_into(total, _words(held, given[position]))
        apply(total, masks[held.group.name], held.word)
        packing(held.group).reduce(total)
        if not np.array_equal(total, words[held.group.name][held.word : held.word + held.words]):
            raise _lie(f"Leaf {index} of the published sum is not the sum of the uploads.")


def check_frozen(transcript: Transcript, manifest: Manifest, scope: Scope, aggregator_key: bytes) -> None:
    """Check that the aggregator signed this manifest, and that it froze exactly these lists.

    Without it a member could sign a second header, and show the honest sum as a lie. Raises: VerificationFailed,
    BadSignature.
    """
    proposed = Scope(round=scope.round, manifest=NO_DIGEST)
    body = open_signed(transcript.manifest, aggregator_key, "Manifest", proposed, EVERYBODY)
    statement, signer = open_statement(transcript.frozen, lambda _: aggregator_key)
    lists = [sha256(data).hex() for data in (transcript.u1, transcript.u2, transcript.u3)]
    lists.append(sha256(transcript.drawn).hex() if transcript.drawn else "")
    holds = (
        isinstance(statement, Contributors)
        and (sha256(body), signer) == (scope.manifest, manifest.aggregator)
        and statement.manifest == scope.manifest.hex()
        and [statement.u1, statement.u2, statement.u3, statement.drawn] == lists
    )
    if not holds:
        raise VerificationFailed("The lists are not those that the aggregator froze.", "Ask again.")


def read(manifest: Manifest, scope: Scope, published: Published, u3: tuple[str, ...]) -> dict[str, Words]:
    """Return the words of a result of this round and set, read as everybody reads it.

    Raises: VerificationFailed (`E-SPOT`): an aggregator that logged another thing as this round's result lies.
    """
    if (published.round, published.manifest, published.contributors) != (scope.round, scope.manifest, u3):
        raise _lie("The published result is of another round or another set than its manifest's.")
    try:
        return words_of(published, manifest.groups, manifest.names(), scope.round)
    except ProtocolViolation as error:
        raise _lie(error.cause) from None


def _lie(cause: str) -> VerificationFailed:
    return VerificationFailed(cause, "The aggregator lies: keep the evidence and leave the job.", code="E-SPOT")


def _masks(evidence: Evidence, manifest: Manifest) -> dict[str, tuple[Mask, ...]]:
    """Return what takes the masks off the sum, per lane group."""
    recovered = recover(evidence)
    return {
        group.name: tuple(
            Mask(mask.key, added=not mask.added) for mask in masks_to_remove(evidence, recovered, group.name)
        )
        for group in manifest.groups
    }


def _leaf(
    found: Mapping[str, Sequence[Leaf]], member: str, position: int, index: int, manifest: Manifest, root: bytes
) -> bytes:
    """Return the bytes of a drawn leaf, once they are under the root that its owner signed."""
    given = found.get(member, ())
    if len(given) <= position or given[position].index != index:
        raise VerificationFailed(f"Leaf {index} of {member} was not handed out.", "Ask again.")
    data, (start, stop) = given[position].data, span(manifest, index)
    if len(data) != stop - start:
        raise VerificationFailed(f"A leaf of {member} has another length.", "Ask again.")
    verify_inclusion(leaf_hash(data), index, leaves_in(manifest), given[position].path, root)
    return data


def _words(held: Part, data: bytes) -> Words:
    slots = 3 * held.words if held.group.layout == "3x21" else held.words
    return Packing(held.group.layout, held.group.slot_bits, slots).from_wire(data[: held.bytes])
