"""What a role knows of the network: it sends to a name and receives from a name.

Rules: `sender` is stamped by the broker out of the roster, never taken from the message. Nothing is acknowledged here
(acknowledgements are end to end, from the role that stored the bytes), so a message may be lost, doubled or late.
`send` never blocks for ever. Leaves to others: durability (secagg.daemon.outbox), signatures (secagg.wire.signed).
Source: docs/transport.md "Sockets".
"""

from typing import Protocol

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.errors import BadInput
from secagg.wire.limits import LIMIT_BULK, LIMIT_ENROL, LIMIT_HEADER, LIMIT_SPLIT

BROKER = "broker"
"""The name that the broker itself answers to: greetings, `ping`, and `roster` from the key server."""

KEYSERVER = "keyserver"
"""The name that the key server is always reached by, also before there is a roster."""

GUEST = "guest-"
"""How the names of those begin who are not enrolled."""

CONNECTED = "connected"
CONNECTING = "connecting"
CLOSED = "closed"
REFUSED = "refused: the broker does not know this node's key: revoked, or not approved yet"
OTHER_WIRE = "refused: the broker is of a version with another wire: install one version everywhere"

HELLO, WELCOME = "hello-2", "welcome-2"
"""How a party and the broker greet each other: their number is that of everything on the wire and in signatures."""

OTHER = "other-wire"
"""The broker's answer to a greeting of another number."""

LIMIT_BODY = LIMIT_BULK - LIMIT_HEADER
"""Bytes of one body: the frame grows by 33 bytes under CURVE and must still pass MAXMSGSIZE."""

BULK_KINDS = frozenset({"chunk", "piece", "ask-chunks"})
"""Kinds that always go over the bulk socket, so that an upload, and a question about it, keep their order."""


class Received(Struct, frozen=True):
    """One message as it arrived; `curve_key` is 32 bytes when the sender is a guest, else empty."""

    sender: str
    kind: str
    id: bytes
    header: bytes
    body: bytes
    curve_key: bytes = b""


class Link(Protocol):
    """One party's way to all others."""

    @property
    def state(self) -> str:
        """Return `connected`, `connecting …` or `refused: …`: one sentence for `status`."""

    async def send(self, to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
        """Hand one message over: `header` at most 4 KiB, `body` at most 1 MiB, `id` at most 16 bytes.

        Raises: BadInput when it is too large or misnamed; PeerUnavailable when it cannot be handed over in time.
        """

    async def receive(self) -> Received:
        """Wait for the next message. Raises: PeerUnavailable once the link is closed."""

    def at_hand(self) -> Received | None:
        """Return the next message if it is here already, else None; never waits, never raises."""

    async def close(self) -> None:
        """Let go of everything; may be called twice."""


def is_bulk(kind: str, size: int) -> bool:
    """Say whether a message of `size` bytes (header and body) goes over the bulk socket."""
    return kind in BULK_KINDS or size > LIMIT_SPLIT


def check_size(header: bytes, body: bytes, *, guest: bool = False) -> None:
    """Refuse what the other side would refuse. Raises: BadInput."""
    limit = LIMIT_ENROL - LIMIT_HEADER if guest else LIMIT_BODY
    for what, size, most in (("header", len(header), LIMIT_HEADER), ("body", len(body), limit)):
        if size > most:
            raise BadInput(
                f"The {what} of a message has {size} bytes, more than {most}.", "Send it in chunks.", code="E-SIZE"
            )


def guest_name(curve_key: bytes) -> str:
    """Return the name under which the owner of a CURVE key that is not enrolled is known."""
    return GUEST + sha256(curve_key)[:16].hex()
