"""Lists of signed messages: sorted, read back, and verified entry by entry.

Rules: a list stands in the order of the roster, holds nobody twice and no stranger. Leaves to others: what a list says.
"""

from functools import lru_cache

from secagg.errors import ProtocolViolation
from secagg.ids import EVERYBODY
from secagg.protocol.manifest import Manifest
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, open_signed


def in_order(manifest: Manifest, entries: tuple[Signed, ...]) -> tuple[Signed, ...]:
    """Return signed messages sorted by roster index."""
    order = {seat.name: position for position, seat in enumerate(manifest.members)}
    return tuple(sorted(entries, key=lambda entry: order[entry.sender]))


@lru_cache(maxsize=64)
def senders(data: bytes) -> tuple[str, ...]:
    """Return the senders of an encoded list that this aggregator made."""
    return tuple(entry.sender for entry in decode(tuple[Signed, ...], data, LIMIT_LIST))


def signed_list(
    data: bytes, manifest: Manifest, kind: str, scope: Scope, own: Signed | None = None
) -> dict[str, Signed]:
    """Return a list of signed messages by sender, in roster order, each signature verified. Only `own`, the message
    that the reader itself signed for this place, is not verified again.

    Raises: ProtocolViolation when it is not in strict roster order, holds a stranger, or a signature fails.
    """
    found: dict[str, Signed] = {}
    order = {seat.name: position for position, seat in enumerate(manifest.members)}
    position = -1
    for entry in decode(tuple[Signed, ...], data, LIMIT_LIST):
        if order.get(entry.sender, -1) <= position:
            raise ProtocolViolation(
                f"{entry.sender} is a stranger, out of order or twice in a list of {kind}.", rule="list.members"
            )
        position = order[entry.sender]
        if entry != own:
            open_signed(entry, manifest.members[position].key, kind, scope, EVERYBODY)
        found[entry.sender] = entry
    return found
