"""A spot check: any member recomputes drawn leaves of a round's sum from the uploads and the signed answers.

How to read it: `draw` chooses, `leaves` is what the aggregator hands out, `check` recomputes and compares.
Rules (protocol §7): the checker draws with its own secret generator, after the result is logged, so a lie cannot avoid
the draw; a leaf counts with its Merkle path to the root that its owner signed; secrets count when they match their
commitments. A lie in a fraction f of the leaves survives k draws with probability (1 − f)^k; one in a single word is
for the auditor, who recomputes everything.
Leaves to others: fetching (node.spot), handing out (aggregator.spot), what follows from a lie (node.rounds).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from secagg.crypto.labels import fields
from secagg.crypto.rng import Rng
from secagg.errors import BadInput, SecaggError, VerificationFailed
from secagg.ids import Count, Digest, RoundId
from secagg.log.growing import Tree
from secagg.log.tree import leaf_hash, pieces, verify_inclusion
from secagg.protocol.lanes import Words, leaf_bytes, packing, spans, upload_bytes
from secagg.protocol.manifest import LaneGroup, Manifest, Published
from secagg.protocol.masks.masking import Mask, apply
from secagg.protocol.masks.recovery import Evidence, masks_to_remove, recover
from secagg.protocol.masks.verify import evidence_of
from secagg.vector.packing import Packing
from secagg.vector.ring import add_into
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, context

LEAVES = 4
"""Leaves of every upload that a node draws in a round."""

MOST = 24
"""Leaves that one request may name: they fit one message of the bulk socket."""

_LABEL = "secagg/v1/masks/spot"


class Leaf(Struct, frozen=True, forbid_unknown_fields=True):
    """One leaf of an upload: its bytes as they travelled, and the siblings on its way to the root."""

    index: Count
    data: bytes
    path: tuple[Digest, ...]


class Transcript(Struct, frozen=True, forbid_unknown_fields=True):
    """What opened a round: its lists as encoded for everybody, and the members' signed answers."""

    u1: bytes
    u2: bytes
    u3: bytes
    answers: tuple[Signed, ...]
    drawn: bytes = b""


class Part(Struct, frozen=True):
    """The part of a leaf that lies in one lane group: first word, number of words, and its bytes in the leaf."""

    group: LaneGroup
    word: int
    words: int
    start: int
    stop: int


def leaves_in(manifest: Manifest) -> int:
    """Return how many leaves an upload has."""
    return -(-upload_bytes(manifest) // leaf_bytes(manifest))


def parts(manifest: Manifest, index: int) -> list[Part]:
    """Return what a leaf of an upload holds, in its order (protocol §3, step 2)."""
    begin, found = index * leaf_bytes(manifest), []
    of_name = {group.name: group for group in manifest.groups}
    for name, (start, stop) in spans(manifest).items():
        first, last = max(begin, start), min(begin + leaf_bytes(manifest), stop)
        if first < last:
            width = packing(of_name[name]).word_bytes
            found.append(
                Part(of_name[name], (first - start) // width, (last - first) // width, first - begin, last - begin)
            )
    return found


def draw(manifest: Manifest, rng: Rng, count: int = LEAVES) -> tuple[int, ...]:
    """Return `count` different leaves, or all if there are fewer, each set as likely as any other."""
    left = list(range(leaves_in(manifest)))
    chosen = []
    for _ in range(min(count, len(left))):
        # 128 bits over at most 2^20 leaves: the bias is below 2^-100.
        chosen.append(left.pop(int.from_bytes(rng(16), "big") % len(left)))
    return tuple(sorted(chosen))


def tree_of(manifest: Manifest, data: bytes | memoryview) -> Tree:
    """Return the tree over the leaves of an upload."""
    tree = Tree()
    for leaf in pieces(data, leaf_bytes(manifest)):
        tree.append(leaf)
    return tree


def leaves(manifest: Manifest, data: bytes | memoryview, tree: Tree, indexes: Sequence[int]) -> tuple[Leaf, ...]:
    """Return leaves of an upload with their paths.

    Raises: BadInput when there are too many, or one does not exist.
    """
    size, many, view = leaf_bytes(manifest), leaves_in(manifest), memoryview(data)
    if len(indexes) > MOST or any(not 0 <= index < many for index in indexes):
        raise BadInput(f"At most {MOST} leaves of {many} can be asked for.", "Draw them from the manifest.")
    return tuple(
        Leaf(index, bytes(view[index * size : (index + 1) * size]), tree.inclusion(index, many)) for index in indexes
    )


def info(scope: Scope, aggregator: str, checker: str, part: int) -> bytes:
    """Return the HPKE `info` of one sealed part of what is handed out."""
    return context(_LABEL, "SpotPart", scope, aggregator, checker) + fields(part)


def check(
    manifest: Manifest, scope: Scope, transcript: Transcript, published: Published,
    indexes: Sequence[int], found: Mapping[str, Sequence[Leaf]],
) -> None:  # fmt: skip
    """Recompute the drawn leaves of the sum and compare them with what was published.

    Raises: VerificationFailed naming the member or the leaf that does not hold.
    """
    try:
        evidence, headers = evidence_of(
            manifest, scope, transcript.u1, transcript.u2, transcript.u3, transcript.answers, transcript.drawn
        )
        if evidence.u3 != published.contributors:
            raise VerificationFailed("The result is over another set than U3.", "Keep both.")
        masks = _masks(evidence, manifest)
    except VerificationFailed:
        raise
    except SecaggError as error:
        cause = f"The round cannot be recomputed: {error.cause}"
        raise VerificationFailed(cause, "Keep what was handed out.") from None
    for position, index in enumerate(indexes):
        drawn = {
            member: _leaf(found, member, position, index, manifest, header.upload) for member, header in headers.items()
        }
        for part in parts(manifest, index):
            total = np.zeros(part.words, dtype=packing(part.group).dtype)
            for data in drawn.values():
                add_into(total, _words(part, data))
            apply(total, masks[part.group.name], part.word)
            packing(part.group).reduce(total)
            if total.tobytes() != _published(published, part):
                raise VerificationFailed(
                    f"Leaf {index} of the published sum is not the sum of the uploads.",
                    "The aggregator lies: keep the evidence and leave the job.",
                    code="E-SPOT",
                )


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
    data, size = given[position].data, leaf_bytes(manifest)
    if len(data) != min(size, upload_bytes(manifest) - index * size):
        raise VerificationFailed(f"A leaf of {member} has another length.", "Ask again.")
    verify_inclusion(leaf_hash(data), index, leaves_in(manifest), given[position].path, root)
    return data


def _words(part: Part, data: bytes) -> Words:
    slots = 3 * part.words if part.group.layout == "3x21" else part.words
    return Packing(part.group.layout, part.group.slot_bits, slots).from_wire(data[part.start : part.stop])


def _published(published: Published, part: Part) -> bytes:
    words = next(group.words for group in published.groups if group.name == part.group.name)
    width = np.dtype(packing(part.group).dtype).itemsize
    return words[part.word * width : (part.word + part.words) * width]


def members(transcript: Transcript) -> tuple[str, ...]:
    """Return U3 as a transcript lists it, unverified."""
    return tuple(entry.sender for entry in decode(tuple[Signed, ...], transcript.u3, LIMIT_LIST))


def slot(round_id: RoundId) -> str:
    """Return the key under which a round's check is kept."""
    return f"spot/{round_id.label()}"
