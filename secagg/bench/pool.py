"""Obfuscators made ahead, on disk: filled while the model trains, deleted before they are used.

Rules (protocol §8): a segment's file is overwritten, unlinked and the directory synced *before* one of its obfuscators
is handed out. So no crash, and no second process, gives one out twice. What was taken and not used is lost, never put
back. A restored backup is another epoch: entries of other epochs, other keys and half-written files are deleted when
the pool is opened. One process at a time holds the directory's lock.
Leaves to others: the epoch (the key server's boot epoch), when to fill. Who reads an entry can decrypt what it hides.
"""

import fcntl
import os
import threading
from hashlib import sha256
from pathlib import Path
from types import TracebackType

from secagg.crypto.labels import fields
from secagg.crypto.paillier.encrypt import Obfuscators
from secagg.crypto.paillier.numbers import read, write
from secagg.crypto.paillier.ring import Ring
from secagg.errors import BadConfiguration, ProtocolViolation

_LABEL = "secagg/v1/paillier/pool"
_SUFFIX = ".obfuscators"
_DIGEST = 32


class Pool:
    """Obfuscators of one ring and epoch in a directory of their own (mode 0700)."""

    def __init__(self, directory: Path, ring: Ring, epoch: int) -> None:
        """Open the pool and delete what it must not hold.

        Raises: BadConfiguration when another process has it open.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory, self._ring = directory, ring
        self._head = fields(_LABEL, ring.digest, epoch)
        self._exponent_width = -(-ring.exponent_bits // 8)
        self._guard = threading.Lock()
        self._ready = Obfuscators((), ())
        self._handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._handle)
            raise BadConfiguration(
                "The pool of obfuscators is in use by another process.", "Give each process a directory of its own."
            ) from None
        self._segments = dict(self._found())
        self._next = 1 + max((int(path.name.removesuffix(_SUFFIX)) for path in self._segments), default=-1)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._ready) + sum(self._segments.values())

    def close(self) -> None:
        """Release the directory; obfuscators that were read but not taken are lost."""
        self._ready = Obfuscators((), ())
        os.close(self._handle)

    def put(self, obfuscators: Obfuscators) -> None:
        """Keep obfuscators; on return they are on disk."""
        widths = (self._exponent_width, self._ring.width)
        data = self._head + write(obfuscators.exponents, widths[0]) + write(obfuscators.values, widths[1])
        with self._guard:
            path = self._directory / f"{self._next:012d}{_SUFFIX}"
            temporary = path.with_suffix(".new")
            self._next += 1
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data + sha256(data).digest())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            os.fsync(self._handle)
            self._segments[path] = len(obfuscators)

    def take(self, count: int) -> Obfuscators:
        """Take at most `count` obfuscators out; when fewer are left, fewer."""
        with self._guard:
            while len(self._ready) < count and self._segments:
                path = min(self._segments)
                del self._segments[path]
                data = path.read_bytes()
                self._erase(path)
                self._ready = self._ready + self._parse(data)
            return self._ready.split(count)

    def _found(self) -> list[tuple[Path, int]]:
        found = []
        for path in sorted(self._directory.iterdir()):
            count = self._whole(path)
            if count:
                found.append((path, count))
            else:
                self._erase(path)
        return found

    def _whole(self, path: Path) -> int:
        """Return how many obfuscators of this ring and epoch the file holds; none when it is anything else."""
        if path.suffix != _SUFFIX or not path.name.removesuffix(_SUFFIX).isdecimal():
            return 0
        data = path.read_bytes()
        whole = data.startswith(self._head) and sha256(data[:-_DIGEST]).digest() == data[-_DIGEST:]
        each = self._exponent_width + self._ring.width
        return (len(data) - len(self._head) - _DIGEST) // each if whole else 0

    def _erase(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        os.fsync(self._handle)

    def _parse(self, data: bytes) -> Obfuscators:
        """Return a file's obfuscators; a file that was damaged since the pool was opened gives none."""
        body = memoryview(data)[len(self._head) : -_DIGEST]
        at = len(body) // (self._exponent_width + self._ring.width) * self._exponent_width
        if sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:]:
            return Obfuscators((), ())
        try:
            exponents = read(body[:at], self._exponent_width, 1 << self._ring.exponent_bits, "exponents")
            return Obfuscators(exponents, self._ring.read(body[at:]))
        except ProtocolViolation:
            return Obfuscators((), ())
