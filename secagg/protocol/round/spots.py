"""What every spot check has, whatever the engine: who checks, which leaves are drawn, leaves and their paths.

How to read it: `throw` and `draw` choose, `leaves` is what the aggregator hands out, `part` says what a leaf holds.
Rules (protocol §7): the checker throws its own coin and draws with its own secret generator. It does so once a round
and after the result is logged, so that a lie cannot avoid the draw. How often a lie survives is `survival`; one in a
single word of a large model is for the auditor, who recomputes everything.
Leaves to others: recomputing (an engine's `SpotSide`), fetching (node.spot), handing out (aggregator.spot).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import comb

from msgspec import Struct

from secagg.crypto.labels import fields
from secagg.crypto.rng import Rng
from secagg.errors import BadInput, VerificationFailed
from secagg.ids import Count, Digest, RoundId
from secagg.log.growing import Tree
from secagg.log.statements import Contributors, parse_statement
from secagg.protocol.lanes import Run, leaf_hashes, packing, runs
from secagg.protocol.manifest import LaneGroup, Manifest
from secagg.wire.signed import Scope, context

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


def span(manifest: Manifest, index: int) -> tuple[int, int]:
    """Return where a leaf lies in an upload, [start, stop) in bytes. Raises: BadInput when there is no such leaf."""
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
    """Return the leaves to check: `count` different ones of every large lane group, each set as likely as any other.
    Every leaf of a small one. And the first of each, whatever was drawn."""
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
    return [span(manifest, index) for index in indexes]


def info(scope: Scope, aggregator: str, checker: str, part: int) -> bytes:
    """Return the HPKE `info` of one sealed part of what is handed out."""
    return context(_LABEL, "SpotPart", scope, aggregator, checker) + fields(part)


def slot(round_id: RoundId) -> str:
    """Return the key under which a round's check is kept."""
    return f"spot/{round_id.label()}"
