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
from secagg.log.tree import leaf_hash, verify_inclusion
from secagg.protocol.lanes import LEAF_WORDS, Words, packing
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


class Place(Struct, frozen=True):
    """Where a leaf lies: its lane group, first word and number of words there, and its bytes in the upload."""

    group: LaneGroup
    word: int
    words: int
    start: int
    stop: int


def places(manifest: Manifest) -> list[Place]:
    """Return every leaf of an upload, in their order (protocol §3, step 2)."""
    found, base = [], 0
    for group in manifest.groups:
        pack = packing(group)
        width = pack.wire_bytes // pack.words
        for word in range(0, pack.words, LEAF_WORDS):
            words = min(LEAF_WORDS, pack.words - word)
            found.append(Place(group, word, words, base + word * width, base + (word + words) * width))
        base += pack.wire_bytes
    return found


def draw(manifest: Manifest, rng: Rng, count: int = LEAVES) -> tuple[int, ...]:
    """Return `count` different leaves, or all if there are fewer, each set as likely as any other."""
    left = list(range(len(places(manifest))))
    chosen = []
    for _ in range(min(count, len(left))):
        # 128 bits over at most 2^20 leaves: the bias is below 2^-100.
        chosen.append(left.pop(int.from_bytes(rng(16), "big") % len(left)))
    return tuple(sorted(chosen))


def tree_of(manifest: Manifest, data: bytes | memoryview) -> Tree:
    """Return the tree over the leaves of an upload."""
    view, tree = memoryview(data), Tree()
    for place in places(manifest):
        tree.append(leaf_hash(bytes(view[place.start : place.stop])))
    return tree


def leaves(manifest: Manifest, data: bytes | memoryview, tree: Tree, indexes: Sequence[int]) -> tuple[Leaf, ...]:
    """Return leaves of an upload with their paths.

    Raises: BadInput when there are too many, or one does not exist.
    """
    all_places, view = places(manifest), memoryview(data)
    if len(indexes) > MOST or any(not 0 <= index < len(all_places) for index in indexes):
        raise BadInput(f"At most {MOST} leaves of {len(all_places)} can be asked for.", "Draw them from the manifest.")
    return tuple(
        Leaf(
            index, bytes(view[all_places[index].start : all_places[index].stop]),
            tree.inclusion(index, len(all_places)),
        )
        for index in indexes
    )  # fmt: skip


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
            manifest, scope, transcript.u1, transcript.u2, transcript.u3, transcript.answers
        )
        if evidence.u3 != published.contributors:
            raise VerificationFailed("The result is over another set than U3.", "Keep both.")
        masks = _masks(evidence, manifest)
    except VerificationFailed:
        raise
    except SecaggError as error:
        cause = f"The round cannot be recomputed: {error.cause}"
        raise VerificationFailed(cause, "Keep what was handed out.") from None
    all_places = places(manifest)
    for position, index in enumerate(indexes):
        place = all_places[index]
        total = np.zeros(place.words, dtype=packing(place.group).dtype)
        for member, header in headers.items():
            leaf = _leaf(found, member, position, index)
            verify_inclusion(leaf_hash(leaf.data), index, len(all_places), leaf.path, header.root)
            add_into(total, _words(place, leaf.data, member))
        apply(total, masks[place.group.name], place.word)
        packing(place.group).reduce(total)
        if total.tobytes() != _published(published, place):
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


def _leaf(found: Mapping[str, Sequence[Leaf]], member: str, position: int, index: int) -> Leaf:
    given = found.get(member, ())
    if len(given) <= position or given[position].index != index:
        raise VerificationFailed(f"Leaf {index} of {member} was not handed out.", "Ask again.")
    return given[position]


def _words(place: Place, data: bytes, member: str) -> Words:
    if len(data) != place.stop - place.start:
        raise VerificationFailed(f"A leaf of {member} has another length.", "Ask again.")
    slots = 3 * place.words if place.group.layout == "3x21" else place.words
    return Packing(place.group.layout, place.group.slot_bits, slots).from_wire(data)


def _published(published: Published, place: Place) -> bytes:
    words = next(group.words for group in published.groups if group.name == place.group.name)
    width = np.dtype(packing(place.group).dtype).itemsize
    return words[place.word * width : (place.word + place.words) * width]


def members(transcript: Transcript) -> tuple[str, ...]:
    """Return U3 as a transcript lists it, unverified."""
    return tuple(entry.sender for entry in decode(tuple[Signed, ...], transcript.u3, LIMIT_LIST))


def slot(round_id: RoundId) -> str:
    """Return the key under which a round's check is kept."""
    return f"spot/{round_id.label()}"
