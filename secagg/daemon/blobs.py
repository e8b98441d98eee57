"""Large values as files named by their SHA-256: written once, re-hashed when read, put together from chunks.

Rules: draft → fsync → rename → fsync of the directory, so that a blob is whole or not there. A chunk counts as stored
when its data and its entry are on disk. A chunk with other bytes than the one that is stored is equivocation, and the
first stays. Leaves to others: who may write what, signatures, when blobs are no longer needed.
Source: docs/transport.md "Uploads" and "Crash rules".
"""

import hashlib
import os
import re
from collections.abc import Collection
from io import SEEK_END
from pathlib import Path

from secagg.crypto.derive import sha256
from secagg.daemon import drill
from secagg.daemon.vault import private_directory, sync_directory
from secagg.errors import BadInput, ProtocolViolation, VerificationFailed

_NAME = re.compile(r"\A[a-z0-9.-]{1,200}\Z")
_ENTRY = 46
"""Bytes of one entry of a partial upload: index (4, big-endian), hash of the chunk (32), length of its proof (2), check
(8); the proof follows, which is whatever shows who sent the chunk. The last entry of a whole blob has the blob's own
digest. The check is of all the rest: a crash may leave an entry some of whose sectors are zeros."""

_WHOLE = 2**32 - 1
"""Index of the entry that says that the blob is whole."""

_READ = 1_048_576


class Blobs:
    """The blobs of one daemon, in a directory of their own (0700)."""

    def __init__(self, directory: Path) -> None:
        self._directory = private_directory(directory)
        self._partials = private_directory(directory / "partial")

    def put(self, data: bytes | bytearray) -> bytes:
        """Keep `data`; return its digest (32 bytes). It is on disk when this returns."""
        digest = sha256(data)
        self.put_as(digest, data)
        return digest

    def put_as(self, name: bytes, data: bytes | bytearray) -> None:
        """Keep `data` under another digest of it than SHA-256, which whoever reads it checks."""
        path = self.path(name)
        if not self.has(name):
            draft = path.with_name(f".{path.name}.new")
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        # Also for one that is there: who put it may have been killed between the rename and this.
        sync_directory(self._directory)

    def path(self, digest: bytes) -> Path:
        """Return where the blob of this digest lies, or would lie."""
        return self._directory / digest.hex()

    def has(self, digest: bytes) -> bool:
        """Say whether the blob is there; its bytes are not looked at."""
        return self.path(digest).is_file()

    def get(self, digest: bytes) -> bytes:
        """Return the blob.

        Raises: BadInput when it is not there; VerificationFailed when its bytes are not what they were.
        """
        data = self.read(digest)
        if sha256(data) != digest:
            cause = f"The blob {digest.hex()[:16]}… is damaged on disk."
            raise VerificationFailed(cause, "Check the disk and restore the file.", code="E-BLOB")
        return data

    def read(self, name: bytes) -> bytes:
        """Return what is kept under a name; whether it is what the name says is for the caller to check.

        Raises: BadInput when it is not there.
        """
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            raise BadInput(f"The blob {name.hex()[:16]}… is not here.", "Fetch it again.", code="E-BLOB") from None

    def piece(self, digest: bytes, index: int, size: int) -> tuple[bytes, int]:
        """Return piece `index` of `size` bytes of a blob, and the blob's length: no more of it is read.

        Whether the whole is what its name says is for who gets it to check. Raises: BadInput when there is none.
        """
        try:
            with self.path(digest).open("rb") as file:
                total = file.seek(0, SEEK_END)
                if index * size >= total:
                    cause = f"Piece {index} lies outside a blob of {total} bytes."
                    raise BadInput(cause, "Ask for what its length says.")
                file.seek(index * size)
                return file.read(size), total
        except FileNotFoundError:
            raise BadInput(f"The blob {digest.hex()[:16]}… is not here.", "Fetch it again.", code="E-BLOB") from None

    def delete(self, digest: bytes) -> None:
        """Remove the blob; a missing one is no error."""
        self.path(digest).unlink(missing_ok=True)

    def sweep(self, digests: Collection[bytes], uploads: str | None) -> None:
        """Remove every blob but these, and every upload whose name does not begin with `uploads` (all when None)."""
        kept = {digest.hex() for digest in digests}
        for path in self._directory.iterdir():
            if path.is_file() and path.name not in kept:
                path.unlink(missing_ok=True)
        for path in self._partials.iterdir():
            if uploads is None or not path.name.startswith(uploads):
                path.unlink(missing_ok=True)

    def abandon(self, name: str) -> None:
        """Remove what has arrived of the upload `name`, if anything has."""
        for kept in (name, f"{name}.entries"):
            (self._partials / kept).unlink(missing_ok=True)

    def partial(self, name: str, total: int, chunk_bytes: int) -> "Partial":
        """Open, or take up again, the upload `name`: a blob of `total` bytes that arrives in chunks of `chunk_bytes`.

        Raises: BadInput for impossible sizes or names.
        """
        if not _NAME.match(name) or name.startswith("."):
            raise BadInput(f"{name!r} is no name of an upload.", "Use a round's label and a member's name.")
        if total < 1 or chunk_bytes < 1:
            raise BadInput("An upload and its chunks have at least one byte.")
        return Partial(self._directory, self._partials / name, total, chunk_bytes)


