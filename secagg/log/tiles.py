"""C2SP tlog-tiles: where hashes and entries of a log lie in a directory, and the form of their files.

Rules: `tile/<L>/<N>` holds the hashes at level 8·L of the tree, 256 to a file. `tile/entries/<N>` the entries, each
behind its length in two bytes, big-endian. N is written in groups of three digits, all but the last behind an `x`. A
file that is not full ends in `.p/<W>`. A file is written whole, flushed, then renamed, and its directory is flushed.
Leaves to others: which files there must be, and signing (durable). Source: c2sp.org/tlog-tiles.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from secagg.errors import BadInput, BundleIncomplete, VerificationFailed

WIDTH = 256
HASH = 32
MAX_ENTRY = 65_535
"""The longest entry whose length fits two bytes."""

ENTRIES = "entries"
_MAX_FILE = WIDTH * (MAX_ENTRY + 2)


def check_entry(leaf: bytes) -> None:
    """Refuse an entry that no bundle can hold.

    Raises: BadInput.
    """
    if len(leaf) > MAX_ENTRY:
        raise BadInput(
            f"A log entry has {len(leaf)} bytes; at most {MAX_ENTRY} fit.", "Log the digest of the list instead."
        )


def path_of(level: int | str, number: int, width: int = WIDTH) -> str:
    """Return the relative path of tile `number` at `level` (or ENTRIES); below 256 wide, that of the partial tile."""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03}")
    full = f"tile/{level}/{'/'.join(groups)}"
    return full if width == WIDTH else f"{full}.p/{width}"


def touched(old: int, new: int, level: int | str) -> Iterator[tuple[int, int]]:
    """Yield (number, width) of the tiles at `level` (or ENTRIES) that change as a log grows from `old` to `new`."""
    shift = 0 if level == ENTRIES else 8 * int(level)
    before, after = old >> shift, new >> shift
    if before < after:
        for number in range(before // WIDTH, -(-after // WIDTH)):
            yield number, min(WIDTH, after - number * WIDTH)


def levels_of(size: int) -> range:
    """Return the levels at which a log of `size` entries has tiles."""
    return range(-(-size.bit_length() // 8))


def join(leaves: Sequence[bytes]) -> bytes:
    """Return the bundle of at most 256 entries."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def split(data: bytes, first: int, width: int) -> list[bytes]:
    """Return the `width` entries of a bundle whose first entry has the number `first`.

    Raises: VerificationFailed naming the entry at which the bundle is torn.
    """
    leaves: list[bytes] = []
    at = 0
    while len(leaves) < width:
        stop = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if len(data) < at + 2 or len(data) < stop:
            raise VerificationFailed(f"Entry {first + len(leaves)} is torn.", "Restore the log from a copy.")
        leaves.append(data[at + 2 : stop])
        at = stop
    if at != len(data):
        raise VerificationFailed(f"Entry {first + width} stands where none belongs.", "Restore the log from a copy.")
    return leaves


def read(path: Path) -> bytes:
    """Return a file of a log.

    Raises: BundleIncomplete when it is not there; VerificationFailed when it is longer than any tile.
    """
    try:
        if path.stat().st_size > _MAX_FILE:
            raise VerificationFailed(f"{path.name} of a log is longer than any tile.", "Restore it from a copy.")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BundleIncomplete(f"The log lacks {path}.", "Restore it from a copy.") from None


def write(path: Path, data: bytes) -> None:
    """Write a file whole and durable: a crash leaves the old one or the new one."""
    fresh = path.with_name(path.name + ".new")
    with _opened(fresh) as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
    flush(path.parent)


def _opened(path: Path) -> BinaryIO:
    """Open a file for writing; its directory is there, but for the first file in it."""
    try:
        return path.open("wb")
    except FileNotFoundError:
        _make(path.parent)
        return path.open("wb")


def _make(directory: Path) -> None:
    if not directory.is_dir():
        _make(directory.parent)
        directory.mkdir(exist_ok=True)
        flush(directory.parent)


def flush(directory: Path) -> None:
    """Put the names in a directory on disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
