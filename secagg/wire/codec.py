"""Bytes to structs and back; the only door for bytes from a peer.

Rules: strict types, unknown fields refused, length checked before decoding, and `WireError` is the only exception that
leaves (msgspec also leaks UnicodeDecodeError and RecursionError). Bytes received are what is signed, hashed and logged;
nothing here re-encodes to verify, because msgpack accepts reordered and duplicate keys. For the same reason a member's
bytes that go into a list or a proof for others have to be in their one form (`decode_exact`). A field said a thousand
times would make it longer than a message may be.
Leaves to others: signatures (secagg.wire.signed), meaning.

What has a field too many, or is longer than its place allows, is refused:

>>> class Greeting(msgspec.Struct, forbid_unknown_fields=True):
...     name: str
>>> data = encode(Greeting("charite"))
>>> decode(Greeting, data)
Greeting(name='charite')
>>> decode(Greeting, encode({"name": "charite", "age": 3}))
Traceback (most recent call last):
secagg.errors.WireError: Bytes are not a valid Greeting: Object contains unknown field `age`. ...
>>> decode(Greeting, data, limit=8)
Traceback (most recent call last):
secagg.errors.WireError: A message of 14 bytes exceeds the limit of 8 for Greeting. ...
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from secagg.errors import WireError
from secagg.wire.limits import LIMIT_CONTROL

T = TypeVar("T")

SAID = 200
"""Letters of what is wrong with bytes: they may hold a name that a peer chose."""

_encoder = msgspec.msgpack.Encoder()


def encode(value: object) -> bytes:
    """Return the msgpack bytes of a struct."""
    return _encoder.encode(value)


def decode(kind: type[T], data: bytes | memoryview, limit: int = LIMIT_CONTROL) -> T:
    """Return `data` as a `kind`.

    Raises: WireError when it is longer than `limit` bytes or anything but one valid value.
    """
    if len(data) > limit:
        raise WireError(
            f"A message of {len(data)} bytes exceeds the limit of {limit} for {_name(kind)}.",
            "Send lists of this size as chunks.",
        )
    try:
        found: T = _decoder(kind).decode(data)
        return found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError, ValueError) as error:
        raise WireError(
            f"Bytes are not a valid {_name(kind)}: {str(error)[:SAID]}.", "Check that both sides run the same release."
        ) from None


def decode_exact(kind: type[T], data: bytes, limit: int = LIMIT_CONTROL) -> T:
    """Return `data` as a `kind`, once it is the very bytes that `encode` makes of it.

    Raises: WireError, rule `wire.form` when the same value has another, longer form here.
    """
    found = decode(kind, data, limit)
    if encode(found) != data:
        raise WireError(
            f"A {_name(kind)} is not in its one form.", "Check that both sides run the same release.", rule="wire.form"
        )
    return found


_decoder: Callable[[Any], msgspec.msgpack.Decoder[Any]] = lru_cache(maxsize=512)(msgspec.msgpack.Decoder)


def _name(kind: object) -> str:
    return getattr(kind, "__name__", str(kind))
