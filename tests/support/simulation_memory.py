"""What the roles of one process need not compute again: pure functions of bytes, remembered for one seed.

All roles are in one process here: what one has signed, the next verifies, and what one seals, another opens. Rules:
only functions whose outcome follows from their arguments alone are remembered, under all of their arguments (key,
context and bytes). A failure never is, so that what was bent on its way is computed each time. What signs and seals is
the real code. A history is the same with and without this room (tests/sim/test_simulation.py).
Leaves to others: everything else. Source: a profile; half of a seed's time.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey

from secagg.crypto import agree, seal, sign
from secagg.log import statements
from secagg.wire import codec
from support.remembering import forgotten

MANY = 50_000
"""Claims about signatures after which all are forgotten: those of the founding serve every seed."""

_good: set[tuple[bytes, bytes, bytes]] = set()


class _Verifier:
    """An Ed25519 public key that does not compute again what it has verified, or what was signed here."""

    def __init__(self, public: bytes) -> None:
        self._public = public

    @classmethod
    def from_public_bytes(cls, public: bytes) -> "_Verifier":
        """Return a key."""
        return cls(public)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Verify with the real class, once."""
        claim = (self._public, signature, data)
        if claim not in _good:
            Ed25519PublicKey.from_public_bytes(self._public).verify(signature, data)
            _good.add(claim)


def _signing(real: Callable[[sign.SigningKey, bytes], bytes]) -> Callable[[sign.SigningKey, bytes], bytes]:
    """Remember with a signature that it holds."""

    def signed(key: sign.SigningKey, data: bytes) -> bytes:
        signature = real(key, data)
        _good.add((key.public, signature, bytes(data)))
        return signature

    return signed


class _Public(NamedTuple):
    """A public key with the bytes that it was made of."""

    key: Any
    data: bytes


class _Kind:
    """Public keys of one kind, each made once."""

    def __init__(self, real: Any) -> None:
        self.from_public_bytes = lru_cache(maxsize=1000)(lambda data: _Public(real.from_public_bytes(data), data))


class _Suite:
    """HPKE that knows what it has sealed: to which key, in which context."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._plain: dict[tuple[bytes, bytes, bytes], bytes] = {}

    def encrypt(self, plaintext: bytes, key: _Public, info: bytes) -> bytes:
        """Seal with the real suite."""
        sealed: bytes = self._real.encrypt(plaintext, key.key, info)
        self._plain[key.data, info, sealed] = plaintext
        return sealed

    def decrypt(self, sealed: bytes, key: _Public, info: bytes) -> bytes:
        """Return what was sealed here, or open it with the real suite."""
        plain = self._plain.get((key.data, info, bytes(sealed)))
        return plain if plain is not None else self._real.decrypt(sealed, key.key, info)


def _whole(mlkem: _Public, x25519: _Public) -> _Public:
    return _Public(MLKEM768X25519PublicKey(mlkem.key, x25519.key), mlkem.data + x25519.data)


def _private(mlkem: Any, x25519: Any) -> _Public:
    halves = mlkem.public_key().public_bytes_raw(), x25519.public_key().public_bytes_raw()
    return _Public(MLKEM768X25519PrivateKey(mlkem, x25519), b"".join(halves))


def _agreeing(real: Callable[[agree.AgreementKey, bytes], Any]) -> Callable[[agree.AgreementKey, bytes], Any]:
    """Two keys agree on one secret, whichever of them is the private one."""
    secrets: dict[frozenset[bytes], Any] = {}

    def agreed(own: agree.AgreementKey, peer: bytes) -> Any:
        pair = frozenset((own.public, peer))
        if pair not in secrets:
            secrets[pair] = real(own, peer)
        return secrets[pair]

    return agreed


class _Decoded(dict[bytes, Any]):
    """Structs of one kind by their bytes; they cannot be changed."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self._decoder = decoder
        self.decode = self.__getitem__

    def __missing__(self, data: bytes) -> Any:
        found = self[data] = self._decoder.decode(data)
        return found


def _compiling(real: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a task once: its file stays the same."""
    codes: dict[tuple[str, bytes], Any] = {}

    def compiled(loader: SourceFileLoader, data: bytes, path: str, **options: Any) -> Any:
        if (path, data) not in codes:
            codes[path, data] = real(loader, data, path, **options)
        return codes[path, data]

    return compiled


def _read_bytes(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - this is what takes its place


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def _is_dir(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def _paths() -> list[tuple[Any, str, Any]]:
    """Return what makes paths cheaper: the same system calls on the same files, and paths do not change."""
    made = lru_cache(maxsize=4000)
    return [
        (PurePath, "__truediv__", made(PurePath.__truediv__)),
        (PurePath, "with_name", made(PurePath.with_name)),
        (Path, "read_bytes", _read_bytes),
        (Path, "exists", _exists),
        (Path, "is_file", _is_file),
        (Path, "is_dir", _is_dir),
    ]


@lru_cache(maxsize=8)
def _known_as(function: Callable[..., Any]) -> list[tuple[Any, str]]:
    """Return every module that knows a function, and as what."""
    modules = [module for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    return [(module, name) for module in modules for name, value in list(vars(module).items()) if value is function]


def _replacements() -> list[tuple[Any, str, Any]]:
    """Return whose attribute gives way to what."""
    made = lru_cache(maxsize=1000)
    return [
        *_paths(),
        (sign, "Ed25519PublicKey", _Verifier),
        (sign.SigningKey, "sign", _signing(sign.SigningKey.sign)),
        (seal, "MLKEM768PublicKey", _Kind(MLKEM768PublicKey)),
        (seal, "X25519PublicKey", _Kind(X25519PublicKey)),
        (seal, "MLKEM768X25519PublicKey", _whole),
        # What the product keeps of public keys holds keys of one kind: nothing of it may pass in or out of the block.
        (sign, "_key", made(sign._key.__wrapped__)),
        (seal, "_halves", made(seal._halves.__wrapped__)),
        (seal, "MLKEM768X25519PrivateKey", _private),
        (seal, "_halves", made(seal._halves.__wrapped__)),
        (seal, "_SUITE", _Suite(seal._SUITE)),
        (seal.SealingKey, "from_private_bytes", staticmethod(made(seal.SealingKey.from_private_bytes))),
        (agree.AgreementKey, "from_private_bytes", staticmethod(made(agree.AgreementKey.from_private_bytes))),
        (agree.AgreementKey, "agree", _agreeing(agree.AgreementKey.agree)),
        *((module, name, _parsed) for module, name in _known_as(statements.parse_statement)),
        (codec, "_decoder", made(lambda kind, real=codec._decoder: _Decoded(real(kind)))),
    ]


@contextmanager
def _instead(holder: Any, name: str, new: object) -> Iterator[None]:
    inherited, old = name not in vars(holder), vars(holder).get(name)
    setattr(holder, name, new)
    try:
        yield
    finally:
        if inherited:
            delattr(holder, name)
        else:
            setattr(holder, name, old)


_parsed = lru_cache(maxsize=1000)(statements.parse_statement)
_compiled = _compiling(SourceFileLoader.source_to_code)


@contextmanager
def remembered() -> Iterator[None]:
    """Compute once what all roles compute, until the end of the block."""
    if len(_good) > MANY:
        _good.clear()
    # Keys in here are of another kind: what every test remembers waits outside.
    with ExitStack() as stack:
        stack.enter_context(forgotten())
        for holder, name, new in _replacements():
            stack.enter_context(_instead(holder, name, new))
        stack.enter_context(_instead(SourceFileLoader, "source_to_code", _compiled))
        yield
