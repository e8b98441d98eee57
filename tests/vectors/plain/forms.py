"""The forms that everything is written in, from their definitions, for generators only.

Length-prefixed fields, HKDF (RFC 5869), MessagePack, signed messages, Merkle trees (RFC 6962), signed notes (C2SP),
canonical JSON, Shamir shares. Nothing here imports the product.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

from vectors.plain.curves import ed25519_public, ed25519_sign

PRIME = 2**256 + 297
Fields = Mapping[str, object]


def sha(data: bytes) -> bytes:
    """Return SHA-256."""
    return hashlib.sha256(data).digest()


def drawn(label: str, count: int) -> bytes:
    """Return `count` bytes that follow from the label: SHAKE-256."""
    return hashlib.shake_256(label.encode()).digest(count)


def fields(*parts: bytes | str | int) -> bytes:
    """Return every part behind its length in four bytes, big-endian."""
    result = b""
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        result += len(data).to_bytes(4, "big") + data
    return result


def hkdf(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Return HKDF-SHA-256: extract, then expand."""
    key = hmac.digest(salt or bytes(32), material, "sha256")
    block, result = b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([number]), "sha256")
        result += block
    return result[:length]


def msgpack(value: object) -> bytes:
    """Return the shortest MessagePack form of builtins; maps keep their order."""
    match value:
        case bool():
            return b"\xc3" if value else b"\xc2"
        case None:
            return b"\xc0"
        case int():
            return _number(value)
        case str():
            data = value.encode()
            return _head(len(data), (0xA0, 32), (0xD9, 0xDA, 0xDB)) + data
        case bytes():
            return _head(len(value), (0, 0), (0xC4, 0xC5, 0xC6)) + value
        case Mapping():
            inner = b"".join(msgpack(key) + msgpack(entry) for key, entry in value.items())
            return _head(len(value), (0x80, 16), (0, 0xDE, 0xDF)) + inner
        case Sequence():
            return _head(len(value), (0x90, 16), (0, 0xDC, 0xDD)) + b"".join(map(msgpack, value))
        case _:
            raise TypeError(type(value))


def _head(length: int, short: tuple[int, int], long: tuple[int, int, int]) -> bytes:
    if length < short[1]:
        return bytes([short[0] | length])
    for size, code in zip((1, 2, 4), long, strict=True):
        if code and length < 256**size:
            return bytes([code]) + length.to_bytes(size, "big")
    raise ValueError("too long")


def _number(value: int) -> bytes:
    if -32 <= value < 128:
        return bytes([value & 0xFF])
    for size, positive, negative in ((1, 0xCC, 0xD0), (2, 0xCD, 0xD1), (4, 0xCE, 0xD2), (8, 0xCF, 0xD3)):
        if 0 <= value < 256**size:
            return bytes([positive]) + value.to_bytes(size, "big")
        if value < 0 and -value <= 256**size // 2:
            return bytes([negative]) + value.to_bytes(size, "big", signed=True)
    raise ValueError("too large")


# Rounds and signed messages ------------------------------------------------------------------------------------------

ROUND: dict[str, object] = {"federation": "fed-a", "job": "heart", "round": 3, "attempt": 2, "group": 0}


def scope(manifest: bytes, **changes: object) -> dict[str, object]:
    """Return a scope: the round of the vectors, with changes, and H(manifest)."""
    return {"round": {**ROUND, **changes}, "manifest": manifest}


def context(label: str, kind: str, where: Mapping[str, object], sender: str, receiver: str) -> bytes:
    """Return what signatures, derivations and seals are bound to."""
    r = where["round"]
    manifest = where["manifest"]
    if not isinstance(r, Mapping) or not isinstance(manifest, bytes):
        raise TypeError("a scope is a round and a digest")
    names = [str(r[name]) for name in ("federation", "job", "round", "attempt", "group")]
    return fields(label, kind, *names, manifest, sender, receiver)


