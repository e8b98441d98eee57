"""A bundle: the directory of files that an auditor gets, and how it is written.

```
BUNDLE/ root.txt            federation and the fingerprint of its root key
        directory/          the key server's log (tiles, checkpoint)
        rounds/             the aggregator's log
        files/<digest>      side files that statements name, by SHA-256: rosters, manifests, lists, answers;
                            uploads by the digest in their header, for masks their Merkle root
        results/<hmac hex>  published results by their salted digest
        salts.json          salt of each round's result, hex by round label
```
Rules: a file is named by its digest and written whole under another name, then renamed; nothing is ever changed. It is
on disk when a method returns, so that a statement that names it may be logged then; a log only ever grows.
Leaves to others: reading and judging (secagg.auditor), what is kept and for how long (aggregator).
"""

import json
from contextlib import suppress
from pathlib import Path

from secagg.crypto.derive import hmac_sha256, sha256
from secagg.errors import BundleIncomplete, VerificationFailed
from secagg.ids import RoundId
from secagg.log import tiles
from secagg.log.checkpoint import read_checkpoint
from secagg.log.durable import CHECKPOINT
from secagg.log.growing import Tree
from secagg.log.tree import leaf_hash


class BundleWriter:
    """Adds files to a bundle's directory; what a method stored is on disk when it returns."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for part in ("files", "results"):
            (directory / part).mkdir(parents=True, exist_ok=True)

    def put_file(self, data: bytes) -> str:
        """Store a side file and return its name."""
        name = sha256(data).hex()
        tiles.write(self._directory / "files" / name, data)
        return name

    def link_file(self, name: str, source: Path) -> None:
        """Store the side file `name` (hex) as a link to one that is on disk and never changes."""
        files = self._directory / "files"
        with suppress(FileExistsError):
            (files / name).hardlink_to(source)
        tiles.flush(files)

    def put_upload(self, name: str, data: bytes) -> None:
        """Store an upload under the name (hex) that statements give it, which the auditor recomputes."""
        tiles.write(self._directory / "files" / name, data)

    def put_root(self, federation: str, fingerprint: str) -> None:
        """Store what the auditor compares with the fingerprint it was told."""
        tiles.write(self._directory / "root.txt", f"{federation}\n{fingerprint}\n".encode())

    def put_result(self, round_id: RoundId, published: bytes, salt: bytes) -> None:
        """Store a round's published result under its salted digest, and the salt."""
        tiles.write(self._directory / "results" / hmac_sha256(salt, published).hex(), published)
        path = self._directory / "salts.json"
        salts = json.loads(path.read_bytes()) if path.exists() else {}
        salts[round_id.label()] = salt.hex()
        tiles.write(path, json.dumps(salts, sort_keys=True).encode())

    def put_log(self, name: str, source: Path) -> None:
        """Copy a log's tiles and checkpoint as `name` (`directory` or `rounds`), also while it grows.

        The checkpoint is read first, then what it covers. Raises: BundleIncomplete; VerificationFailed when the copy
        that is here already is not the beginning of the log.
        """
        note = tiles.read(source / CHECKPOINT)
        size = read_checkpoint(note).size
        self._check_extends(self._directory / name, source, size)
        for level in (tiles.ENTRIES, *tiles.levels_of(size)):
            for number, width in tiles.touched(0, size, level):
                part, data = _part(source, level, number, width)
                tiles.write(self._directory / name / part, data)
        tiles.write(self._directory / name / CHECKPOINT, note)

    @staticmethod
    def _check_extends(copy: Path, source: Path, size: int) -> None:
        """Refuse a log of `size` entries that does not begin with the ones in `copy`."""
        if not (copy / CHECKPOINT).exists():
            return
        old, tree = read_checkpoint(tiles.read(copy / CHECKPOINT)), Tree()
        for number, width in tiles.touched(0, size, tiles.ENTRIES):
            part, data = _part(source, tiles.ENTRIES, number, width)
            full = part == tiles.path_of(tiles.ENTRIES, number)
            for leaf in tiles.split(data, number * tiles.WIDTH, tiles.WIDTH if full else width):
                tree.append(leaf_hash(leaf))
        if old.size > size or tree.root(old.size) != old.root:
            cause = f"The log in {source} does not begin with the {old.size} entries of {copy}."
            raise VerificationFailed(cause, "Keep both: they may prove a fork. Export to another directory.")


def _part(source: Path, level: int | str, number: int, width: int) -> tuple[str, bytes]:
    """Return (relative path, bytes) of a tile; a partial one may have become full, and gone, since the checkpoint."""
    part = tiles.path_of(level, number, width)
    try:
        return part, tiles.read(source / part)
    except BundleIncomplete:
        full = tiles.path_of(level, number)
        return full, tiles.read(source / full)
