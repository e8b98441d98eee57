"""The reserve, the probe, and what counts as the disk's fault."""

import errno
from pathlib import Path

import pytest

from secagg.daemon.faults import fault
from secagg.daemon.storage import RESERVED, Storage
from secagg.errors import BadInput, TryLater
from support.memory import MemoryJournal


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


FULL = OSError(errno.ENOSPC, "No space left on device", "file")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (FULL, "No space left on device: file"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError(errno.EFBIG, "File too large"), "File too large"),
        (TryLater("The journal cannot be written: x.", code="E-DISK"), "The journal cannot be written: x."),
        (TryLater("There is no roster yet."), ""),
        (BadInput("A blob is not here.", code="E-BLOB"), ""),
        (FileNotFoundError(errno.ENOENT, "No such file"), ""),
        (ConnectionError(), ""),
        (None, ""),
    ],
)
def test_only_a_disk_is_a_disk(error: object, cause: str) -> None:
    assert fault(error) == cause


def test_the_reserve_is_real_private_and_taken_up_again(tmp_path: Path) -> None:
    storage = Storage(MemoryJournal(), lambda: 7, tmp_path)
    storage.reserve()
    found = (tmp_path / "reserve").stat()
    assert (found.st_size, found.st_mode & 0o777) == (RESERVED, 0o600)
    assert found.st_blocks * 512 >= RESERVED
    storage.reserve()
    assert (tmp_path / "reserve").stat().st_ino == found.st_ino


def test_the_reserve_is_given_back_only_by_a_role_that_is_read_only(tmp_path: Path) -> None:
    storage = Storage(MemoryJournal(), lambda: 7, tmp_path)
    storage.reserve()
    storage.release()
    assert (tmp_path / "reserve").exists()
    assert storage.take(FULL)
    storage.release()
    assert names(tmp_path) == []


def test_a_role_is_read_only_once_and_until_a_probe_succeeds(tmp_path: Path) -> None:
    journal = MemoryJournal()
    storage = Storage(journal, lambda: 7, tmp_path)
    assert not storage.take(BadInput("No."))
    assert not storage.read_only
    assert storage.take(FULL)
    assert not storage.take(FULL)
    assert (storage.since, storage.cause) == (7, "No space left on device: file")
    journal.writable = False
    assert not storage.recovered()
    assert storage.since == 7
    journal.writable = True
    assert storage.recovered()
    assert not storage.cause
    assert names(tmp_path) == ["reserve"]
    with journal.transaction() as transaction:
        assert transaction.scan("") == []


def test_a_disk_that_takes_the_journal_and_no_chunk_is_still_full(tmp_path: Path) -> None:
    storage = Storage(MemoryJournal(), lambda: 7, tmp_path / "gone")
    storage.take(FULL)
    assert not storage.recovered()
    assert "No such file" in storage.cause
