"""A spot check: any member recomputes drawn leaves of a round's sum from the uploads and the signed answers.

How to read it: `throw` and `draw` choose, `leaves` is what the aggregator hands out, `check` recomputes and compares.
Rules (protocol §7): the checker throws its own coin and draws with its own secret generator, once a round and after the
result is logged, so that a lie cannot avoid the draw; a leaf counts with its Merkle path to the root that its owner
signed, lists count when the aggregator froze exactly them, secrets when they match their commitments. How often a lie
survives is `survival`; one in a single word of a large model is for the auditor, who recomputes everything.
Leaves to others: fetching (node.spot), handing out (aggregator.spot), what a lie proves to others (lie.py).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import comb

import numpy as np
from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.rng import Rng
from secagg.errors import BadInput, ProtocolViolation, SecaggError, VerificationFailed
from secagg.ids import EVERYBODY, NO_DIGEST, Count, Digest, RoundId
from secagg.log.growing import Tree
from secagg.log.statements import Contributors, open_statement, parse_statement
from secagg.log.tree import leaf_hash, verify_inclusion
from secagg.protocol.lanes import Run, Words, leaf_hashes, packing, runs
from secagg.protocol.manifest import LaneGroup, Manifest, Published
from secagg.protocol.masks.masking import Mask, apply
from secagg.protocol.masks.recovery import Evidence, masks_to_remove, recover
from secagg.protocol.masks.rounds import Unmasking
from secagg.protocol.masks.verify import evidence_of
from secagg.protocol.published import words_of
from secagg.vector.packing import Packing
from secagg.vector.ring import add_into
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, context, open_signed

LEAVES = 4
"""κ: leaves that a node draws of every large lane group."""

FEW = 4
"""A lane group of at most so many leaves is checked whole: scalars, metrics, small buffers."""

CHECKERS = 8
"""How many honest members check a round on average where there are more: q = min(1, 8/(n − c))."""

MOST = 24
"""κ at most, by policy."""

ASKED = 64
"""Leaves that one request may name: the two lane groups of a round have at most 1 + MOST each, and a message takes 64.
"""

_LABEL = "secagg/v1/masks/spot"
_BITS = 128


class Leaf(Struct, frozen=True, forbid_unknown_fields=True):
    """One leaf of an upload: its bytes as they travelled, and the siblings on its way to the root."""

    index: Count
    data: bytes
    path: tuple[Digest, ...]


class Transcript(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What opened a round: the signed manifest, its lists as encoded for everybody (`drawn` on a sparse graph), the
    members' signed answers, and the log entry (`Contributors`) by which the aggregator froze exactly these lists."""

    manifest: Signed
    u1: bytes
    u2: bytes
    u3: bytes
    answers: tuple[Signed, ...]
    frozen: bytes
    drawn: bytes = b""


def transcript_of(phase: Unmasking, frozen: bytes) -> Transcript:
    """Return the transcript of a round that is opened; `frozen` is the log entry that froze its lists."""
    return Transcript(
        manifest=phase.signed, u1=phase.u1, u2=phase.u2, u3=phase.u3, answers=phase.answers, drawn=phase.drawn,
        frozen=frozen,
    )  # fmt: skip


def frozen_entry(size: int, leaf: Callable[[int], bytes], scope: Scope) -> bytes:
    """Return the entry of a round log that froze the lists of a round: not far from the log's end when it is opened.

    `leaf` gives each of its `size` entries. Raises: VerificationFailed when there is none.
    """
    for index in reversed(range(size)):
        found = leaf(index)
        with suppress(VerificationFailed):
            statement = parse_statement(found)[0]
            if isinstance(statement, Contributors) and statement.manifest == scope.manifest.hex():
                return found
    raise VerificationFailed("The log holds no freeze of this round.", "Ask for the whole log.")


class Part(Struct, frozen=True):
    """What a leaf of an upload holds: the words of one lane group from `word` on, without what fills the group up."""

    group: LaneGroup
    word: int
    words: int

    @property
    def bytes(self) -> int:
        """Return how many bytes of the leaf are words."""
        return self.words * packing(self.group).word_bytes


def leaves_in(manifest: Manifest) -> int:
    """Return how many leaves an upload has."""
    last = runs(manifest)[-1]
    return last.first + last.many


def _run(manifest: Manifest, index: int) -> Run:
    """Return the lane group of a leaf. Raises: BadInput when there is no such leaf."""
    for run in runs(manifest):
        if run.first <= index < run.first + run.many:
            return run
    raise BadInput(f"There is no leaf {index} of {leaves_in(manifest)} leaves.", "Draw them from the manifest.")


def _span(manifest: Manifest, index: int) -> tuple[int, int]:
    """Return where a leaf lies in an upload, [start, stop) in bytes. Raises: BadInput."""
    run = _run(manifest, index)
    start = run.start + (index - run.first) * run.leaf
    return start, min(start + run.leaf, run.stop)


