"""Encryption at rest: AES-256-GCM with a random nonce, and keys from passphrases by scrypt (RFC 7914)."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.errors import SealBroken

_NONCE = 12


def encrypt(key: bytes, plaintext: bytes, aad: bytes, rng: Rng) -> bytes:
    """Return nonce ‖ ciphertext under a 32-byte key, bound to `aad`."""
    nonce = rng(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def decrypt(key: bytes, box: bytes, aad: bytes) -> bytes:
    """Return the plaintext of `encrypt`.

    Raises: SealBroken when key, `aad` or bytes differ.
    """
    try:
        return AESGCM(key).decrypt(box[:_NONCE], box[_NONCE:], aad)
    except (InvalidTag, ValueError):
        raise SealBroken("Encrypted bytes do not open with this key.", "Check the passphrase or the file.") from None


def stretch(passphrase: bytes, salt: bytes, n: int = 2**15) -> Secret:
    """Return a 32-byte key from a passphrase: scrypt with r = 8, p = 1 and cost `n` (a power of two)."""
    return Secret(Scrypt(salt=salt, length=32, n=n, r=8, p=1).derive(passphrase))
