"""Masks on an array: the same words whatever the number of workers, and gone when applied with the other sign."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from secagg.crypto.secret import Secret
from secagg.protocol.lanes import LEAF_WORDS, Groups, Ready, Words, chunk_hash, encode_training, upload_root
from secagg.protocol.masks.masking import WORKERS, Mask, apply, contribute, prepare
from secagg.protocol.masks.phases import Masking
from support.adversary import stop_before
from support.federation import counted_rng, make


def ready_to_mask(bits: int, parameters: int) -> tuple[Masking, Groups]:
    """Return the phase of a member that knows U2, the same as any other's, and its clear words."""
    scene = stop_before("DeliverShares", federation=make(4, bits=bits, parameters=parameters))
    phase = scene.deliver(scene.message.data).phase
    assert isinstance(phase, Masking)
    update = np.linspace(-0.9, 0.9, parameters)
    return phase, encode_training(phase.manifest, update, 10, {"loss": 0.5}, counted_rng(b"ahead"))


MASKS = tuple(Mask(Secret(bytes([number]) * 16), added=number % 2 == 0) for number in range(4))
INVERSE = tuple(Mask(mask.key, added=not mask.added) for mask in MASKS)


@pytest.mark.parametrize("count", [5, WORKERS * LEAF_WORDS - 1, WORKERS * LEAF_WORDS, 3 * LEAF_WORDS + 11, 100_003])
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_workers_change_nothing(count: int, dtype: type) -> None:
    clear: Words = np.arange(count, dtype=dtype)
    alone, shared = clear.copy(), clear.copy()
    apply(alone, MASKS, LEAF_WORDS)
    with ThreadPoolExecutor(WORKERS) as workers:
        apply(shared, MASKS, LEAF_WORDS, workers)
        assert np.array_equal(alone, shared)
        assert not np.array_equal(alone, clear)
        apply(shared, INVERSE, LEAF_WORDS, workers)
    assert np.array_equal(shared, clear)


@pytest.mark.parametrize("bits", [16, 20, 26])
@pytest.mark.parametrize("parameters", [1, 7, 70_000])
def test_masks_made_ahead_give_the_same_upload(bits: int, parameters: int) -> None:
    phase, groups = ready_to_mask(bits, parameters)
    with ThreadPoolExecutor(WORKERS) as workers:
        at_once = contribute(Ready(groups), phase, "node-00", workers)
        ahead = prepare(phase, "node-00", workers)
        later = contribute(Ready(groups), phase, "node-00", workers, None, ahead)
    assert (later.data, later.root, later.chunks) == (at_once.data, at_once.root, at_once.chunks)
    assert later.root == upload_root(phase.manifest, bytes(later.data))
    size = phase.manifest.chunk_bytes
    pieces = [bytes(later.data)[at : at + size] for at in range(0, len(later.data), size)]
    assert later.chunks == tuple(chunk_hash(phase.manifest, piece) for piece in pieces)


def test_memory_that_is_warm_leaves_nothing_of_what_it_held() -> None:
    phase, groups = ready_to_mask(20, 70_001)
    cold = contribute(Ready(groups), phase, "node-00")
    warm = contribute(Ready(groups), phase, "node-00", reused=bytearray(b"\xff" * len(cold.data)))
    short = contribute(Ready(groups), phase, "node-00", reused=bytearray(5))
    assert warm.data == short.data == cold.data
