"""The log on disk after a crash, after damage, and under a second writer."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from secagg.crypto.sign import SigningKey
from secagg.errors import BundleIncomplete, SecaggError, TryLater, VerificationFailed
from secagg.log import tiles
from secagg.log.checkpoint import Checkpoint, open_checkpoint, read_checkpoint, sign_checkpoint
from secagg.log.durable import TileLog, read_log
from secagg.log.growing import Tree
from secagg.log.tree import leaf_hash
from secagg.log.witness import check

KEY = SigningKey.from_private_bytes(b"\x01" * 32)
ORIGIN = "trial/rounds"


@contextmanager
def opened(path: Path) -> Iterator[TileLog]:
    with closing(TileLog(path, ORIGIN, ORIGIN, KEY)) as log:
        yield log


def leaf(index: int) -> bytes:
    return f"entry {index}".encode()


def grow(path: Path, *sizes: int) -> bytes:
    """Publish at each size and return the last checkpoint."""
    note = b""
    with opened(path) as log:
        for size in sizes:
            while log.size < size:
                log.append(leaf(log.size))
            note = log.publish()
    return note


def flip(path: Path, at: int = 5) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    last = open_checkpoint(grow(tmp_path, 5), ORIGIN, KEY.public)
    grow(tmp_path, 255, 300)
    with opened(tmp_path) as log:
        assert log.size == 300
        assert [log.leaf(index) for index in (0, 255, 256, 299)] == [leaf(0), leaf(255), leaf(256), leaf(299)]
        assert check(leaf(256), log.prove(256, 5), ORIGIN, KEY.public, last).size == 300


def test_many_small_publications_store_what_one_does(tmp_path: Path) -> None:
    assert grow(tmp_path / "a", *range(1, 260)) == grow(tmp_path / "b", 259)
    assert read_log(tmp_path / "a") == read_log(tmp_path / "b")
    names = [path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert "tile/0/000" in names
    assert not [name for name in names if "/000.p/" in name and not name.startswith("tile/1/")]


def test_the_layout_is_that_of_the_specification(tmp_path: Path) -> None:
    grow(tmp_path, 258)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == [
        "checkpoint", "tile/0/000", "tile/0/001.p/2", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/2",
    ]  # fmt: skip
    hashes = [leaf_hash(leaf(index)) for index in range(258)]
    assert (tmp_path / "tile/0/000").read_bytes() == b"".join(hashes[:256])
    tree = Tree()
    for value in hashes[:256]:
        tree.append(value)
    assert (tmp_path / "tile/1/000.p/1").read_bytes() == tree.root()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(TryLater, match="Another process writes the log"):
        TileLog(tmp_path, ORIGIN, ORIGIN, KEY)
    with opened(tmp_path) as log:
        assert log.size == 0


def test_what_was_stored_but_not_signed_counts_as_appended(tmp_path: Path) -> None:
    note = grow(tmp_path, 3)
    grow(tmp_path, 300)
    (tmp_path / "checkpoint").write_bytes(note)  # a crash between the tiles and the checkpoint
    tiles.write(tmp_path / tiles.path_of("entries", 0, 3), tiles.join([leaf(index) for index in range(3)]))
    with opened(tmp_path) as log:
        assert (log.size, log.checkpoint) == (300, note)
        last = read_checkpoint(note)
        log.append(leaf(300))
        log.publish()
        assert check(leaf(300), log.prove(300, 3), ORIGIN, KEY.public, last).size == 301
    assert len(read_log(tmp_path)[0]) == 301


@pytest.mark.parametrize("torn", ["entries/000", "entries/000.p/7"])
def test_a_torn_bundle_beyond_the_checkpoint_is_dropped(tmp_path: Path, torn: str) -> None:
    note = grow(tmp_path, 3)
    path = tmp_path / "tile" / torn
    path.write_bytes(tiles.join([leaf(index) for index in range(4)])[:-1])
    with opened(tmp_path) as log:
        assert (log.size, log.checkpoint) == (3, note)
    assert not path.exists()
    grow(tmp_path, 9)
    assert read_log(tmp_path)[0] == [leaf(index) for index in range(9)]


@pytest.mark.parametrize("damage", ["torn", "flipped", "missing"])
def test_a_damaged_partial_hash_tile_is_made_again(tmp_path: Path, damage: str) -> None:
    note = grow(tmp_path, 258)
    path = tmp_path / "tile/0/001.p/2"
    whole = path.read_bytes()
    if damage == "flipped":
        flip(path)
    elif damage == "torn":
        path.write_bytes(whole[:33])
    else:
        path.unlink()
    with pytest.raises(SecaggError):
        read_log(tmp_path)
    with opened(tmp_path) as log:
        assert log.checkpoint == note
    assert path.read_bytes() == whole


def test_a_damaged_full_hash_tile_stops_the_log(tmp_path: Path) -> None:
    grow(tmp_path, 258)
    flip(tmp_path / "tile/0/000", 32 * 77)
    for read in (lambda: read_log(tmp_path), lambda: TileLog(tmp_path, ORIGIN, ORIGIN, KEY)):
        with pytest.raises(VerificationFailed, match="Entry 77 and tile/0/000 do not agree"):
            read()


def test_a_damaged_tile_of_a_higher_level_names_its_first_entry(tmp_path: Path) -> None:
    grow(tmp_path, 600)
    flip(tmp_path / "tile/1/000.p/2", 40)
    with pytest.raises(VerificationFailed, match=r"Entry 256 and tile/1/000\.p/2 do not agree"):
        read_log(tmp_path)


@pytest.mark.parametrize(("entries", "index"), [("000", 0), ("001.p/2", 256)])
def test_a_changed_entry_is_named(tmp_path: Path, entries: str, index: int) -> None:
    grow(tmp_path, 258)
    flip(tmp_path / "tile/entries" / entries)
    for read in (lambda: read_log(tmp_path), lambda: TileLog(tmp_path, ORIGIN, ORIGIN, KEY)):
        with pytest.raises(VerificationFailed, match=f"Entry {index} and"):
            read()


@pytest.mark.parametrize("entries", ["000", "001.p/2"])
def test_a_torn_signed_bundle_stops_the_log(tmp_path: Path, entries: str) -> None:
    grow(tmp_path, 258)
    path = tmp_path / "tile/entries" / entries
    path.write_bytes(path.read_bytes()[:-1])
    for read in (lambda: read_log(tmp_path), lambda: TileLog(tmp_path, ORIGIN, ORIGIN, KEY)):
        with pytest.raises(VerificationFailed, match=f"Entry {255 if entries == '000' else 257} is torn"):
            read()


@pytest.mark.parametrize("name", ["checkpoint", "tile/entries/000", "tile/0/000", "tile/1/000.p/1", "tile/0/001.p/2"])
def test_a_missing_file_makes_the_log_incomplete(tmp_path: Path, name: str) -> None:
    grow(tmp_path, 258)
    (tmp_path / name).unlink()
    with pytest.raises(BundleIncomplete, match=name.split(".")[0]):
        read_log(tmp_path)


def test_an_entry_that_changes_under_a_running_log_is_seen(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append(leaf(0))
        log.publish()
        flip(tmp_path / "tile/entries/000.p/1")
        with pytest.raises(VerificationFailed, match="Entry 0 changed on disk"):
            log.leaf(0)
        log.append(leaf(1))
        with pytest.raises(VerificationFailed, match="Entry 0 is not what was appended"):
            log.publish()


def test_entries_and_tiles_changed_together_miss_the_root(tmp_path: Path) -> None:
    note = grow(tmp_path / "honest", 4)
    with opened(tmp_path / "other") as log:
        for index in (0, 1, 9, 3):
            log.append(leaf(index))
        log.publish()
    (tmp_path / "other/checkpoint").write_bytes(note)
    with pytest.raises(VerificationFailed, match="The 4 entries do not give the root"):
        read_log(tmp_path / "other")
    with pytest.raises(VerificationFailed, match="The 4 entries do not give the root"):
        TileLog(tmp_path / "other", ORIGIN, ORIGIN, KEY)


def test_a_log_signed_by_somebody_else_is_not_continued(tmp_path: Path) -> None:
    grow(tmp_path, 2)
    signed = read_checkpoint((tmp_path / "checkpoint").read_bytes())
    other = SigningKey.from_private_bytes(b"\x03" * 32)
    (tmp_path / "checkpoint").write_bytes(sign_checkpoint(signed, ORIGIN, other))
    with pytest.raises(VerificationFailed, match="not signed by"):
        TileLog(tmp_path, ORIGIN, ORIGIN, KEY)


def test_a_checkpoint_of_entries_that_are_not_there_is_incomplete(tmp_path: Path) -> None:
    grow(tmp_path, 2)
    lie = Checkpoint(origin=ORIGIN, size=2**40, root=bytes(32))
    (tmp_path / "checkpoint").write_bytes(sign_checkpoint(lie, ORIGIN, KEY))
    with pytest.raises(BundleIncomplete):
        read_log(tmp_path)


def test_a_reader_may_use_the_full_tile_where_the_partial_one_is_gone(tmp_path: Path) -> None:
    note = grow(tmp_path, 200)
    grow(tmp_path, 300)
    (tmp_path / "checkpoint").write_bytes(note)
    tiles.write(tmp_path / "tile/0/000", b"".join(leaf_hash(leaf(index)) for index in range(256)))
    assert read_log(tmp_path) == ([leaf(index) for index in range(200)], note)
