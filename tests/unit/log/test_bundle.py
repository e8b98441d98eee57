"""A bundle is written under digests, and a log is copied as its checkpoint has it, also while it grows."""

from pathlib import Path

import pytest

from secagg.crypto.derive import hmac_sha256, sha256
from secagg.crypto.sign import SigningKey
from secagg.errors import BundleIncomplete
from secagg.ids import RoundId
from secagg.log.bundle import BundleWriter
from secagg.log.checkpoint import read_checkpoint
from secagg.log.durable import TileLog, read_log

KEY = SigningKey.from_private_bytes(bytes(32))


def test_files_and_results_are_named_by_their_digests(tmp_path: Path) -> None:
    writer = BundleWriter(tmp_path)
    assert writer.put_file(b"data") == sha256(b"data").hex()
    writer.put_result(RoundId("fed", "job", 1), b"sum", b"salt")
    assert (tmp_path / "files" / sha256(b"data").hex()).read_bytes() == b"data"
    assert (tmp_path / "results" / hmac_sha256(b"salt", b"sum").hex()).read_bytes() == b"sum"
    assert (tmp_path / "salts.json").read_bytes() == b'{"job.1.1.0": "73616c74"}'


def test_a_log_is_copied_without_half_written_files_and_again_when_it_has_grown(tmp_path: Path) -> None:
    log = TileLog(tmp_path / "log", "fed/rounds", "fed/rounds", KEY)
    writer = BundleWriter(tmp_path / "bundle")
    for size in (3, 256, 600):
        while log.size < size:
            log.append(b"entry %d" % log.size)
        log.publish()
        (tmp_path / "log" / "tile" / "half.new").write_bytes(b"torn")
        writer.put_log("rounds", tmp_path / "log")
        leaves, note = read_log(tmp_path / "bundle" / "rounds")
        assert (len(leaves), read_checkpoint(note).size) == (size, size)
        assert not list((tmp_path / "bundle").rglob("*.new"))
    log.close()


def test_what_lies_beyond_the_checkpoint_does_no_harm(tmp_path: Path) -> None:
    log = TileLog(tmp_path / "log", "fed/rounds", "fed/rounds", KEY)
    log.append(b"one")
    early = log.publish()
    log.append(b"two")
    log.publish()
    (tmp_path / "log" / "checkpoint").write_bytes(early)
    BundleWriter(tmp_path / "bundle").put_log("rounds", tmp_path / "log")
    assert read_log(tmp_path / "bundle" / "rounds") == ([b"one"], early)
    log.close()


def test_a_directory_without_a_checkpoint_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(BundleIncomplete, match="checkpoint"):
        BundleWriter(tmp_path / "bundle").put_log("rounds", tmp_path)


def test_a_partial_tile_that_became_full_since_the_checkpoint_is_taken_from_the_full_one(tmp_path: Path) -> None:
    log = TileLog(tmp_path / "log", "fed/rounds", "fed/rounds", KEY)
    log.append(b"entry 0")
    early = log.publish()
    while log.size < 300:
        log.append(b"entry %d" % log.size)
    log.publish()
    assert not list((tmp_path / "log" / "tile" / "entries").glob("000.p/*"))
    (tmp_path / "log" / "checkpoint").write_bytes(early)
    BundleWriter(tmp_path / "bundle").put_log("rounds", tmp_path / "log")
    assert read_log(tmp_path / "bundle" / "rounds") == ([b"entry 0"], early)
    log.close()
