"""Hashes and key derivation: SHA-256, HMAC-SHA-256, HKDF-SHA-256 (RFC 5869)."""

import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from secagg.crypto.secret import Secret


def sha256(data: bytes | bytearray | memoryview) -> bytes:
    """Return SHA-256 of `data` (32 bytes)."""
    return hashlib.sha256(data).digest()


def sha256_after(prefix: bytes) -> Callable[[bytes | memoryview], bytes]:
    """Return what hashes `prefix` and its argument, without putting them together in memory."""
    begun = hashlib.sha256(prefix)

    def hashed(data: bytes | memoryview) -> bytes:
        hasher = begun.copy()
        hasher.update(data)
        return hasher.digest()

    return hashed


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """Return HMAC-SHA-256 of `data` under `key` (32 bytes)."""
    return hmac.digest(key, data, "sha256")


def derive(ikm: Secret | bytes, *, salt: bytes, info: bytes, length: int = 32) -> Secret:
    """Return `length` bytes of HKDF-SHA-256; `info` is a whole context (labels.fields), never a bare label."""
    material = ikm.reveal() if isinstance(ikm, Secret) else ikm
    return Secret(HKDF(SHA256(), length, salt, info).derive(material))
