"""What was queued for a log and cannot be read: it is set aside, and a statement about it takes its place.

Rules: what every reader would refuse is never appended. A place is never given to another statement, because whoever
waits for an entry knows it by its place. So what is proved there is that the entry was set aside, and nothing else.
What was set aside is evidence, and kept. Leaves to others: keeping it, and telling people (aggregator.logbook,
keyserver.restating).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.errors import VerificationFailed
from secagg.events.federation import SetAside as SetAsideEvent
from secagg.log.statements import SetAside, open_statement, sign_statement


@dataclass(frozen=True)
class Replaced:
    """A place in the log, the bytes that were queued for it (empty when they are gone), and the leaf it gets."""

    index: int
    found: bytes
    leaf: bytes

    def event(self) -> SetAsideEvent:
        """Return what those who watch are told."""
        cause = f"What was to be entry {self.index} of the log cannot be read; it is kept, and its place says so."
        remedy = "Ask what damaged the journal, or report it."
        return SetAsideEvent(self.index, len(self.found), sha256(self.found).hex(), cause, remedy)


def readable(leaf: bytes, signer: str, public: bytes) -> bool:
    """Say whether a leaf of `signer` can be read back: its form, and its signature under this key."""
    try:
        return open_statement(leaf, lambda name: public if name == signer else b"")[1] == signer
    except VerificationFailed:
        return False


def unreadable(
    queued: Mapping[int, bytes], places: range, federation: str, now: int, signer: str, key: SigningKey,
    others: Mapping[int, tuple[str, bytes]] = MappingProxyType({}),
) -> Iterator[Replaced]:  # fmt: skip
    """Yield what takes the place of every leaf that cannot be read, or is not there, of those that are to be written.

    `places` are the indices from the end of the log to that of the last statement that was decided. `others` says whose
    those leaves are that `signer` did not sign itself: name and public key.
    """
    for index in places:
        found = queued.get(index, b"")
        if not readable(found, *others.get(index, (signer, key.public))):
            said = SetAside(federation=federation, time=now, digest=sha256(found).hex(), size=len(found))
            yield Replaced(index, found, sign_statement(said, signer, key))
