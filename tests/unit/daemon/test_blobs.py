"""Blobs: whole or not there, re-hashed when read, put together from chunks over a restart."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from secagg.crypto.derive import sha256
from secagg.daemon.blobs import Blobs
from secagg.errors import BadInput, ProtocolViolation, VerificationFailed

DATA = bytes(range(25))


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def test_a_blob_is_named_by_its_hash(blobs: Blobs) -> None:
    digest = blobs.put(DATA)
    assert digest == sha256(DATA) == blobs.put(DATA)
    assert blobs.get(digest) == DATA
    blobs.delete(digest)
    assert not blobs.has(digest)
    with pytest.raises(BadInput, match="not here"):
        blobs.get(digest)


def test_a_name_that_a_kill_left_unsynced_is_on_disk_when_the_blob_is_put_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut takes the name, and a journal that was saved meanwhile names a blob that is not there."""
    Blobs(tmp_path / "blobs").put(DATA)
    real, synced = os.fsync, []

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    Blobs(tmp_path / "blobs").put(DATA)
    assert str(tmp_path / "blobs") in synced


def test_a_damaged_blob_is_noticed(blobs: Blobs) -> None:
    digest = blobs.put(DATA)
    blobs.path(digest).write_bytes(DATA[:-1] + b"!")
    with pytest.raises(VerificationFailed, match="damaged"):
        blobs.get(digest)


def test_an_upload_is_taken_up_again(tmp_path: Path) -> None:
    first = Blobs(tmp_path / "blobs").partial("heart.1.1.0.node-a", 25, 10)
    first.write(2, DATA[20:])
    first.write(0, DATA[:10])
    blobs = Blobs(tmp_path / "blobs")
    again = blobs.partial("heart.1.1.0.node-a", 25, 10)
    assert again.have() == {0, 2}
    assert again.hash_of(2) == sha256(DATA[20:])
    with pytest.raises(BadInput, match="1 of 3 chunks"):
        again.complete()
    again.write(1, DATA[10:20])
    assert again.complete() == sha256(DATA)
    assert blobs.get(sha256(DATA)) == DATA
    again.discard()
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []
    assert blobs.get(sha256(DATA)) == DATA