class Partial:
    """A blob that is not complete yet; survives a restart."""

    def __init__(self, blobs: Path, path: Path, total: int, chunk_bytes: int) -> None:
        self._blobs, self._path, self._total, self._chunk = blobs, path, total, chunk_bytes
        self._entries = path.with_name(f"{path.name}.entries")
        self._hashes: dict[int, bytes] = {}
        self._proofs: dict[int, bytes] = {}
        self._end = 0
        self._whole = self._moved = b""
        self._read_entries()

    @property
    def chunks(self) -> int:
        """How many chunks the blob has."""
        return -(-self._total // self._chunk)

    def have(self) -> set[int]:
        """Return the indices of the chunks that are stored."""
        return set(self._hashes)

    def hash_of(self, index: int) -> bytes | None:
        """Return the hash under which a chunk is stored, else None."""
        return self._hashes.get(index)

    def proof_of(self, index: int) -> bytes:
        """Return what came with a chunk that is stored, else nothing."""
        return self._proofs.get(index, b"")

    def write(self, index: int, data: bytes, proof: bytes = b"", digest: bytes = b"") -> None:
        """Store a chunk under its hash (SHA-256 when none is given) with its proof (at most 65,535 bytes).

        All is on disk when this returns.
        The same chunk twice is no error.
        Raises: ProtocolViolation (rule `equivocation`) for other bytes than those stored; BadInput for a wrong length.
        """
        digest = digest or sha256(data)
        known = self._hashes.get(index)
        if known is not None:
            if known != digest:
                raise ProtocolViolation(f"Chunk {index} came twice with different bytes.", rule="equivocation")
            return
        if not 0 <= index < self.chunks or len(data) != self._length(index):
            raise BadInput(f"Chunk {index} of {len(data)} bytes does not belong to this upload.")
        _write_at(self._path, index * self._chunk, data)
        drill.reach("chunk-data")
        # The entry comes after its data: a crash between the two forgets the chunk, never believes in a torn one.
        _write_at(self._entries, self._end, _entry(index, digest, proof))
        self._remember(index, digest, proof)

    def _remember(self, index: int, digest: bytes, proof: bytes) -> None:
        self._hashes[index], self._proofs[index] = digest, proof
        self._end += _ENTRY + len(proof)

    def complete(self, name: bytes = b"") -> bytes:
        """Make the whole blob out of its chunks, once; return its name: SHA-256, or `name`, which its reader checks.

        Which chunks it was made of stays known until `discard`, so that another body for one of them is noticed.
        Raises: BadInput while chunks are missing; ProtocolViolation when there is a blob of that `name` already, which
        may be somebody else's.
        """
        missing = self.chunks - len(self._hashes)
        if missing:
            raise BadInput(f"{missing} of {self.chunks} chunks are missing.", "Send them.")
        if not self._whole:
            # Each step may fail and is then done again: what is moved already is not looked for where it was.
            if self._path.exists():
                if name and (self._blobs / name.hex()).exists():
                    raise ProtocolViolation("An upload is named like one that is here.", rule="upload.twice")
                name = name or _digest_of(self._path)
                _write_at(self._entries, self._end, _entry(_WHOLE, name, b""))
                self._path.rename(self._blobs / name.hex())
                self._moved = name
            sync_directory(self._blobs)
            sync_directory(self._path.parent)
            self._whole = self._moved
        return self._whole

    def discard(self) -> None:
        """Drop what is stored."""
        self._path.unlink(missing_ok=True)
        self._forget()

    def _forget(self) -> None:
        self._entries.unlink(missing_ok=True)
        self._hashes.clear()
        self._proofs.clear()
        self._end, self._whole, self._moved = 0, b"", b""

    def _length(self, index: int) -> int:
        return min(self._chunk, self._total - index * self._chunk)

    def _read_entries(self) -> None:
        """Take up what is stored; data without an entry, or a torn entry, is written again."""
        if not self._entries.exists():
            return
        whole = self._parse(self._entries.read_bytes())
        if self._path.exists():
            return
        if whole and (self._blobs / whole.hex()).exists():
            self._whole = whole
        else:
            self._forget()

    def _parse(self, kept: bytes) -> bytes:
        """Remember the entries in `kept` up to the first torn one; return the digest of the whole, if it was whole."""
        while len(kept) >= self._end + _ENTRY:
            head = kept[self._end : self._end + _ENTRY]
            index, size = int.from_bytes(head[:4], "big"), int.from_bytes(head[36:38], "big")
            digest, proof = head[4:36], kept[self._end + _ENTRY : self._end + _ENTRY + size]
            if head + proof != _entry(index, digest, proof):
                break
            if index == _WHOLE:
                return digest
            if index >= self.chunks:
                break
            self._remember(index, digest, proof)
        return b""


def _entry(index: int, digest: bytes, proof: bytes) -> bytes:
    head = index.to_bytes(4, "big") + digest + len(proof).to_bytes(2, "big")
    return head + sha256(head + proof)[:8] + proof


def _write_at(path: Path, offset: int, data: bytes) -> None:
    new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if new:
        sync_directory(path.parent)


def _digest_of(path: Path) -> bytes:
    running = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ):
            running.update(block)
    return running.digest()
