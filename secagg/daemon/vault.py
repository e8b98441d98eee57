"""Secrets on disk: a daemon's long-lived keys under a passphrase, and the keys of one round, which can be destroyed.

Rules: a secret lies in a file of mode 0600, without links, owned by this user, in a directory of mode 0700. Looser is
refused, not repaired, because somebody may already have read it. A passphrase comes from a file, the service manager's
credentials or a prompt, never from the command line. Erasing overwrites and unlinks the round's own data key: on disks
that keep old blocks the overwritten bytes are still wrapped under the storage key.
Leaves to others: what is sealed. Source: docs/operations.md "Enrolment" and "Deployment", docs/protocol.md §3.
"""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from secagg.crypto import box
from secagg.crypto.labels import fields
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret, Veiled
from secagg.errors import BadConfiguration, BadInput, SealBroken

_KEYS = "secagg/v1/key-file"
_ROUND = "secagg/v1/round-data-key"
_SEALED = "secagg/v1/round-data"
_LABEL = re.compile(r"\A[a-z0-9-]{1,64}(\.[a-z0-9-]{1,64}){0,7}\Z")
_LARGEST = 65_536


def check_private(path: Path) -> None:
    """Refuse a secret's file that others may read, replace or reach under another name.

    Raises: BadConfiguration with the mode and the command that repairs it.
    """
    check_file(path)
    check_directory(path.parent)


def check_file(path: Path) -> None:
    """Refuse a file that others may read, or reach under another name.

    Raises: as `check_private`.
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    if not stat.S_ISREG(found.st_mode):
        raise BadConfiguration(f"{path} is a symbolic link or no file.", "Put the file itself there.")
    if found.st_nlink != 1:
        raise BadConfiguration(
            f"{path} has {found.st_nlink} hard links.", "Copy it, remove every link, rotate the key."
        )
    _check_mode(path, found, 0o600)


def check_directory(path: Path) -> None:
    """Refuse a directory of secrets that others may enter.

    Raises: as `check_private`.
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    if not stat.S_ISDIR(found.st_mode):
        raise BadConfiguration(f"{path} is a symbolic link or no directory.", "Name the directory itself.")
    _check_mode(path, found, 0o700)


def private_directory(path: Path) -> Path:
    """Make `path` (0700) if it is missing, check it, return it.

    Raises: as `check_directory`.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be made: {error.strerror}.", "Choose another state_dir.") from None
    check_directory(path)
    return path


def _check_mode(path: Path, found: os.stat_result, widest: int) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~widest:
        raise BadConfiguration(f"{path} has mode {mode:04o}: others may use it.", f"chmod {widest:04o} {path}")
    if found.st_uid != os.geteuid():
        raise BadConfiguration(f"{path} belongs to another user.", f"chown {os.geteuid()} {path}")


def write_private(path: Path, data: bytes) -> None:
    """Write a secret's file: 0600 from its first moment, complete or not there, on disk when this returns."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Put the names in a directory on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def passphrase(file: Path | None = None, *, prompt: Callable[[], str] | None = None) -> Secret:
    """Return the passphrase: from `file`, else `$CREDENTIALS_DIRECTORY/passphrase`, else `prompt`.

    Raises: BadConfiguration when none of them gives one, or a file is open to others.
    """
    if file:
        check_private(file)
        return _filled(file.read_bytes(), str(file))
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and Path(credentials, "passphrase").is_file():
        # The service manager mounts these for this unit alone and sets their modes itself.
        return _filled(Path(credentials, "passphrase").read_bytes(), "the credential `passphrase`")
    if prompt:
        return _filled(prompt().encode(), "the prompt")
    raise BadConfiguration("There is no passphrase for the key file.", "Set passphrase_file in the configuration.")


def _filled(data: bytes, source: str) -> Secret:
    phrase = data.rstrip(b"\r\n")
    if not phrase:
        raise BadConfiguration(f"The passphrase from {source} is empty.", "Write one line there.")
    return Secret(phrase)


@dataclass(frozen=True)
class KeyRing:
    """The long-lived keys of a member, 32 bytes each: Ed25519, CURVE, and what seals the state directory."""

    sign: Secret
    curve: Secret
    storage: Secret


