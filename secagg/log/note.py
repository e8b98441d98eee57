"""C2SP signed-note: text, an empty line, and signature lines `— name base64(key id ‖ signature)`.

Rules: the text ends with a newline and holds no control characters. A key id is the first four bytes of SHA-256(name ‖
0x0A ‖ type ‖ public key). Lines of unknown keys are ignored. Types: 0x01 Ed25519, 0x04 Ed25519 co-signature with a
timestamp (C2SP tlog-cosignature). Source: c2sp.org/signed-note.
"""

import base64
import binascii
from collections.abc import Sequence
from functools import lru_cache

from secagg.crypto.derive import sha256
from secagg.errors import VerificationFailed

ED25519 = b"\x01"
COSIGNATURE = b"\x04"
MAX_NOTE = 1_000_000


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """Return the four-byte id of a named key."""
    return sha256(name.encode() + b"\n" + kind + public)[:4]


def line(name: str, kind: bytes, public: bytes, signature: bytes) -> bytes:
    """Return one signature line, with its newline."""
    packed = base64.b64encode(key_id(name, kind, public) + signature)
    return "\u2014 ".encode() + name.encode() + b" " + packed + b"\n"


@lru_cache(maxsize=16)
def parse(note: bytes) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """Return the text (with its last newline) and the signature lines as (name, key id ‖ signature).

    The newest checkpoint comes with every proof, so that the last few notes are kept.

    Raises: VerificationFailed when it is no note.
    """
    if len(note) > MAX_NOTE:
        raise VerificationFailed("A note is longer than any log makes.", "Check the file.")
    text, found, rest = note.rpartition(b"\n\n")
    if not found or not rest.endswith(b"\n"):
        raise VerificationFailed("A checkpoint has no signature block.", "Check the file.")
    return text + b"\n", tuple(_parse_line(entry) for entry in rest[:-1].split(b"\n"))


def _parse_line(entry: bytes) -> tuple[str, bytes]:
    try:
        dash, name, packed = entry.decode().split(" ")
        raw = base64.b64decode(packed, validate=True)
    except (ValueError, binascii.Error):
        raise VerificationFailed("A signature line is malformed.", "Check the file.") from None
    if dash != "\u2014" or not _is_name(name) or len(raw) < 5 or base64.b64encode(raw).decode() != packed:
        raise VerificationFailed("A signature line is malformed.", "Check the file.")
    return name, raw


def _is_name(name: str) -> bool:
    return name.isprintable() and name != "" and not any(letter == "+" or letter.isspace() for letter in name)


def signature_of(lines: Sequence[tuple[str, bytes]], name: str, kind: bytes, public: bytes) -> bytes:
    """Return the signature bytes of a named key.

    Raises: VerificationFailed when the note has none.
    """
    wanted = key_id(name, kind, public)
    for found, raw in lines:
        if found == name and raw[:4] == wanted:
            return raw[4:]
    raise VerificationFailed(f"The checkpoint is not signed by {name}.", "Check the key you trust.")
