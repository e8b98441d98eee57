"""Row 28: a log that is rolled back, forked, or changed in one bit: more than fifty thousand changes, all found.

A small log is changed exhaustively, not by sample: every bit of every entry, of every proof and of the checkpoint. So
is every byte of every file, every order of two entries, every earlier size, and a fork at every entry.
"""

import shutil
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.crypto.sign import SigningKey
from secagg.errors import BundleIncomplete, VerificationFailed
from secagg.log.checkpoint import Checkpoint, add_cosignatures, cosign, open_checkpoint, verify_cosignature
from secagg.log.durable import TileLog, read_log
from secagg.log.growing import Tree
from secagg.log.log import MemoryLog
from secagg.log.tree import leaf_hash, node_hash, root, verify_consistency, verify_inclusion
from secagg.log.witness import LogProof, check
from secagg.protocol.masks.messages import Freeze
from support.adversary import stop_before
from support.federation import counted_rng

ORIGIN, SIZE = "fed/rounds", 41
KEY = SigningKey.from_private_bytes(bytes(range(32)))
WITNESS = SigningKey.from_private_bytes(bytes(range(1, 33)))
ENTRIES = [b'{"number":%d,"of":"%s"}' % (n, counted_rng(b"%d" % n)(24).hex().encode()) for n in range(SIZE)]


def grown(entries: list[bytes]) -> MemoryLog:
    log = MemoryLog(ORIGIN, ORIGIN, KEY)
    for entry in entries:
        log.append(entry)
    log.publish()
    return log


LOG = grown(ENTRIES)
HASHES = [leaf_hash(entry) for entry in ENTRIES]
ROOT = root(HASHES)


def tree_of(hashes: list[bytes]) -> Tree:
    tree = Tree()
    for hash in hashes:
        tree.append(hash)
    return tree


TREE = tree_of(HASHES)


def flips(data: bytes) -> Iterator[bytes]:
    """Yield `data` with each of its bits changed."""
    changed = bytearray(data)
    for at in range(len(data)):
        for bit in range(8):
            changed[at] ^= 1 << bit
            yield bytes(changed)
            changed[at] ^= 1 << bit


def found(judge: Callable[[], object]) -> bool:
    try:
        judge()
    except (VerificationFailed, BundleIncomplete):
        return True
    return False


def changed_entries() -> Iterator[bool]:
    for index, entry in enumerate(ENTRIES):
        proof = TREE.inclusion(index, SIZE)
        verify_inclusion(HASHES[index], index, SIZE, proof, ROOT)
        for bent in flips(entry):
            yield found(lambda: verify_inclusion(leaf_hash(bent), index, SIZE, proof, ROOT))  # noqa: B023 - used at once


def changed_inclusion() -> Iterator[bool]:
    for index, hash in enumerate(HASHES):
        proof = TREE.inclusion(index, SIZE)
        for at, sibling in enumerate(proof):
            for bent in flips(sibling):
                other = (*proof[:at], bent, *proof[at + 1 :])
                yield found(lambda: verify_inclusion(hash, index, SIZE, other, ROOT))  # noqa: B023
        for other in (proof[1:], proof[:-1], (*proof, proof[0]), (proof[0], *proof), proof[::-1]):
            yield other == proof or found(lambda: verify_inclusion(hash, index, SIZE, other, ROOT))  # noqa: B023
        for place in range(-1, SIZE + 2):
            yield place == index or found(lambda: verify_inclusion(hash, place, SIZE, proof, ROOT))  # noqa: B023


def changed_consistency() -> Iterator[bool]:
    for old in range(1, SIZE):
        before, proof = TREE.root(old), TREE.consistency(old, SIZE)
        verify_consistency(old, before, SIZE, ROOT, proof)
        for at, hash in enumerate(proof):
            for bent in list(flips(hash))[::7]:
                other = (*proof[:at], bent, *proof[at + 1 :])
                yield found(lambda: verify_consistency(old, before, SIZE, ROOT, other))  # noqa: B023
        for bent in list(flips(before))[::7]:
            yield found(lambda: verify_consistency(old, bent, SIZE, ROOT, proof))  # noqa: B023
        for size in range(SIZE + 1):
            yield size == old or found(lambda: verify_consistency(size, before, SIZE, ROOT, proof))  # noqa: B023


def changed_order() -> Iterator[bool]:
    for one, other in combinations(range(SIZE), 2):
        swapped = list(HASHES)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        yield root(swapped) != ROOT
    for at in range(SIZE):
        for rewritten in (HASHES[:at] + HASHES[at + 1 :], [*HASHES[: at + 1], *HASHES[at:]], HASHES[:at]):
            yield root(rewritten) != ROOT


def changed_checkpoint() -> Iterator[bool]:
    line = cosign(LOG.checkpoint, "fed/witness", WITNESS, 1_700_000_000)
    signed = Checkpoint(ORIGIN, SIZE, ROOT)
    assert open_checkpoint(add_cosignatures(LOG.checkpoint, (line,)), ORIGIN, KEY.public) == signed
    for bent in flips(LOG.checkpoint):
        yield found(lambda: open_checkpoint(bent, ORIGIN, KEY.public))  # noqa: B023
    for bent in flips(line):
        yield found(lambda: verify_cosignature(signed, bent, "fed/witness", WITNESS.public))  # noqa: B023
    others = {"size": SIZE - 1, "root": HASHES[0], "origin": "fed/directory"}
    for other in (replace(signed, **{field: value}) for field, value in others.items()):
        yield found(lambda: verify_cosignature(other, line, "fed/witness", WITNESS.public))  # noqa: B023


