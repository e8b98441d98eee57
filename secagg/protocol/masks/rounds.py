"""The aggregator's phases of a round of engine `masks`, the events that move them and the effects they ask for.

Rules: a phase holds digests, signed messages and encoded lists, never vectors, and encodes completely. Effects are
carried out in order, after the phase is saved. Leaves to others: the transitions (aggregator.py).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from secagg.ids import Digest, Name
from secagg.log.statements import FaultKind
from secagg.protocol.masks.messages import ShareKeys, ShareLeaf
from secagg.protocol.masks.recovery import Evidence, Recovered
from secagg.protocol.round.events import Event, Open
from secagg.protocol.round.messages import Cosignature
from secagg.protocol.round.phases import Closed, Common, Failed, Proposing, Publishing
from secagg.wire.signed import Signed


class Advertising(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Step 0: collecting `AdvertiseKeys`."""

    keys: tuple[Signed, ...] = ()


class Drawing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Step 0b of a sparse graph: collecting one draw's `OpenBeacon` of `members`, who are still in."""

    u1: bytes
    members: tuple[Name, ...]
    draw: int
    after: Digest
    beacons: tuple[Signed, ...] = ()


class Sharing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Step 1: `members` deal over `basis` (H(U1), or the seed of the sparse graph); collecting `ShareKeys`."""

    u1: bytes
    members: tuple[Name, ...]
    basis: Digest
    drawn: bytes = b""
    shares: tuple[ShareKeys, ...] = ()


class Dealt(Struct, frozen=True, forbid_unknown_fields=True):
    """All leaves of a dealer's signed root."""

    dealer: Name
    leaves: tuple[ShareLeaf, ...]


class Uploading(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Step 2: U2 is out, collecting headers of complete uploads; `directory` witnesses what the manifest relies on.

    `drawn` is the last list of beacons (nothing on the complete graph), `dealt` the encoded tuple of every `Dealt`.
    """

    u1: bytes
    drawn: bytes
    u2: bytes
    dealt: bytes
    directory: tuple[Cosignature, ...] = ()
    headers: tuple[Signed, ...] = ()


class Freezing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """U3 is fixed; waiting for its statement to be logged."""

    u1: bytes
    drawn: bytes
    u2: bytes
    dealt: bytes
    u3: bytes
    directory: tuple[Cosignature, ...] = ()


class Agreeing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Step 3: the freeze is out, collecting agreements and co-signatures."""

    u1: bytes
    drawn: bytes
    u2: bytes
    dealt: bytes
    u3: bytes
    checkpoint: bytes
    agreements: tuple[Signed, ...] = ()
    cosignatures: tuple[Cosignature, ...] = ()
    directory: tuple[Cosignature, ...] = ()


class Opening(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Step 4: the quorum is out, collecting answers (inner, signed)."""

    u1: bytes
    drawn: bytes
    u2: bytes
    dealt: bytes
    u3: bytes
    agreements: tuple[Signed, ...]
    asked: tuple[Name, ...]
    witnesses: bytes
    answers: tuple[Signed, ...] = ()


class Judging(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """The answers are in; the shell holds every share against its dealer's list (judging.py)."""

    u1: bytes
    drawn: bytes
    u2: bytes
    dealt: bytes
    u3: bytes
    agreements: tuple[Signed, ...]
    witnesses: bytes
    answers: tuple[Signed, ...]


class Unmasking(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Enough answers hold; the shell removes the masks from its sum."""

    u1: bytes
    drawn: bytes
    u2: bytes
    u3: bytes
    answers: tuple[Signed, ...]


Phase = (
    Proposing
    | Advertising
    | Drawing
    | Sharing
    | Uploading
    | Freezing
    | Agreeing
    | Opening
    | Judging
    | Unmasking
    | Publishing
    | Closed
    | Failed
)
Groups = dict[str, npt.NDArray[np.unsignedinteger]]


@dataclass(frozen=True)
class Charge:
    """A member's fault, its kind and the encoded proof of it (faults.py)."""

    member: str
    kind: FaultKind
    proof: bytes


@dataclass(frozen=True)
class Judged(Event):
    """What the answers give: evidence of those that hold, the secrets or why there are none, and whose fault shows."""

    evidence: Evidence
    recovered: Recovered | None
    reason: str
    charges: tuple[Charge, ...]


@dataclass(frozen=True)
class Unmasked(Event):
    """The clear summed words per lane group."""

    groups: Groups


@dataclass(frozen=True)
class Unmask(Open):
    """Remove the masks from the sum of U3's uploads, come back with `Unmasked`; what they follow from is found."""

    evidence: Evidence
    recovered: Recovered
