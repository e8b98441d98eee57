"""The aggregator's phases of a round of engine `masks`, the events that move them and the effects they ask for.

Rules: a phase holds digests, signed messages and encoded lists, never vectors, and encodes completely; effects are
carried out in order, after the phase is saved. Leaves to others: the transitions (aggregator.py).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from secagg.ids import NO_DIGEST, Digest, Name
from secagg.log.statements import FaultKind, Statement
from secagg.log.witness import LogProof
from secagg.protocol.manifest import Manifest, Published
from secagg.protocol.masks.messages import Cosignature, ShareKeys, ShareLeaf
from secagg.protocol.masks.recovery import Evidence, Recovered
from secagg.wire.signed import Scope, Signed


class Out(Struct, frozen=True, forbid_unknown_fields=True):
    """A member that is no longer waited for, with the step and the reason.

    `proof` is the SHA-256 of the side file that proves its fault, where one is proven.
    """

    member: Name
    step: str
    reason: str
    proof: Digest = NO_DIGEST


class Common(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of every open phase: `signed` is the manifest as sent, `out` everybody who dropped so far."""

    scope: Scope
    manifest: Manifest
    signed: Signed
    out: tuple[Out, ...]


class Standing(Struct, frozen=True, forbid_unknown_fields=True):
    """The size of the last log checkpoint that a member said it holds."""

    member: Name
    size: int


class Proposing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """The manifest is signed; waiting for its statement to be logged."""

    standings: tuple[Standing, ...]


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


class Publishing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """The sum is clear; waiting for the result's statement to be logged."""

    published: Published
    salt: Digest


class Closed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """The result is logged; `proof` shows it."""

    scope: Scope
    published: Published
    salt: Digest
    leaf: bytes
    proof: LogProof
    out: tuple[Out, ...]


class Failed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """The round is over without a result; nothing was released."""

    scope: Scope
    step: str
    reason: str
    out: tuple[Out, ...]


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
class FromNode:
    """A message of a member, as the link stamped its sender."""

    sender: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class Deadline:
    """The time for a step is over."""

    step: str


@dataclass(frozen=True)
class Logged:
    """A statement asked for by `Log` is in a published checkpoint; one proof per old size asked for."""

    leaf: bytes
    proofs: tuple[LogProof, ...]


@dataclass(frozen=True)
class Charge:
    """A member's fault, its kind and the encoded proof of it (faults.py)."""

    member: str
    kind: FaultKind
    proof: bytes


@dataclass(frozen=True)
class Judged:
    """What the answers give: evidence of those that hold, the secrets or why there are none, and whose fault shows."""

    evidence: Evidence
    recovered: Recovered | None
    reason: str
    charges: tuple[Charge, ...]


@dataclass(frozen=True)
class Unmasked:
    """The clear summed words per lane group."""

    groups: Groups


@dataclass(frozen=True)
class Send:
    """Send one message to one member."""

    to: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class Append:
    """Append a statement to the log; nothing waits for it."""

    statement: Statement


@dataclass(frozen=True)
class Log:
    """Append a statement, publish a checkpoint, come back with `Logged`."""

    statement: Statement
    old_sizes: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Judge:
    """Hold the answers against what the dealers signed, come back with `Judged`."""


@dataclass(frozen=True)
class Unmask:
    """Remove the masks from the sum of U3's uploads, come back with `Unmasked`; what they follow from is found."""

    evidence: Evidence
    recovered: Recovered


@dataclass(frozen=True)
class Keep:
    """Keep these bytes as a side file of the audit, named by their SHA-256, before what follows is done."""

    data: bytes


Event = FromNode | Deadline | Logged | Judged | Unmasked
Effect = Send | Append | Log | Judge | Unmask | Keep