class _RingBytes(Veiled, frozen=True, forbid_unknown_fields=True):
    sign: Annotated[bytes, Meta(min_length=32, max_length=32)]
    curve: Annotated[bytes, Meta(min_length=32, max_length=32)]
    storage: Annotated[bytes, Meta(min_length=32, max_length=32)]


class _KeyFile(Struct, frozen=True, forbid_unknown_fields=True, tag="secagg-keys-v1"):
    cost: Annotated[int, Meta(ge=2**14, le=2**20)]
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    box: bytes


def generate_keys(rng: Rng) -> KeyRing:
    """Draw a new ring."""
    return KeyRing(Secret(rng(32)), Secret(rng(32)), Secret(rng(32)))


def save_keys(path: Path, ring: KeyRing, phrase: Secret, rng: Rng, cost: int = 2**15) -> None:
    """Write `ring` under a passphrase: AES-256-GCM, its key from scrypt with `cost` (a power of two).

    Raises: BadConfiguration when the directory is open to others.
    """
    check_directory(path.parent)
    salt = rng(16)
    plain = msgspec.msgpack.encode(_RingBytes(ring.sign.reveal(), ring.curve.reveal(), ring.storage.reveal()))
    key = box.stretch(phrase.reveal(), salt, cost).reveal()
    sealed = box.encrypt(key, plain, fields(_KEYS, cost, salt), rng)
    write_private(path, msgspec.msgpack.encode(_KeyFile(cost, salt, sealed)))


def load_keys(path: Path, phrase: Secret) -> KeyRing:
    """Read a ring that `save_keys` wrote.

    Raises: BadConfiguration when the file is open to others, damaged, or the passphrase is another one.
    """
    check_private(path)
    try:
        kept = msgspec.msgpack.decode(path.read_bytes()[:_LARGEST], type=_KeyFile)
        key = box.stretch(phrase.reveal(), kept.salt, kept.cost).reveal()
        plain = box.decrypt(key, kept.box, fields(_KEYS, kept.cost, kept.salt))
        ring = msgspec.msgpack.decode(plain, type=_RingBytes)
    except SealBroken:
        cause = f"The keys in {path} do not open with this passphrase."
        raise BadConfiguration(cause, "Check passphrase_file; a lost passphrase is a new enrolment.") from None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadConfiguration(f"{path} is no key file.", "Restore it from the backup.") from None
    return KeyRing(Secret(ring.sign), Secret(ring.curve), Secret(ring.storage))


class RoundKeys:
    """Seals what a round needs, each round under a random data key of its own that can be destroyed alone."""

    def __init__(self, directory: Path, storage: Secret, rng: Rng) -> None:
        self._directory = private_directory(directory)
        self._storage = storage
        self._rng = rng

    def seal(self, label: str, data: bytes) -> bytes:
        """Return `data` sealed for the round `label` (RoundId.label()); its data key is on disk when this returns."""
        path = self._path(label)
        if not path.exists():
            wrapped = box.encrypt(self._storage.reveal(), self._rng(32), fields(_ROUND, label), self._rng)
            write_private(path, wrapped)
        return box.encrypt(self._key(label), data, fields(_SEALED, label), self._rng)

    def open(self, label: str, sealed: bytes) -> bytes:
        """Return what `seal` sealed.

        Raises: SealBroken when the round's key is erased, or the bytes are of another round or damaged.
        """
        return box.decrypt(self._key(label), sealed, fields(_SEALED, label))

    def erase(self, label: str) -> None:
        """Destroy the round's data key: overwrite, unlink, on disk when this returns. Erasing twice is no error."""
        path = self._path(label)
        if not path.exists():
            return
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        sync_directory(self._directory)

    def labels(self) -> list[str]:
        """Return the rounds whose data key is not erased."""
        return sorted(path.stem for path in self._directory.glob("*.key"))

    def _key(self, label: str) -> bytes:
        path = self._path(label)
        try:
            wrapped = path.read_bytes()
        except FileNotFoundError:
            raise SealBroken(f"The key of round {label} is erased.", "What it sealed is gone for good.") from None
        return box.decrypt(self._storage.reveal(), wrapped, fields(_ROUND, label))

    def _path(self, label: str) -> Path:
        if not _LABEL.match(label):
            raise BadInput(f"{label!r} is no label of a round.", "Use RoundId.label().")
        return self._directory / f"{label}.key"
