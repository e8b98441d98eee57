"""The phases of a node in a round of engine `masks`: frozen values that hold digests, keys and tuples, never vectors.

Rules: a phase prints its name and nothing else, since it holds secrets. It encodes completely, so that recovering from
a crash is decoding the phase. At rest it is sealed under the round's data key (secagg.daemon.vault).
Leaves to others: the transitions (node.py).
"""


from msgspec import UNSET, Struct, UnsetType

from secagg.crypto.secret import Veiled
from secagg.ids import NO_DIGEST, Digest, Name
from secagg.log.checkpoint import Checkpoint
from secagg.protocol.inputs import Given
from secagg.protocol.manifest import Manifest, Seat
from secagg.protocol.masks.messages import AdvertiseKeys
from secagg.protocol.round.phases import Over
from secagg.wire.signed import Scope, Signed


class Quiet(Veiled, frozen=True, forbid_unknown_fields=True):
    """Fields every phase of a round has."""

    scope: Scope
    manifest: Manifest
    seal_private: bytes
    mask_private: bytes


class Peer(Struct, frozen=True, forbid_unknown_fields=True):
    """A member of U1 with its verified keys."""

    name: Name
    keys: AdvertiseKeys


class Held(Veiled, frozen=True, forbid_unknown_fields=True):
    """Shares held of one owner; empty bytes where its piece held none that its dealer listed."""

    owner: Name
    seed: bytes
    key: bytes


class Advertised(Quiet, frozen=True, forbid_unknown_fields=True, tag=True):
    """Keys are out; waiting for U1. `chain` is the end of this member's beacon chain."""

    own: Signed
    seen: Checkpoint
    chain: bytes = b""


class Drawing(Quiet, frozen=True, forbid_unknown_fields=True, tag=True):
    """Step 0b: this member's value of a draw is out; waiting for everybody's. `peers` are those still in."""

    seen: Checkpoint
    chain: bytes
    u1: Digest
    peers: tuple[Peer, ...]
    draw: int
    after: Digest
    own: Signed


class Shared(Quiet, frozen=True, forbid_unknown_fields=True, tag=True):
    """Shares are dealt to `near`, this member among them; waiting for U2. `u1` is what everybody dealt over."""

    seen: Checkpoint
    u1: Digest
    near: tuple[Name, ...]
    peers: tuple[Peer, ...]
    seed: bytes
    own_shares: Held
    own_list: Signed


class Masking(Quiet, frozen=True, forbid_unknown_fields=True, tag=True):
    """U2 is known; the shell now masks the input with those of `peers` and comes back with `Protected`.

    `members` dealt over `u1`: who dealt to whom follows from both.
    """

    seen: Checkpoint
    u1: Digest
    members: tuple[Name, ...]
    peers: tuple[Peer, ...]
    seed: bytes
    u2: Digest
    u2_names: tuple[Name, ...]
    held: tuple[Held, ...]


class Uploaded(Quiet, frozen=True, forbid_unknown_fields=True, tag=True):
    """The header is signed; waiting for U3. The self-mask seed is no longer needed here and is gone.

    `excused` are the sets over which this input was summed before, and that a person here excused.
    """

    seen: Checkpoint
    u1: Digest
    members: tuple[Name, ...]
    u2: Digest
    u2_names: tuple[Name, ...]
    held: tuple[Held, ...]
    header: Signed
    excused: tuple[tuple[Seat, ...], ...] = ()


class Agreed(Quiet, frozen=True, forbid_unknown_fields=True, tag=True):
    """U3 is agreed and witnessed; waiting for the others' agreements."""

    u2: Digest
    u2_names: tuple[Name, ...]
    u3: Digest
    u3_names: tuple[Name, ...]
    held: tuple[Held, ...]
    frozen: Checkpoint


class Answered(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """The answer is recorded; it is repeated byte for byte until the round closes."""

    scope: Scope
    answer: Signed
    u3: Digest = NO_DIGEST


Phase = Advertised | Drawing | Shared | Masking | Uploaded | Agreed | Answered | Over


class Protected(Struct, frozen=True, forbid_unknown_fields=True):
    """Shell → phase `Masking`: the upload is stored under its Merkle root; its length in bytes, its chunks' hashes.

    `given` is what the shell's ledger says of the input; without it no header is signed.
    """

    upload: Digest
    length: int
    chunks: tuple[Digest, ...]
    given: Given | UnsetType = UNSET
