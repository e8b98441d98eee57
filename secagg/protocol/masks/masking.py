"""A node's masks on its words: self mask plus one signed pair mask per peer of U2; from clear values to an upload.

Rules (protocol §3): lo adds and hi subtracts, by roster index. Masks are raw AES-CTR key stream over the whole word
array of a lane group. The counter is the byte offset / 16, so block size never matters and blocks are independent. An
upload is made in one pass: a block is quantised, masked, packed and hashed while it is in the cache. So no array of
clear words exists, and memory holds the values and the upload.
Leaves to others: deriving keys (keys.py), storing the upload (the shell).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from secagg.crypto import prg
from secagg.crypto.agree import AgreementKey
from secagg.crypto.secret import Secret
from secagg.crypto.spread import spread
from secagg.log.tree import leaf_hash, pieces, root
from secagg.protocol.lanes import (
    LEAF_WORDS,
    Contribution,
    Groups,
    Words,
    block_words,
    chunk_hash,
    chunk_leaf,
    leaf_bytes,
    packing,
    runs,
    spans,
    upload_bytes,
)
from secagg.protocol.manifest import LaneGroup, Manifest
from secagg.protocol.masks import keys
from secagg.protocol.masks.phases import Masking
from secagg.vector.warm import warm

WORKERS = 2
"""Threads that work on an array when there is an executor, the caller's among them."""

TAKEN, LEAST = 3, 64
"""A thread takes a third of what is left of an array, and not less than a 64th of all of it."""


@dataclass(frozen=True)
class Mask:
    """One key stream and its sign: added by the lower index of a pair and by the self mask, else subtracted."""

    key: Secret
    added: bool


Masks = Sequence[Mask] | Words
"""The masks of one lane group, or their sum."""


def masks_of(phase: Masking, me: str) -> dict[str, tuple[Mask, ...]]:
    """Return this node's masks per lane group.

    Raises: ProtocolViolation when a peer's public key is a small-order point.
    """
    manifest, scope = phase.manifest, phase.scope
    own = AgreementKey.from_private_bytes(phase.mask_private)
    groups = [group.name for group in manifest.groups]
    masks = {group: [Mask(keys.self_key(phase.seed, scope, me, group), added=True)] for group in groups}
    mine, my_index = (me, own.public), manifest.index(me)
    for peer in phase.peers:
        if peer.name == me:
            continue
        secret = keys.pair_secret(own, peer.keys.mask_key)
        theirs = (peer.name, peer.keys.mask_key)
        low = my_index < manifest.index(peer.name)
        pair = (mine, theirs) if low else (theirs, mine)
        for group in groups:
            masks[group].append(Mask(keys.pair_key(secret, scope, phase.u2, *pair, group), added=low))
    return {group: tuple(found) for group, found in masks.items()}


def apply(words: Words, masks: Sequence[Mask], offset_words: int = 0, executor: Executor | None = None) -> None:
    """Apply masks in place to a block of one lane group that starts `offset_words` into it.

    `offset_words` times the word size must be a multiple of 16 bytes. With an executor `WORKERS` threads take parts of
    the array, each with key streams of its own.
    """
    size = words.dtype.itemsize
    streams = [(mask.key, mask.added) for mask in masks]
    if executor is None or len(words) < WORKERS * LEAF_WORDS:
        prg.combine(words, streams, offset_words * size)
        return
    running = prg.Sums(streams)

    def work(part: tuple[int, int]) -> None:
        with running.at((offset_words + part[0]) * size) as streams:
            streams.combine(words[slice(*part)])

    spread(work, _parts(len(words), LEAF_WORDS), executor, WORKERS)


