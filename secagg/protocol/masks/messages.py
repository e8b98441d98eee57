"""One struct per message of engine `masks`, in the order they travel (protocol §3).

Every struct is the body of a `secagg.wire.signed.Signed` whose kind is the struct's name, unless its docstring says
that it carries signed parts itself. Lists (U1, U2, U3) travel as the encoded bytes that everybody hashes.
What comes by the hundred and holds nothing but texts and bytes is left out of the collector's rounds (gc=False).
"""

from typing import Annotated

from msgspec import Meta, Struct

from secagg.crypto import seal
from secagg.crypto.secret import Veiled
from secagg.ids import NO_DIGEST, Count, Digest, Key, Listed, Name, Ordinal
from secagg.log.witness import LogProof
from secagg.protocol.binding import Bound
from secagg.protocol.round.messages import Cosignature
from secagg.wire.codec import encode
from secagg.wire.signed import Signed

ShareBytes = Annotated[bytes, Meta(min_length=33, max_length=33)]


class AdvertiseKeys(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → everybody, step 0: fresh keys of this attempt and the size of the last log checkpoint this node holds.

    `beacon` commits to this member's part in drawing a sparse graph; zeros on the complete one.
    """

    seal_key: Annotated[bytes, Meta(min_length=1216, max_length=1216)]
    mask_key: Key
    log_size: Count
    beacon: Digest = NO_DIGEST


class MemberKeys(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node: U1, the encoded tuple of every member's signed `AdvertiseKeys`."""

    u1: bytes


class OpenBeacon(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → everybody, step 0b of a sparse graph: the value of this draw, and what it follows.

    `after` is H(U1) in the first draw, then the SHA-256 of the list of the draw before.
    """

    draw: Annotated[int, Meta(ge=0, le=3)]
    after: Digest
    value: Digest


class Beacons(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node: the encoded tuple of signed `OpenBeacon`s of one draw; who is missing in it is out."""

    beacons: bytes


class ShareLeaf(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What a dealer signs, by its root, of what one receiver gets: its coordinate, SHA-256 of the sealed piece and of
    both shares (secagg.protocol.masks.dealing)."""

    x: Ordinal
    piece: Digest
    seed: Digest
    key: Digest


class ShareList(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → everybody, step 1: what it dealt over, the root over its leaves, and H(label ‖ b_u).

    `u1` is H(U1) on the complete graph, the seed of the drawn one otherwise.
    """

    u1: Digest
    root: Digest
    commitment: Digest


class ShareKeys(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → aggregator: the signed `ShareList`, all its leaves and the pieces in their order.

    `directory` is the member's witness line on the manifest's directory: sent while there is time to check it.
    """

    shares: Signed
    leaves: tuple[ShareLeaf, ...]
    pieces: tuple[bytes, ...]
    directory: bytes


class SharePair(Veiled, frozen=True, forbid_unknown_fields=True):
    """What a sealed piece holds: the receiver's shares of the sender's b_u and sk_mask."""

    seed: ShareBytes
    key: ShareBytes


PIECE_BYTES = seal.OVERHEAD + len(encode(SharePair(bytes(33), bytes(33))))
"""Bytes of a sealed piece: one that is longer would leave no room in its receiver's message for those of others."""


class Piece(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A sealed piece on its way to the receiver, named by its sender; its leaf, and the path to the signed root."""

    sender: Name
    sealed: bytes
    leaf: ShareLeaf
    path: tuple[Digest, ...]


class DeliverShares(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node: U2, the encoded tuple of signed `ShareList`s, and the pieces sealed to this node."""

    u2: bytes
    pieces: tuple[Piece, ...]


class MaskedInput(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → everybody, step 2: what the upload is; the bytes travel as chunks.

    `reported` names the dealers, in roster order, whose signed piece did not open here, or held other shares than they
    listed.
    """

    upload: Digest
    """The Merkle root of the upload's leaves; it is kept under this name."""

    length: Count
    u2: Digest
    reported: tuple[Listed, ...]
    bound: Bound


class Freeze(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node: U3, the encoded tuple of signed `MaskedInput`s, its log entry and the proof for this node."""

    u3: bytes
    leaf: bytes
    proof: LogProof
    allowances: tuple[bytes, ...] = ()
    """Signed `OverlapAllowed` entries of members, where an input is summed over another set than before."""


class Agreement(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → everybody, step 3: I saw this U2 and this U3; signed once per attempt."""

    u2: Digest
    u3: Digest


class ConsistencyCheck(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → aggregator: the signed `Agreement`, and the witness line on the freeze's checkpoint of the round log."""

    agreement: Signed
    rounds: bytes


class Open(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node: the agreements and the witness quorum on the freeze; no list of what to reveal."""

    agreements: tuple[Signed, ...]
    cosignatures: tuple[Cosignature, ...]


class OwnedShare(Veiled, frozen=True, forbid_unknown_fields=True, gc=False):
    """A share of `owner`'s secret."""

    owner: Listed
    share: ShareBytes


class Answer(Veiled, frozen=True, forbid_unknown_fields=True):
    """Node → aggregator, step 4, inside the seal: b-shares of U3, sk-shares of U2 without U3, never both for one."""

    u2: Digest
    u3: Digest
    seeds: tuple[OwnedShare, ...]
    keys: tuple[OwnedShare, ...]


class Unmask(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → aggregator: the signed `Answer`, sealed to the job's opening key."""

    sealed: bytes


ANSWERED_BY = {
    "Propose": "AdvertiseKeys",
    "MemberKeys": "ShareKeys",
    "Beacons": "ShareKeys",
    "DeliverShares": "MaskedInput",
    "Freeze": "ConsistencyCheck",
    "Open": "Unmask",
}
"""The step in which a member answers each of the aggregator's messages."""
