"""An upload in pieces: the signed header of a chunk, its acknowledgement, and the arithmetic of the split.

Rules (transport, Uploads): a chunk is named by (round id, node, index) and bound to its bytes by their hash. Header and
acknowledgement are signed (secagg.wire.signed). Same key and hash, same acknowledgement. After a silence the sender
asks which chunks are stored, and sends only what is not.
Leaves to others: storing and fsync (secagg.daemon.blobs), resending (node).
"""

from typing import Annotated

from msgspec import Meta, Struct

from secagg.errors import WireError
from secagg.ids import Digest, Name, RoundId

Size = Annotated[int, Meta(ge=1, lt=2**40)]
Index = Annotated[int, Meta(ge=0, lt=2**24)]
Asked = Annotated[tuple[Index, ...], Meta(max_length=8)]
"""As many chunks as may be on their way at a time."""


class ChunkHeader(Struct, frozen=True, forbid_unknown_fields=True):
    """What a chunk is part of: `total` bytes of the upload, `size` bytes of a full chunk, `hash` of this chunk."""

    round: RoundId
    node: Name
    index: Index
    size: Size
    total: Size
    hash: Digest


class ChunkAck(Struct, frozen=True, forbid_unknown_fields=True):
    """The receiver stored chunk `index` with this `hash` durably."""

    round: RoundId
    node: Name
    index: Index
    hash: Digest


class ChunksAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """Which of these chunks are stored? Goes the way of chunks, so that it overtakes none that went before it.

    `number` tells questions apart between which something was sent. Unsigned: the answer makes nobody send other bytes.
    """

    round: RoundId
    number: Index
    indices: Asked


class ChunksMissing(Struct, frozen=True, forbid_unknown_fields=True):
    """Of the chunks that question `number` asked for these are not stored; each other one gets its receipt again."""

    round: RoundId
    number: Index
    indices: Asked


def count(total: int, size: int) -> int:
    """Return how many chunks of `size` bytes make `total` bytes."""
    return -(-total // size)


def span(header: ChunkHeader) -> tuple[int, int]:
    """Return [start, stop) of a chunk in its upload.

    Raises: WireError when the index lies outside the upload.
    """
    start = header.index * header.size
    if start >= header.total:
        raise WireError(f"Chunk {header.index} of {header.node} lies outside its upload.", "Send chunks in range.")
    return start, min(start + header.size, header.total)
