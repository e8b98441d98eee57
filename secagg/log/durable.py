"""The log on disk: C2SP tlog-tiles and a checkpoint in one directory, written so that a crash loses nothing signed.

Rules: entries and tiles are flushed, read back and hashed again before a checkpoint is signed over them. The checkpoint
replaces the old one in one step. What lies beyond the checkpoint after a crash was never signed: whole entries count as
appended, torn ones are dropped. A partial tile can be made again from its entries; a full one never changes, so damage
there stops the log. One process writes a log. Leaves to others: what the entries mean (statements).
"""

import fcntl
import os
import weakref
from pathlib import Path

from secagg.crypto.sign import SigningKey
from secagg.errors import BadInput, TryLater, VerificationFailed
from secagg.log import tiles
from secagg.log.checkpoint import Checkpoint, add_cosignatures, open_checkpoint, read_checkpoint, sign_checkpoint
from secagg.log.growing import Tree
from secagg.log.tiles import ENTRIES, HASH, WIDTH
from secagg.log.tree import leaf_hash
from secagg.log.witness import LogProof

CHECKPOINT = "checkpoint"
_REMEDY = "Restore the log from a copy; never sign it again as it is."


class TileLog:
    """A log in a directory; `name` is the key name of its checkpoints, the same as its origin."""

    def __init__(self, directory: Path, origin: str, name: str, key: SigningKey) -> None:
        """Open or begin the log.

        Raises: TryLater when another process has it open; VerificationFailed when what was signed is damaged.
        """
        self._directory, self._origin, self._name, self._key = directory, origin, name, key
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(directory)
        self._close = weakref.finalize(self, os.close, self._lock)
        try:
            self._tree, self._pending, self._published, self.checkpoint = self._open()
        except BaseException:
            self._close()
            raise

    def close(self) -> None:
        """Let another process open the log."""
        self._close()

    @property
    def size(self) -> int:
        """Return how many entries were appended."""
        return self._tree.size

    def append(self, leaf: bytes) -> int:
        """Add a leaf and return its index; it is on disk once published.

        Raises: BadInput when it is longer than 65,535 bytes.
        """
        tiles.check_entry(leaf)
        self._pending.append(leaf)
        self._tree.append(leaf_hash(leaf))
        return self.size - 1

    def publish(self) -> bytes:
        """Store everything appended, read it back, sign a checkpoint over it, write and return that.

        Raises: VerificationFailed when the disk gives back something else.
        """
        if self.checkpoint and self._published == self.size:
            return self.checkpoint
        self._store(self._published, self.size)
        found = Checkpoint(origin=self._origin, size=self.size, root=self._tree.root())
        note = sign_checkpoint(found, self._name, self._key)
        tiles.write(self._directory / CHECKPOINT, note)
        self._drop_partials(self._published, self.size)
        self.checkpoint, self._published, self._pending = note, self.size, []
        return note

    def add_cosignatures(self, lines: tuple[bytes, ...]) -> bytes:
        """Append witness lines to the published checkpoint and return it; the caller has verified them."""
        note = add_cosignatures(self.checkpoint, lines)
        tiles.write(self._directory / CHECKPOINT, note)
        self.checkpoint = note
        return note

    def prove(self, index: int, old_size: int = 0) -> LogProof:
        """Prove entry `index` and consistency from `old_size` against the published checkpoint.

        Raises: BadInput when either lies outside what is published.
        """
        return LogProof(
            index=index, checkpoint=self.checkpoint, inclusion=self._tree.inclusion(index, self._published),
            old_size=old_size, consistency=self._tree.consistency(old_size, self._published),
        )  # fmt: skip

    def leaf(self, index: int) -> bytes:
        """Return an entry.

        Raises: BadInput when there is none; VerificationFailed when the disk gives back something else.
        """
        if not 0 <= index < self.size:
            raise BadInput(f"There is no entry {index} in a log of {self.size}.", "Count from 0.")
        if index >= self._published:
            return self._pending[index - self._published]
        number = index // WIDTH
        width = min(WIDTH, self._published - number * WIDTH)
        found = _entries(self._directory, number, width)[index % WIDTH]
        if leaf_hash(found) != self._tree.levels[0][index]:
            raise VerificationFailed(f"Entry {index} changed on disk.", _REMEDY)
        return found

    def _hashes(self, level: int, number: int, width: int) -> bytes:
        return b"".join(self._tree.levels[8 * level][number * WIDTH : number * WIDTH + width])

    def _store(self, old: int, new: int) -> None:
        """Write the bundles and tiles that change from `old` to `new` entries, then compare them with the disk."""
        for number, width in tiles.touched(old, new, ENTRIES):
            first = number * WIDTH
            kept = _entries(self._directory, number, old - first) if first < old else []
            fresh = self._pending[first + len(kept) - old : first + width - old]
            tiles.write(self._directory / tiles.path_of(ENTRIES, number, width), tiles.join(kept + fresh))
        for level in tiles.levels_of(new):
            for number, width in tiles.touched(old, new, level):
                path = self._directory / tiles.path_of(level, number, width)
                tiles.write(path, self._hashes(level, number, width))
                if tiles.read(path) != self._hashes(level, number, width):
                    raise VerificationFailed(f"{path} is not what was written.", _REMEDY)
        for number, width in tiles.touched(old, new, ENTRIES):
            self._compare(number, _entries(self._directory, number, width))

    def _compare(self, number: int, leaves: list[bytes]) -> None:
        for index, leaf in enumerate(leaves, number * WIDTH):
            if leaf_hash(leaf) != self._tree.levels[0][index]:
                raise VerificationFailed(f"Entry {index} is not what was appended.", _REMEDY)

    def _drop_partials(self, old: int, new: int) -> None:
        """Remove the partial files of tiles that are full now; nobody needs them."""
        for level in (ENTRIES, *tiles.levels_of(new)):
            for number, width in tiles.touched(old, new, level):
                if width == WIDTH:
                    _remove_partials(self._directory / tiles.path_of(level, number))

    def _open(self) -> tuple[Tree, list[bytes], int, bytes]:
        note, signed = b"", Checkpoint(origin=self._origin, size=0, root=Tree().root())
        if (self._directory / CHECKPOINT).exists():
            note = tiles.read(self._directory / CHECKPOINT)
            signed = open_checkpoint(note, self._origin, self._key.public)
        tree = Tree()
        pending: list[bytes] = []
        for leaf in _stored(self._directory, signed.size):
            if tree.size >= signed.size:
                pending.append(leaf)
            tree.append(leaf_hash(leaf))
        _check_tiles(self._directory, tree, signed, mend=True)
        return tree, pending, signed.size, note


