"""C2SP tlog-checkpoint and tlog-cosignature: the signed size and root of a log.

Rules: body = origin, size in decimal, root in base64, one per line. The log signs the body under its origin as key
name. A witness signs `cosignature/v1`, its time and the body. Source: c2sp.org, tlog-checkpoint and tlog-cosignature.
"""

import base64
import binascii
from functools import lru_cache

import msgspec
from msgspec import Struct

from secagg.crypto.sign import SigningKey, verify
from secagg.errors import BadSignature, VerificationFailed
from secagg.ids import Count, Digest
from secagg.log.note import COSIGNATURE, ED25519, line, parse, signature_of


class Checkpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """The state of a log."""

    origin: str
    size: Count
    root: Digest

    def body(self) -> bytes:
        """Return the note text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()


def sign_checkpoint(checkpoint: Checkpoint, name: str, key: SigningKey) -> bytes:
    """Return the checkpoint as a note signed by the log under `name`."""
    body = checkpoint.body()
    return body + b"\n" + line(name, ED25519, key.public, key.sign(body))


@lru_cache(maxsize=16)
def read_checkpoint(note: bytes) -> Checkpoint:
    """Return the checkpoint of a note without judging its signatures.

    Raises: VerificationFailed when the text is no checkpoint.
    """
    text, _ = parse(note)
    try:
        origin, size, encoded, end = text.decode().split("\n")
        found = msgspec.convert(
            {"origin": origin, "size": int(size), "root": base64.b64decode(encoded, validate=True)}, Checkpoint
        )
    except (ValueError, binascii.Error, msgspec.ValidationError):
        raise VerificationFailed("A note is no checkpoint.", "Check the file.") from None
    # One state has one text: no sign, leading zero or spare bit of base64, and nothing behind it.
    if end or not origin or not origin.isprintable() or found.body() != text:
        raise VerificationFailed("A note is no checkpoint.", "Check the file.")
    return found


def open_checkpoint(note: bytes, origin: str, log_key: bytes) -> Checkpoint:
    """Return the checkpoint once origin and the log's signature hold under `log_key` (32 bytes).

    Raises: VerificationFailed.
    """
    checkpoint = read_checkpoint(note)
    if checkpoint.origin != origin:
        raise VerificationFailed(f"A checkpoint of {checkpoint.origin} where {origin} belongs.", "Check the log.")
    text, lines = parse(note)
    try:
        verify(log_key, text, signature_of(lines, origin, ED25519, log_key))
    except BadSignature:
        raise VerificationFailed(f"The signature of {origin} does not verify.", "Check the key.") from None
    return checkpoint


def cosign(note: bytes, name: str, key: SigningKey, time: int) -> bytes:
    """Return a witness's signature line on a checkpoint at `time` (unix seconds)."""
    text, _ = parse(note)
    signed = key.sign(f"cosignature/v1\ntime {time}\n".encode() + text)
    return line(name, COSIGNATURE, key.public, time.to_bytes(8, "big") + signed)


def verify_cosignature(checkpoint: Checkpoint, signature_line: bytes, name: str, public: bytes) -> int:
    """Check a witness's line on exactly this checkpoint; return its time (unix seconds).

    Raises: VerificationFailed, also when it is more than one line: appended to the note, that would change its text.
    """
    if signature_line.count(b"\n") != 1:
        raise VerificationFailed(f"The co-signature of {name} is not one line.", "Ask the witness.")
    _, lines = parse(b"-\n\n" + signature_line)
    packed = signature_of(lines, name, COSIGNATURE, public)
    time = int.from_bytes(packed[:8], "big")
    try:
        verify(public, f"cosignature/v1\ntime {time}\n".encode() + checkpoint.body(), packed[8:])
    except BadSignature:
        raise VerificationFailed(f"The co-signature of {name} does not verify.", "Ask the witness.") from None
    return time


def add_cosignatures(note: bytes, lines: tuple[bytes, ...]) -> bytes:
    """Return the note with witness lines appended."""
    return note + b"".join(lines)
