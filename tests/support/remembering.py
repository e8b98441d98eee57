"""What the members of a federation in one process need not compute again: what one signed, the next verifies.

`remember`, called by conftest.py before any test module is imported, puts this in the place of the real functions.
Rules: only functions whose outcome follows from their arguments alone are remembered, under all of their arguments
(key, context and bytes). A failure never is: what was bent on its way is computed each time. What signs and seals is
the real code. Tests of crypto itself run inside `forgotten`; real processes that a test starts remember nothing.
Source: a profile; a third of the default run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any

from secagg.crypto import agree, seal, sign
from secagg.crypto.derive import sha256
from secagg.crypto.secret import Secret

MANY = 2**17
"""Claims, sealed pieces or agreed secrets after which all of their kind are forgotten: some 50 MB."""

_off: list[bool] = []
"""Not empty: everything is computed."""

_claims: set[tuple[bytes, bytes, bytes]] = set()
"""Public key, signature and SHA-256 of the data of what has verified, or was signed here."""

_sealed: dict[tuple[bytes, bytes, bytes], bytes] = {}
"""The plaintext by public key, context and SHA-256 of the sealed piece."""

_agreed: dict[frozenset[bytes], Secret] = {}
"""The secret of two public keys, whichever of them is the private one."""


def _verifying(real: Callable[[bytes, bytes, bytes], None]) -> Callable[[bytes, bytes, bytes], None]:
    @wraps(real)
    def verify(public: bytes, data: bytes, signature: bytes) -> None:
        claim = public, signature, sha256(data)
        if _off or claim not in _claims:
            real(public, data, signature)
            _claims.add(claim)

    return verify


def _signing(real: Callable[[sign.SigningKey, bytes], bytes]) -> Callable[[sign.SigningKey, bytes], bytes]:
    @wraps(real)
    def signed(key: sign.SigningKey, data: bytes) -> bytes:
        signature = real(key, data)
        if len(_claims) > MANY:
            _claims.clear()
        _claims.add((key.public, signature, sha256(data)))
        return signature

    return signed


def _sealing(real: Callable[[bytes, bytes, bytes], bytes]) -> Callable[[bytes, bytes, bytes], bytes]:
    @wraps(real)
    def sealing(public: bytes, plaintext: bytes, info: bytes) -> bytes:
        sealed = real(public, plaintext, info)
        if len(_sealed) > MANY:
            _sealed.clear()
        _sealed[public, info, sha256(sealed)] = plaintext
        return sealed

    return sealing


def _opening(
    real: Callable[[seal.SealingKey, bytes, bytes], bytes],
) -> Callable[[seal.SealingKey, bytes, bytes], bytes]:
    @wraps(real)
    def opened(key: seal.SealingKey, sealed: bytes, info: bytes) -> bytes:
        plaintext = None if _off else _sealed.get((key.public, info, sha256(sealed)))
        return real(key, sealed, info) if plaintext is None else plaintext

    return opened


def _agreeing(real: Callable[[agree.AgreementKey, bytes], Secret]) -> Callable[[agree.AgreementKey, bytes], Secret]:
    @wraps(real)
    def agreed(own: agree.AgreementKey, peer: bytes) -> Secret:
        pair = frozenset((own.public, peer))
        if _off or pair not in _agreed:
            if len(_agreed) > MANY:
                _agreed.clear()
            _agreed[pair] = real(own, peer)
        return _agreed[pair]

    return agreed


def _made(real: Callable[[bytes], Any]) -> Any:
    """Make each key of a repeatable generator once."""
    made = lru_cache(maxsize=1000)(real)

    @wraps(real)
    def from_private_bytes(data: bytes) -> Any:
        return real(data) if _off else made(data)

    return staticmethod(from_private_bytes)


def remember() -> None:
    """Compute once what all members compute, in this process and from now on."""
    replacements: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
        (sign, "verify", _verifying),
        (sign.SigningKey, "sign", _signing),
        (seal, "seal", _sealing),
        (seal.SealingKey, "open", _opening),
        (seal.SealingKey, "from_private_bytes", _made),
        (agree.AgreementKey, "from_private_bytes", _made),
        (agree.AgreementKey, "agree", _agreeing),
    )
    for holder, name, remembering in replacements:
        setattr(holder, name, remembering(getattr(holder, name)))


@contextmanager
def forgotten() -> Iterator[None]:
    """Compute everything, until the end of the block."""
    _off.append(True)
    try:
        yield
    finally:
        _off.pop()