def _parts(length: int, step: int) -> list[tuple[int, int]]:
    """Return the ranges that workers take: each begins at a multiple of `step`, so that key streams can stand there.

    The first are large, because going to a new place costs. The last are small, so that at the end nobody waits long
    for a thread that the machine held up. This is guided self-scheduling (Polychronopoulos and Kuck, 1987).
    """
    found, start, least = [], 0, max(1, length // (LEAST * step))
    while start < length:
        part = max(least, -(-(length - start) // (TAKEN * step))) * step
        found.append((start, min(start + part, length)))
        start += part
    return found


@dataclass(frozen=True)
class Upload:
    """The wire bytes of a masked contribution, the Merkle root of its leaves, and the hash of each of its chunks."""

    data: bytearray
    root: bytes
    chunks: tuple[bytes, ...]


def prepare(phase: Masking, me: str, executor: Executor | None = None) -> Groups:
    """Return the sum of this node's masks per lane group: all that masking needs, while the clear values are made."""
    sums: Groups = {}
    masks = masks_of(phase, me)
    for group in phase.manifest.groups:
        pack = packing(group)
        sums[group.name] = np.zeros(pack.words, dtype=pack.dtype)
        apply(sums[group.name], masks[group.name], executor=executor)
    return sums


def contribute(
    given: Contribution, phase: Masking, me: str, executor: Executor | None = None, reused: bytearray | None = None,
    prepared: Mapping[str, Words] | None = None,
) -> Upload:  # fmt: skip
    """Return the upload of a contribution under this node's masks; lane groups are made in the upload's order.

    `reused` is written over and becomes the upload when it has the right length: new memory costs a tenth of the work.
    `prepared` is what `prepare` gave for this phase; without it masks are made here.
    Raises: ProtocolViolation on a small-order point; what making the clear words raises.
    """
    manifest = phase.manifest
    masks: Mapping[str, Masks] = prepared or masks_of(phase, me)
    length = upload_bytes(manifest)
    data = reused if reused is not None and len(reused) == length else bytearray(length)
    of_name = {group.name: group for group in manifest.groups}
    leaves: list[bytes] = []
    filled = 0
    for name, (start, stop) in spans(manifest).items():
        data[filled:start] = bytes(start - filled)
        leaves += _group(given, of_name[name], masks[name], memoryview(data)[start:stop], executor)
        filled = stop
    data[filled:] = bytes(length - filled)
    for run in runs(manifest):
        # What fills a group up belongs to its last leaf, and was not there when that was hashed.
        last = run.start + (run.many - 1) * run.leaf
        leaves[run.first + run.many - 1] = leaf_hash(memoryview(data)[last : run.stop])
    return Upload(data, *_tree(manifest, data, leaves))


def _tree(manifest: Manifest, data: bytearray, leaves: Sequence[bytes]) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the root over the leaves and the hash of every chunk. That hash is a node of the same tree where a chunk
    lies in the first lane group. It then holds a power of two of its leaves."""
    size, leaf, view = manifest.chunk_bytes, chunk_leaf(manifest), memoryview(data)
    many = size // leaf
    if size % leaf or many & (many - 1):
        return root(leaves), tuple(chunk_hash(manifest, view[at : at + size]) for at in range(0, len(data), size))
    whole = packing(manifest.groups[-1]).wire_bytes // leaf
    pieced = [*leaves[:whole], *pieces(view[whole * leaf :], leaf)]
    chunks = tuple(root(pieced[at : at + many]) for at in range(0, len(pieced), many))
    alike = whole // many
    rest = (root(leaves[at : at + many]) for at in range(alike * many, len(leaves), many))
    return root([*chunks[:alike], *rest]), chunks


def _group(
    given: Contribution, group: LaneGroup, masks: Masks, out: memoryview, executor: Executor | None
) -> list[bytes]:
    """Fill one lane group's part of an upload and return the hashes of its leaves."""
    pack = packing(group)
    step = block_words(pack, shared=True)
    added = masks if isinstance(masks, np.ndarray) else prg.Sums([(mask.key, mask.added) for mask in masks])
    if executor is None or pack.words < WORKERS * step:
        return _blocks(given, group, added, (0, pack.words), block_words(pack), out)
    parts = spread(
        lambda part: _blocks(given, group, added, part, step, out), _parts(pack.words, step), executor, WORKERS
    )
    return [leaf for part in parts for leaf in part]


def _blocks(
    given: Contribution, group: LaneGroup, masks: prg.Sums | Words, part: tuple[int, int], step: int, out: memoryview
) -> list[bytes]:
    """Make a part (its first word, the one behind its last) of a lane group, `step` words at a time.

    Returns: the hashes of its leaves.
    """
    pack, (start, stop) = packing(group), part
    buffer: Words = warm("words", step, pack.dtype)
    leaves: list[bytes] = []
    with nullcontext() if isinstance(masks, np.ndarray) else masks.at(start * buffer.itemsize) as streams:
        for at in range(start, stop, step):
            words = buffer[: min(step, stop - at)]
            given.fill(group.name, at, words)
            if isinstance(masks, np.ndarray):
                np.add(words, masks[at : at + len(words)], out=words)
            elif streams:
                streams.apply(words)
            wire = out[at * pack.word_bytes : (at + len(words)) * pack.word_bytes]
            pack.write_wire(words, wire)
            leaves += pieces(wire, leaf_bytes(pack))
    return leaves
