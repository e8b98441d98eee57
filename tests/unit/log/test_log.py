"""The contract of a log, held by both: what is appended, published and proved is the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from secagg.crypto.sign import SigningKey
from secagg.errors import BadInput, VerificationFailed
from secagg.log.checkpoint import cosign, open_checkpoint, verify_cosignature
from secagg.log.durable import TileLog, read_log
from secagg.log.log import Log, MemoryLog
from secagg.log.witness import check

KEY = SigningKey.from_private_bytes(b"\x01" * 32)
WITNESS = SigningKey.from_private_bytes(b"\x02" * 32)
ORIGIN = "trial/rounds"
Make = Callable[[], Log]


@pytest.fixture(params=["memory", "tiles"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return lambda: MemoryLog(ORIGIN, ORIGIN, KEY)
    return lambda: TileLog(tmp_path / "log", ORIGIN, ORIGIN, KEY)


def leaf(index: int) -> bytes:
    return f"entry {index}".encode()


def filled(make: Make, count: int) -> Log:
    log = make()
    for index in range(count):
        assert log.append(leaf(index)) == index
    return log


def test_both_sign_the_same_checkpoint(tmp_path: Path) -> None:
    memory, stored = MemoryLog(ORIGIN, ORIGIN, KEY), TileLog(tmp_path, ORIGIN, ORIGIN, KEY)
    for index in range(5):
        memory.append(leaf(index))
        stored.append(leaf(index))
        assert memory.publish() == stored.publish()


def test_an_empty_log_publishes_the_empty_root(make: Make) -> None:
    found = open_checkpoint(make().publish(), ORIGIN, KEY.public)
    assert (found.size, found.root.hex()[:8]) == (0, "e3b0c442")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 255, 256, 257, 300])
def test_every_kind_of_entry_is_proved_from_every_kind_of_size(make: Make, count: int) -> None:
    log = filled(make, count)
    log.publish()
    edges = sorted({0, min(1, count - 1), count // 2, count - 1})
    for index in edges:
        assert log.leaf(index) == leaf(index)
        assert check(leaf(index), log.prove(index), ORIGIN, KEY.public, None).size == count


def test_a_growing_log_stays_consistent(make: Make) -> None:
    log = make()
    last = None
    for index in range(40):
        log.append(leaf(index))
        if index % 3 == 0:
            log.publish()
            last = check(leaf(index), log.prove(index, last.size if last else 0), ORIGIN, KEY.public, last)
    assert last is not None
    assert last.size == 40


def test_what_is_not_published_is_not_proved(make: Make) -> None:
    log = filled(make, 3)
    log.publish()
    log.append(leaf(3))
    assert log.leaf(3) == leaf(3)
    with pytest.raises(BadInput, match="Entry 3 is not in a published log of 3"):
        log.prove(3)
    with pytest.raises(BadInput, match="never had 4"):
        log.prove(0, 4)


@pytest.mark.parametrize("index", [-1, 2])
def test_an_entry_outside_is_refused(make: Make, index: int) -> None:
    log = filled(make, 2)
    log.publish()
    with pytest.raises(BadInput):
        log.leaf(index)
    with pytest.raises(BadInput):
        log.prove(index)


def test_a_proof_of_another_entry_does_not_hold(make: Make) -> None:
    log = filled(make, 9)
    log.publish()
    with pytest.raises(VerificationFailed, match="Entry 4 is not in the log"):
        check(leaf(5), log.prove(4), ORIGIN, KEY.public, None)


def test_an_entry_of_65535_bytes_fits_and_one_more_does_not(make: Make) -> None:
    log = make()
    log.append(bytes(65_535))
    with pytest.raises(BadInput, match="65536 bytes; at most 65535 fit"):
        log.append(bytes(65_536))
    assert open_checkpoint(log.publish(), ORIGIN, KEY.public).size == 1


def test_nothing_new_keeps_the_witnesses(make: Make) -> None:
    log = filled(make, 2)
    line = cosign(log.publish(), "trial/a", WITNESS, 1_700_000_000)
    note = log.add_cosignatures((line,))
    assert log.publish() == log.checkpoint == note
    found = open_checkpoint(note, ORIGIN, KEY.public)
    assert verify_cosignature(found, line, "trial/a", WITNESS.public) == 1_700_000_000


def test_an_auditor_reads_what_was_published(tmp_path: Path) -> None:
    log = TileLog(tmp_path, ORIGIN, ORIGIN, KEY)
    for index in range(300):
        log.append(leaf(index))
    note = log.publish()
    assert read_log(tmp_path) == ([leaf(index) for index in range(300)], note)
