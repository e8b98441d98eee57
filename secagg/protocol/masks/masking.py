"""A node's masks on its words: self mask plus one signed pair mask per peer of U2, block by block.

Rules (protocol §3): lo adds and hi subtracts, by roster index; masks are raw AES-CTR key stream over the whole word
array of a lane group, counter = byte offset / 16, so block size never matters and blocks are independent.
Leaves to others: deriving keys (keys.py), storing the upload (the shell).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from secagg.crypto import prg
from secagg.crypto.agree import AgreementKey
from secagg.crypto.secret import Secret
from secagg.protocol.lanes import LEAF_WORDS, Groups, Words
from secagg.protocol.masks import keys
from secagg.protocol.masks.phases import Masking

WORKERS = 2
"""Parts that an array is split into when there is an executor."""


@dataclass(frozen=True)
class Mask:
    """One key stream and its sign: added by the lower index of a pair and by the self mask, else subtracted."""

    key: Secret
    added: bool


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

    `offset_words` times the word size must be a multiple of 16 bytes. With an executor the array is split into as many
    parts as it may use (`WORKERS`), each with key streams of its own.
    """
    size = words.dtype.itemsize
    streams = [(mask.key, mask.added) for mask in masks]
    if executor is None or len(words) < WORKERS * LEAF_WORDS:
        prg.combine(words, streams, offset_words * size)
        return
    # Parts begin at whole leaves, so that every offset is a multiple of 16 bytes.
    part = -(-len(words) // (WORKERS * LEAF_WORDS)) * LEAF_WORDS
    done = [
        executor.submit(prg.combine, words[start : start + part], streams, (offset_words + start) * size)
        for start in range(0, len(words), part)
    ]
    for work in done:
        work.result()


def protect(groups: Mapping[str, Words], phase: Masking, me: str, executor: Executor | None = None) -> Groups:
    """Return masked copies of all lane groups, same shapes and dtypes."""
    masks = masks_of(phase, me)
    masked = {name: np.array(words, copy=True) for name, words in groups.items()}
    for name, words in masked.items():
        apply(words, masks[name], executor=executor)
    return masked
