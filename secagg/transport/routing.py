"""The routing frame: what a peer asks of the broker, and what the broker says about the sender.

Rules: at most 128 bytes, an array without field names so that the longest name fits; a peer never names itself.
A message is exactly three frames, `[routing][header][body]`. Leaves to others: who may send what (broker.py).
Source: docs/transport.md "Sockets".
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from secagg.errors import BadInput, WireError
from secagg.ids import Name
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_HEADER, LIMIT_ROUTING

FRAMES = 3
Kind = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,32}\Z")]
Id = Annotated[bytes, Meta(max_length=16)]


class Routing(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """From a peer to the broker."""

    to: Name
    kind: Kind
    id: Id = b""


class Stamped(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """From the broker to a peer; `curve_key` only when the sender is a guest."""

    sender: Name
    kind: Kind
    id: Id = b""
    curve_key: Annotated[bytes, Meta(max_length=32)] = b""


def write_routing(to: str, kind: str, id: bytes) -> bytes:
    """Return the routing frame. Raises: BadInput when the other side would refuse it."""
    _check(to, kind, len(id))
    return encode(Routing(to, kind, id))


@lru_cache(maxsize=1024)
def _check(to: str, kind: str, id_bytes: int) -> None:
    """Refuse what the other side would; there are few names, kinds and lengths. Raises: BadInput."""
    try:
        msgspec.msgpack.decode(encode(Routing(to, kind, bytes(id_bytes))), type=Routing)
    except msgspec.ValidationError as error:
        raise BadInput(f"A message of kind {kind!r} to {to!r} cannot be routed: {error}.", "Check the name.") from None


def read_routing(frames: Sequence[bytes | memoryview]) -> Routing:
    """Return the routing of a message that arrived as `frames`.

    Raises: WireError when it is not `[routing][header][body]` within the limits.
    """
    if len(frames) != FRAMES:
        raise WireError(f"A message has {len(frames)} frames, not {FRAMES}.", rule="frames")
    if len(frames[1]) > LIMIT_HEADER:
        raise WireError(f"A header has {len(frames[1])} bytes, more than {LIMIT_HEADER}.", rule="header")
    return decode(Routing, frames[0], LIMIT_ROUTING)


def read_stamped(frames: Sequence[bytes | memoryview]) -> Stamped:
    """Return who sent a message that the broker relayed. Raises: WireError."""
    if len(frames) != FRAMES:
        raise WireError(f"A message has {len(frames)} frames, not {FRAMES}.", rule="frames")
    return decode(Stamped, frames[0], LIMIT_ROUTING)