def part(manifest: Manifest, index: int) -> Part:
    """Return what a leaf of an upload holds (protocol §3, step 2). Raises: BadInput when there is no such leaf."""
    run = _run(manifest, index)
    pack = packing(run.group)
    each = run.leaf // pack.word_bytes
    word = (index - run.first) * each
    return Part(run.group, word, min(each, pack.words - word))


def throw(manifest: Manifest, rng: Rng) -> bool:
    """Throw this node's own coin: whether it checks this round, with probability q = min(1, 8/(n − c))."""
    honest = len(manifest.members) - manifest.colluders
    return honest <= CHECKERS or int.from_bytes(rng(_BITS // 8), "big") * honest < CHECKERS << _BITS


def draw(manifest: Manifest, rng: Rng, count: int = LEAVES) -> tuple[int, ...]:
    """Return the leaves to check: `count` different ones of every large lane group, each set as likely as any other;
    every leaf of a small one; and the first of each, whatever was drawn."""
    chosen: set[int] = set()
    for run in runs(manifest):
        left = list(range(run.first, run.first + run.many))
        chosen.add(run.first)
        if run.many <= FEW:
            chosen.update(left)
            continue
        for _ in range(min(count, len(left))):
            # 128 bits over at most 2^24 leaves: the bias is below 2^-100.
            chosen.add(left.pop(int.from_bytes(rng(_BITS // 8), "big") % len(left)))
    return tuple(sorted(chosen))


def survival(nodes: int, colluders: int, leaves: int, lies: int, count: int = LEAVES) -> float:
    """Return with which probability a lie in `lies` of a large group's `leaves`, not the first, is found by nobody.

    P = [1 − q + q·C(L − m, κ)/C(L, κ)]^(n − c) (protocol §7); with m = L that of a lie in what everybody checks.
    """
    honest = nodes - colluders
    q = min(1.0, CHECKERS / honest)
    return (1 - q + q * comb(leaves - lies, count) / comb(leaves, count)) ** honest


def tree_of(manifest: Manifest, data: bytes | memoryview) -> Tree:
    """Return the tree over the leaves of an upload."""
    tree = Tree()
    for leaf in leaf_hashes(manifest, data):
        tree.append(leaf)
    return tree


def leaves(manifest: Manifest, data: bytes | memoryview, tree: Tree, indexes: Sequence[int]) -> tuple[Leaf, ...]:
    """Return leaves of an upload with their paths. Raises: BadInput when one does not exist, or too many are asked."""
    view, many = memoryview(data), leaves_in(manifest)
    return tuple(
        Leaf(index, bytes(view[slice(*span)]), tree.inclusion(index, many))
        for index, span in zip(indexes, _spans(manifest, indexes), strict=True)
    )


def handed_bytes(manifest: Manifest, indexes: Sequence[int]) -> int:
    """Return how many bytes these leaves of one upload have at most, paths included. Raises: as `leaves`."""
    path = 34 * leaves_in(manifest).bit_length() + 32
    return 16 + sum(stop - start + path for start, stop in _spans(manifest, indexes))


def _spans(manifest: Manifest, indexes: Sequence[int]) -> list[tuple[int, int]]:
    if not 0 < len(set(indexes)) == len(indexes) <= ASKED:
        cause = f"{len(indexes)} leaves are asked for; from 1 to {ASKED} different ones may be."
        raise BadInput(cause, "Draw them from the manifest.")
    return [_span(manifest, index) for index in indexes]


def info(scope: Scope, aggregator: str, checker: str, part: int) -> bytes:
    """Return the HPKE `info` of one sealed part of what is handed out."""
    return context(_LABEL, "SpotPart", scope, aggregator, checker) + fields(part)


def check(
    manifest: Manifest, scope: Scope, aggregator_key: bytes, transcript: Transcript, published: Published,
    indexes: Sequence[int], found: Mapping[str, Sequence[Leaf]],
) -> None:  # fmt: skip
    """Recompute the drawn leaves of the sum and compare them with what was published.

    Raises: VerificationFailed naming the member or the leaf that does not hold; with code `E-SPOT` it is the
    aggregator's lie, otherwise what was handed out proves nothing.
    """
    try:
        check_frozen(transcript, manifest, scope, aggregator_key)
        evidence, headers = evidence_of(
            manifest, scope, transcript.u1, transcript.u2, transcript.u3, transcript.answers, transcript.drawn
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
    data, (start, stop) = given[position].data, _span(manifest, index)
    if len(data) != stop - start:
        raise VerificationFailed(f"A leaf of {member} has another length.", "Ask again.")
    verify_inclusion(leaf_hash(data), index, leaves_in(manifest), given[position].path, root)
    return data


def _words(held: Part, data: bytes) -> Words:
    slots = 3 * held.words if held.group.layout == "3x21" else held.words
    return Packing(held.group.layout, held.group.slot_bits, slots).from_wire(data[: held.bytes])


def members(transcript: Transcript) -> tuple[str, ...]:
    """Return U3 as a transcript lists it, unverified."""
    return tuple(entry.sender for entry in decode(tuple[Signed, ...], transcript.u3, LIMIT_LIST))


def slot(round_id: RoundId) -> str:
    """Return the key under which a round's check is kept."""
    return f"spot/{round_id.label()}"
