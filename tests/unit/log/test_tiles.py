"""Where tiles lie and how bundles are written: the examples of C2SP tlog-tiles."""

from pathlib import Path

import pytest

from secagg.errors import BundleIncomplete, VerificationFailed
from secagg.log import tiles


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 999, 256, "tile/0/999"),
        (1, 1000, 256, "tile/1/x001/000"),
        (0, 1_234_067, 256, "tile/0/x001/x234/067"),
        (0, 273, 112, "tile/0/273.p/112"),
        (1, 1, 17, "tile/1/001.p/17"),
        ("entries", 5, 256, "tile/entries/005"),
        ("entries", 2001, 1, "tile/entries/x002/001.p/1"),
    ],
)
def test_path(level: int | str, number: int, width: int, path: str) -> None:
    assert tiles.path_of(level, number, width) == path


def test_a_log_of_70000_entries_has_the_tiles_of_the_specification() -> None:
    """c2sp.org/tlog-tiles: 273 full tiles and 112 hashes at level 0, one full and 17 at level 1, 1 at level 2."""
    found = {level: list(tiles.touched(0, 70_000, level)) for level in tiles.levels_of(70_000)}
    assert [len(found[level]) for level in (0, 1, 2)] == [274, 2, 1]
    assert (found[0][-1], found[1], found[2]) == ((273, 112), [(0, 256), (1, 17)], [(0, 1)])
    assert sorted(found) == [0, 1, 2]


@pytest.mark.parametrize(
    ("size", "levels"), [(0, []), (1, [0]), (255, [0]), (256, [0, 1]), (65_535, [0, 1]), (65_536, [0, 1, 2])]
)
def test_levels(size: int, levels: list[int]) -> None:
    assert list(tiles.levels_of(size)) == levels


def test_only_what_changes_is_touched() -> None:
    assert list(tiles.touched(255, 513, 0)) == [(0, 256), (1, 256), (2, 1)]
    assert list(tiles.touched(255, 513, 1)) == [(0, 2)]
    assert list(tiles.touched(257, 300, 1)) == []


def test_a_bundle_has_two_byte_lengths() -> None:
    assert tiles.join([b"ab", b"", b"c" * 258]) == b"\x00\x02ab\x00\x00\x01\x02" + b"c" * 258
    assert tiles.split(b"\x00\x02ab\x00\x00", 0, 2) == [b"ab", b""]


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_torn_bundle_names_the_entry(cut: int) -> None:
    data = tiles.join([b"ab", b"cd"])
    with pytest.raises(VerificationFailed, match=f"Entry {512 if cut > 4 else 513} is torn"):
        tiles.split(data[:-cut], 512, 2)


def test_bytes_behind_a_bundle_are_refused() -> None:
    with pytest.raises(VerificationFailed, match="Entry 1 stands where none belongs"):
        tiles.split(tiles.join([b"ab", b"cd"]), 0, 1)


def test_a_file_longer_than_any_tile_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "000").open("wb") as stream:
        stream.truncate(256 * 65_537 + 1)
    with pytest.raises(VerificationFailed, match="longer than any tile"):
        tiles.read(tmp_path / "000")
    with pytest.raises(BundleIncomplete):
        tiles.read(tmp_path / "001")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "000"
    tiles.write(path, b"one")
    tiles.write(path, b"two")
    assert [(found.name, found.read_bytes()) for found in path.parent.iterdir()] == [("000", b"two")]