def signed_bytes(kind: str, where: Mapping[str, object], sender: str, receiver: str, body: bytes) -> bytes:
    """Return the bytes that a message's signature covers."""
    return context("secagg/v1/message", kind, where, sender, receiver) + fields(sha(body))


def message(
    seed: bytes, kind: str, where: Mapping[str, object], sender: str, receiver: str, body: bytes
) -> dict[str, object]:
    """Return a signed message."""
    signature = ed25519_sign(seed, signed_bytes(kind, where, sender, receiver, body))
    return {"kind": kind, "sender": sender, "receiver": receiver, "body": body, "signature": signature}


# Merkle trees, as RFC 6962 §2.1 defines them: by recursion -----------------------------------------------------------


def leaf(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha(b"\x00" + data)


def _cut(size: int) -> int:
    at = 1
    while 2 * at < size:
        at *= 2
    return at


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """Return MTH of leaf hashes."""
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    at = _cut(len(leaves))
    return sha(b"\x01" + tree_hash(leaves[:at]) + tree_hash(leaves[at:]))


def inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PATH(index, leaves)."""
    if len(leaves) == 1:
        return []
    at = _cut(len(leaves))
    if index < at:
        return [*inclusion(index, leaves[:at]), tree_hash(leaves[at:])]
    return [*inclusion(index - at, leaves[at:]), tree_hash(leaves[:at])]


def consistency(old: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """Return PROOF(old, leaves); empty for nothing and for the same size."""
    if old == len(leaves):
        return [] if whole else [tree_hash(leaves)]
    at = _cut(len(leaves))
    if old <= at:
        return [*consistency(old, leaves[:at], whole), tree_hash(leaves[at:])]
    return [*consistency(old - at, leaves[at:], False), tree_hash(leaves[:at])]


# Notes and statements ------------------------------------------------------------------------------------------------


def note_line(name: str, kind: int, public: bytes, signature: bytes) -> bytes:
    """Return one signature line of a C2SP signed-note."""
    packed = sha(name.encode() + b"\n" + bytes([kind]) + public)[:4] + signature
    return f"\u2014 {name} {base64.b64encode(packed).decode()}\n".encode()


def checkpoint_body(origin: str, size: int | str, root: bytes | str) -> bytes:
    """Return the text of a checkpoint."""
    text = root if isinstance(root, str) else base64.b64encode(root).decode()
    return f"{origin}\n{size}\n{text}\n".encode()


def log_note(body: bytes, origin: str, seed: bytes) -> bytes:
    """Return a note signed by a log under its origin."""
    return body + b"\n" + note_line(origin, 1, ed25519_public(seed), ed25519_sign(seed, body))


def cosigned(body: bytes, name: str, seed: bytes, time: int) -> bytes:
    """Return a witness's line on a checkpoint's text."""
    signature = ed25519_sign(seed, f"cosignature/v1\ntime {time}\n".encode() + body)
    return note_line(name, 4, ed25519_public(seed), time.to_bytes(8, "big") + signature)


def canonical(value: object) -> bytes:
    """Return sorted, compact, ASCII JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def statement(document: Fields, signer: str, seed: bytes) -> bytes:
    """Return the log entry of a statement."""
    whole = {**document, "signer": signer}
    signature = ed25519_sign(seed, fields("secagg/v1/statement", canonical(whole)))
    return canonical({**whole, "signature": signature.hex()})


# Shamir's shares -----------------------------------------------------------------------------------------------------


def share(secret: bytes, randomness: bytes, x: int) -> bytes:
    """Return the share at x; every 64 bytes of randomness are a coefficient, of the first power first."""
    value = int.from_bytes(secret, "big")
    for power, at in enumerate(range(0, len(randomness), 64), start=1):
        value += int.from_bytes(randomness[at : at + 64], "big") * x**power
    return (value % PRIME).to_bytes(33, "big")