def read_log(directory: Path) -> tuple[list[bytes], bytes]:
    """Return (entries, checkpoint note) of a log, once entries, tiles and the checkpoint's root agree.

    Judges no signature. Raises: BundleIncomplete when a file is missing; VerificationFailed naming the entry.
    """
    leaves, note = read_entries(directory)
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    _check_tiles(directory, tree, read_checkpoint(note), mend=False)
    return leaves, note


def read_entries(directory: Path) -> tuple[list[bytes], bytes]:
    """Return (entries, checkpoint note) of a log without judging that they belong together (`read_log` does).

    Raises: BundleIncomplete when a file is missing; VerificationFailed when a file is not of the log's form.
    """
    note = tiles.read(directory / CHECKPOINT)
    leaves: list[bytes] = []
    for number, width in tiles.touched(0, read_checkpoint(note).size, ENTRIES):
        leaves += _entries(directory, number, width)
    return leaves, note


def _lock(directory: Path) -> int:
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise TryLater(f"Another process writes the log in {directory}.", "Stop it first.") from None
    return handle


def _entries(directory: Path, number: int, width: int) -> list[bytes]:
    """Return the first `width` entries of bundle `number`, from the partial file or the full one.

    Raises: BundleIncomplete, VerificationFailed.
    """
    partial = directory / tiles.path_of(ENTRIES, number, width)
    if partial.exists():
        return tiles.split(tiles.read(partial), number * WIDTH, width)
    return tiles.split(tiles.read(directory / tiles.path_of(ENTRIES, number)), number * WIDTH, WIDTH)[:width]


def _stored(directory: Path, signed: int) -> list[bytes]:
    """Return all entries on disk: the `signed` ones, which must be whole, and whole ones beyond."""
    leaves: list[bytes] = []
    number = 0
    while True:
        found = _widest(directory, number, signed - number * WIDTH)
        leaves += found
        number += 1
        if len(found) < WIDTH:
            return leaves


def _widest(directory: Path, number: int, least: int) -> list[bytes]:
    """Return the widest whole bundle `number`, of at least `least` entries (0 or less: there may be none)."""
    partials = (directory / tiles.path_of(ENTRIES, number, 1)).parent
    names = (path.name for path in partials.glob("*") if path.name.isdecimal())
    for width in (WIDTH, *sorted(map(int, names), reverse=True)):
        path = directory / tiles.path_of(ENTRIES, number, width)
        if width > max(least, 0) and path.exists():
            try:
                return tiles.split(tiles.read(path), number * WIDTH, width)
            except VerificationFailed:
                path.unlink()  # torn by a crash before anything was signed over it
    return _entries(directory, number, min(least, WIDTH)) if least > 0 else []


def _remove_partials(full: Path) -> None:
    partials = full.with_name(full.name + ".p")
    for path in partials.glob("*"):
        path.unlink()
    if partials.is_dir():
        partials.rmdir()


def _check_tiles(directory: Path, tree: Tree, signed: Checkpoint, *, mend: bool) -> None:
    """Compare hash tiles with `tree` (made from the entries) and its root with the checkpoint.

    With `mend`, a damaged partial tile is written again, once the root holds.
    """
    root_holds = tree.root(signed.size) == signed.root
    for level in tiles.levels_of(signed.size):
        for number, width in tiles.touched(0, signed.size, level):
            wanted = tree.levels[8 * level][number * WIDTH : number * WIDTH + width]
            path = directory / tiles.path_of(level, number, width)
            if mend and root_holds and width < WIDTH:
                _mend(path, b"".join(wanted))
            else:
                _check_tile(directory, level, number, wanted)
    if not root_holds:
        raise VerificationFailed(f"The {signed.size} entries do not give the root of the checkpoint.", _REMEDY)


def _mend(path: Path, wanted: bytes) -> None:
    if not path.exists() or path.read_bytes() != wanted:
        tiles.write(path, wanted)


def _check_tile(directory: Path, level: int, number: int, wanted: list[bytes]) -> None:
    path = directory / tiles.path_of(level, number, len(wanted))
    whole = path.exists() or len(wanted) == WIDTH
    if not whole:
        path = directory / tiles.path_of(level, number)
    found = tiles.read(path)
    for offset, value in enumerate(wanted):
        if found[offset * HASH : (offset + 1) * HASH] != value:
            first = (number * WIDTH + offset) << 8 * level
            raise VerificationFailed(f"Entry {first} and {path.relative_to(directory)} do not agree.", _REMEDY)
    if whole and len(found) != len(wanted) * HASH:
        raise VerificationFailed(f"{path.relative_to(directory)} has a wrong length.", _REMEDY)