def test_fifty_thousand_changes_of_a_log_are_all_found() -> None:
    kinds = (changed_entries, changed_inclusion, changed_consistency, changed_order, changed_checkpoint)
    judged = {kind.__name__: list(kind()) for kind in kinds}
    assert {name: verdicts.count(False) for name, verdicts in judged.items()} == dict.fromkeys(judged, 0)
    assert min(map(len, judged.values())) > 900
    assert sum(map(len, judged.values())) > 50_000


def test_an_inner_node_is_no_entry() -> None:
    """Whoever may append could otherwise append the two hashes under a node, and claim that the node is an entry."""
    for left, right in zip(HASHES[::2], HASHES[1::2], strict=False):
        assert leaf_hash(left + right) != node_hash(left, right)


def proof_of(log: MemoryLog, index: int, old: int) -> LogProof:
    return log.prove(index, old)


@pytest.mark.parametrize("at", range(0, SIZE, 4))
def test_a_fork_is_found_by_every_witness_that_saw_the_other_branch(at: int) -> None:
    """The log's owner signs another history from entry `at` on; only who saw nothing of it yet can be deceived."""
    fork = grown([*ENTRIES[:at], b"another history", *ENTRIES[at:]])
    for seen in range(1, SIZE + 1):
        last = Checkpoint(ORIGIN, seen, TREE.root(seen))
        proof = proof_of(fork, at, seen)
        if seen <= at:
            assert check(b"another history", proof, ORIGIN, KEY.public, last).size == SIZE + 1
            continue
        with pytest.raises(VerificationFailed):
            check(b"another history", proof, ORIGIN, KEY.public, last)


def test_a_log_that_was_rolled_back_is_found_by_whoever_saw_more() -> None:
    last = Checkpoint(ORIGIN, SIZE, ROOT)
    for size in range(1, SIZE):
        earlier = grown(ENTRIES[:size])
        for old in (0, size - 1, size):
            with pytest.raises(VerificationFailed):
                check(ENTRIES[0], proof_of(earlier, 0, old), ORIGIN, KEY.public, last)
        claimed = replace(proof_of(earlier, 0, size), old_size=SIZE)
        with pytest.raises(VerificationFailed, match="shrank"):
            check(ENTRIES[0], claimed, ORIGIN, KEY.public, last)


def test_two_checkpoints_of_one_size_are_a_proof_of_a_fork() -> None:
    fork = grown([*ENTRIES[:-1], b"another last entry"])
    with pytest.raises(VerificationFailed, match="prove a fork"):
        check(b"another last entry", proof_of(fork, SIZE - 1, SIZE), ORIGIN, KEY.public, Checkpoint(ORIGIN, SIZE, ROOT))


def read(directory: Path) -> None:
    """Judge a log as an auditor does that holds its key."""
    _, note = read_log(directory)
    open_checkpoint(note, ORIGIN, KEY.public)


def test_every_byte_of_every_file_counts(tmp_path: Path) -> None:
    log = TileLog(tmp_path / "log", ORIGIN, ORIGIN, KEY)
    for entry in ENTRIES[:9]:
        log.append(entry)
    log.publish()
    log.close()
    read(tmp_path / "log")
    files = [path for path in (tmp_path / "log").rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        honest = path.read_bytes()
        for at in range(len(honest)):
            path.write_bytes(honest[:at] + bytes([honest[at] ^ 1 << at % 8]) + honest[at + 1 :])
            assert found(lambda: read(tmp_path / "log")), f"{path.name} at {at}"
        for cut in (0, len(honest) // 2, len(honest) - 1):
            path.write_bytes(honest[:cut])
            assert found(lambda: read(tmp_path / "log")), f"{path.name} cut at {cut}"
        path.unlink()
        with pytest.raises(BundleIncomplete):
            read(tmp_path / "log")
        path.write_bytes(honest)
    read(tmp_path / "log")


def test_an_older_copy_of_the_files_is_not_signed_on(tmp_path: Path) -> None:
    """A disk restored from a copy: the owner would sign two histories; what was signed is checked when it opens."""
    log = TileLog(tmp_path / "log", ORIGIN, ORIGIN, KEY)
    for entry in ENTRIES[:5]:
        log.append(entry)
    log.publish()
    shutil.copytree(tmp_path / "log" / "tile", tmp_path / "old")
    for entry in ENTRIES[5:9]:
        log.append(entry)
    log.publish()
    log.close()
    shutil.rmtree(tmp_path / "log" / "tile")
    shutil.copytree(tmp_path / "old", tmp_path / "log" / "tile")
    with pytest.raises((VerificationFailed, BundleIncomplete)):
        TileLog(tmp_path / "log", ORIGIN, ORIGIN, KEY)


def test_a_node_finds_every_change_of_the_proof_it_is_shown() -> None:
    scene = stop_before("Freeze")
    honest = scene.body(Freeze)
    proof, count = honest.proof, 0
    bent = [replace(proof, checkpoint=note) for note in list(flips(proof.checkpoint))[::9]]
    for field in ("inclusion", "consistency"):
        path: tuple[bytes, ...] = getattr(proof, field)
        assert path
        for at, hash in enumerate(path):
            paths = ((*path[:at], other, *path[at + 1 :]) for other in list(flips(hash))[::9])
            bent += [replace(proof, **{field: other}) for other in paths]
    bent += [replace(proof, index=proof.index + step) for step in (-1, 1)]
    bent += [replace(proof, old_size=proof.old_size + step) for step in (-1, 1)]
    for other in bent:
        with pytest.raises(VerificationFailed):
            scene.show(replace(honest, proof=other))
        count += 1
    assert count > 150
    scene.deliver(scene.message.data)
