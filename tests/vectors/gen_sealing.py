"""Write sealing.json: sealed pieces that open, and what does not. `--check` compares only.

HPKE draws its own randomness, so what the file holds sealed stays as it is, and only a new case is sealed. This is the
one generator that asks the product. That the pieces open is the test's business.
"""

import json
from pathlib import Path

from secagg.crypto.seal import SealingKey, seal
from vectors.plain.forms import context, drawn, scope
from vectors.plain.writing import Vectors, finish

TARGET = Path(__file__).with_name("sealing.json")
PRIVATE = drawn("sealing key", 96)
PUBLIC = SealingKey.from_private_bytes(PRIVATE).public
H = drawn("some manifest", 32)
SHARE = "secagg/v1/masks/share"
INFO = context(SHARE, "ShareKeys", scope(H), "north", "south")
PIECES = {"a share pair": (drawn("plain", 76), INFO), "nothing": (b"", INFO), "no context": (b"a", b"")}
KEM = 1120
"""Bytes before the ciphertext: 1,088 of ML-KEM-768, 32 of X25519."""


def pieces() -> dict[str, bytes]:
    """Return the sealed bytes of every piece, those of the file where it has them."""
    kept = {}
    if TARGET.exists():
        for case in json.loads(TARGET.read_text())["accepted"]:
            if case["do"] == "open-seal":
                kept[case["name"]] = bytes.fromhex(case["in"]["sealed"])
    return {name: kept.get(name) or seal(PUBLIC, plain, info) for name, (plain, info) in PIECES.items()}


def flipped(data: bytes, at: int) -> bytes:
    """Return the bytes with one bit changed."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def text() -> str:
    """Return the file's text."""
    to = Vectors("Sealing by HPKE, MLKEM768-X25519, HKDF-SHA-256, AES-256-GCM: pieces to open, none to repeat.")
    to.accept("public half", "sealing-key", {"private": PRIVATE}, PUBLIC)
    sealed = pieces()
    for name, (plain, info) in PIECES.items():
        to.accept(name, "open-seal", {"private": PRIVATE, "sealed": sealed[name], "info": info}, plain)
    good = sealed["a share pair"]
    for name, data in {
        "first byte changed": flipped(good, 0), "last byte of ML-KEM changed": flipped(good, 1087),
        "first byte of X25519 changed": flipped(good, 1088), "ciphertext changed": flipped(good, KEM),
        "tag changed": flipped(good, -1), "tag cut short": good[:-1], "a byte behind it": good + b"\0",
        "no ciphertext": good[:KEM], "shorter than a key": good[: KEM - 1], "empty": b"",
        "X25519 of zeros": good[:1088] + bytes(32) + good[KEM:], "zeros": bytes(len(good)),
    }.items():  # fmt: skip
        to.refuse(name, "open-seal", {"private": PRIVATE, "sealed": data, "info": INFO}, "SealBroken")
    for name, change in {
        "sent by another": {"info": context(SHARE, "ShareKeys", scope(H), "west-1", "south")},
        "of another attempt": {"info": context(SHARE, "ShareKeys", scope(H, attempt=3), "north", "south")},
        "of another use": {"info": context("secagg/v1/masks/answer", "ShareKeys", scope(H), "north", "south")},
        "context left out": {"info": b""}, "for another key": {"private": drawn("another sealing key", 96)},
    }.items():  # fmt: skip
        to.refuse(name, "open-seal", {"private": PRIVATE, "sealed": good, "info": INFO, **change}, "SealBroken")
    for name, key in {
        "key of 1215 bytes": PUBLIC[:-1], "key of 1217 bytes": PUBLIC + b"\0", "no key": b"",
        "coefficient not reduced": b"\xff\xff" + PUBLIC[2:], "X25519 half of zeros": PUBLIC[:1184] + bytes(32),
    }.items():  # fmt: skip
        to.refuse(f"sealing to: {name}", "seal", {"public": key}, "ProtocolViolation", rule="seal.key")
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