def test_a_torn_entry_is_written_again(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    upload = blobs.partial("u", 25, 10)
    upload.write(0, DATA[:10])
    upload.write(1, DATA[10:20])
    entries = tmp_path / "blobs" / "partial" / "u.entries"
    entries.write_bytes(entries.read_bytes()[:-1])
    again = blobs.partial("u", 25, 10)
    assert again.have() == {0}
    again.write(2, DATA[20:])
    again.write(1, DATA[10:20])
    assert blobs.partial("u", 25, 10).have() == {0, 1, 2}
    assert again.complete() == sha256(DATA)


def test_the_first_of_two_different_chunks_stays(blobs: Blobs) -> None:
    upload = blobs.partial("u", 10, 10)
    upload.write(0, DATA[:10])
    upload.write(0, DATA[:10])
    with pytest.raises(ProtocolViolation) as caught:
        upload.write(0, DATA[1:11])
    assert caught.value.rule == "equivocation"
    assert upload.complete() == sha256(DATA[:10])


def test_a_chunk_of_another_size_or_place_is_refused(blobs: Blobs) -> None:
    upload = blobs.partial("u", 25, 10)
    for index, data in ((3, b""), (-1, DATA[:10]), (0, DATA[:9]), (2, DATA[:10])):
        with pytest.raises(BadInput):
            upload.write(index, data)
    assert upload.have() == set()


def test_discarded_chunks_are_gone(blobs: Blobs) -> None:
    blobs.partial("u", 25, 10).write(0, DATA[:10])
    blobs.partial("u", 25, 10).discard()
    assert blobs.partial("u", 25, 10).have() == set()


@pytest.mark.parametrize("name", ["../u", "", ".hidden", "a/b"])
def test_an_upload_has_no_path(blobs: Blobs, name: str) -> None:
    with pytest.raises(BadInput):
        blobs.partial(name, 1, 1)


def test_what_came_with_a_chunk_is_kept_with_it(tmp_path: Path) -> None:
    upload = Blobs(tmp_path / "blobs").partial("u", 25, 10)
    upload.write(1, DATA[10:20], b"signed by its sender")
    upload.write(0, DATA[:10])
    again = Blobs(tmp_path / "blobs").partial("u", 25, 10)
    assert (again.proof_of(1), again.proof_of(0), again.proof_of(2)) == (b"signed by its sender", b"", b"")
    again.write(2, DATA[20:], b"x" * 65_535)
    assert Blobs(tmp_path / "blobs").partial("u", 25, 10).proof_of(2) == b"x" * 65_535
    assert again.complete() == sha256(DATA)


@pytest.mark.parametrize("lost", range(1, 60, 7))
def test_an_entry_whose_proof_is_torn_is_written_again(tmp_path: Path, lost: int) -> None:
    upload = Blobs(tmp_path / "blobs").partial("u", 25, 10)
    upload.write(0, DATA[:10], b"first")
    upload.write(1, DATA[10:20], b"p" * 22)
    entries = tmp_path / "blobs" / "partial" / "u.entries"
    entries.write_bytes(entries.read_bytes()[:-lost])
    again = Blobs(tmp_path / "blobs").partial("u", 25, 10)
    assert (again.have(), again.proof_of(0)) == ({0}, b"first")
    again.write(1, DATA[10:20], b"again")
    assert Blobs(tmp_path / "blobs").partial("u", 25, 10).proof_of(1) == b"again"


@pytest.mark.parametrize("kept", [0, 3, 4, 20, 37, 50])
def test_an_entry_of_which_only_some_sectors_reached_the_disk_is_written_again(tmp_path: Path, kept: int) -> None:
    """Its length is there, its bytes are not: a hash of zeros would accuse an honest sender of equivocation."""
    upload = Blobs(tmp_path / "blobs").partial("u", 25, 10)
    upload.write(0, DATA[:10], b"first")
    entries = tmp_path / "blobs" / "partial" / "u.entries"
    before = len(entries.read_bytes())
    upload.write(1, DATA[10:20], b"p" * 22)
    whole = entries.read_bytes()
    entries.write_bytes(whole[: before + kept].ljust(len(whole), b"\0"))
    again = Blobs(tmp_path / "blobs").partial("u", 25, 10)
    assert again.have() == {0}
    again.write(1, DATA[10:20], b"again")
    assert Blobs(tmp_path / "blobs").partial("u", 25, 10).proof_of(1) == b"again"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_whole_upload_still_knows_its_chunks(tmp_path: Path, restarted: bool) -> None:
    blobs = Blobs(tmp_path / "blobs")
    upload = blobs.partial("u", 25, 10)
    for index in range(3):
        upload.write(index, DATA[10 * index : 10 * index + 10], b"proof")
    assert upload.complete() == upload.complete() == sha256(DATA)
    again = blobs.partial("u", 25, 10) if restarted else upload
    assert (again.have(), again.proof_of(1)) == ({0, 1, 2}, b"proof")
    again.write(1, DATA[10:20])
    with pytest.raises(ProtocolViolation, match="different bytes"):
        again.write(1, DATA[:10])
    assert again.complete() == sha256(DATA)


def test_a_whole_upload_whose_blob_is_gone_begins_anew(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    upload = blobs.partial("u", 10, 10)
    upload.write(0, DATA[:10])
    blobs.delete(upload.complete())
    again = blobs.partial("u", 10, 10)
    assert again.have() == set()
    again.write(0, DATA[5:15])
    assert again.complete() == sha256(DATA[5:15])


def test_a_crash_before_the_whole_has_its_name_makes_it_again(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    upload = blobs.partial("u", 10, 10)
    upload.write(0, DATA[:10])
    digest = upload.complete()
    blobs.path(digest).rename(tmp_path / "blobs" / "partial" / "u")
    assert blobs.partial("u", 10, 10).complete() == digest
    assert blobs.get(digest) == DATA[:10]


@pytest.mark.parametrize("index", range(1, 12))
def test_an_error_at_any_sync_is_no_loss_when_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    blobs = Blobs(tmp_path / "blobs")
    real, calls = os.fsync, iter(range(1, 1000))

    def sync(descriptor: int) -> None:
        if next(calls) == index:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    def again(work: Callable[[], object]) -> None:
        try:
            work()
        except OSError:
            failed.append(index)
            work()

    failed: list[int] = []
    monkeypatch.setattr(os, "fsync", sync)
    upload = blobs.partial("u", 25, 10)
    for number in range(3):
        again(lambda number=number: upload.write(number, DATA[10 * number : 10 * number + 10]))  # type: ignore[misc]
    again(upload.complete)
    again(lambda: blobs.put(b"another"))
    assert upload.complete() == sha256(DATA)
    assert blobs.partial("u", 25, 10).have() == {0, 1, 2}
    assert (blobs.get(sha256(DATA)), blobs.get(sha256(b"another"))) == (DATA, b"another")
    assert failed == [index]
