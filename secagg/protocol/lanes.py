"""A node's values to words and summed words back to values: the arithmetic both ends of a round must agree on.

Rules (protocol §2): the first slot of every group is 1, so the sum of the canaries must equal the contributor count.
The weight is inside the value, q = Q(n_k/W · Δ). Honest overflow is impossible by construction and what does not fit is
refused here. An upload is the wire form of the groups, the last of the manifest first, each filled up with zeros to
whole 8 bytes. A leaf of its Merkle tree lies in one group, and how large it is follows from the group alone.
Leaves to others: masks, sums of words (engines), floats of the model (secagg.learning).
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from secagg.crypto import prg
from secagg.crypto.rng import Rng
from secagg.errors import BadInput, ProtocolViolation, Refused
from secagg.log.tree import pieces, root
from secagg.protocol.manifest import LEAF_WORDS as LEAF_WORDS
from secagg.protocol.manifest import SCALARS, LaneGroup, Lanes, Manifest, Scalar
from secagg.protocol.manifest import leaf_bytes as leaf_bytes
from secagg.vector.codec import Fixed, Lane, Offset
from secagg.vector.packing import Packing
from secagg.vector.quantize import BLOCK, Encoder, Quantizer, decode_sum

_ALIGNED = 8

Words = npt.NDArray[np.unsignedinteger]
Groups = dict[str, Words]


class Contribution(Protocol):
    """A member's clear words, made block by block; the lane groups are taken from the last of the manifest on."""

    def fill(self, group: str, start: int, out: Words) -> None:
        """Write the words of a lane group from `start`, a multiple of LEAF_WORDS, into `out` (one block)."""


def packing(group: LaneGroup) -> Packing:
    """Return the packing of a lane group.

    Raises: ProtocolViolation when there is no such layout, or the slot does not fit it.
    """
    try:
        return Packing(layout=group.layout, slot_bits=group.slot_bits, count=group.count)
    except ValueError as error:
        raise ProtocolViolation(
            f"Lane group {group.name} cannot be packed: {error}.", "The manifest is malformed.", rule="manifest.groups"
        ) from None


def quantizer(lane: Lane) -> Quantizer:
    """Return the quantiser of a lane. Raises: ProtocolViolation (`lanes.codec`) when its codec does not round."""
    if not isinstance(lane.codec, Offset):
        raise ProtocolViolation(f"Lane {lane.name} has a codec that does not round.", rule="lanes.codec")
    return lane.codec.quantizer


def group_of(manifest: Manifest | Lanes, name: str) -> LaneGroup:
    """Return the lane group that a lane's words are in. Raises: ProtocolViolation when there is none."""
    for group in manifest.groups:
        if group.name == name:
            return group
    raise ProtocolViolation(f"Lane {name} has no lane group.", "The manifest is malformed.", rule="manifest.groups")


def spans(manifest: Manifest) -> dict[str, tuple[int, int]]:
    """Return where each lane group's wire form lies in an upload, [start, stop) in bytes, in the upload's order."""
    found, start = {}, 0
    for group in reversed(manifest.groups):
        stop = start + packing(group).wire_bytes
        found[group.name] = (start, stop)
        # So that a leaf never ends within a word.
        start = -(-stop // _ALIGNED) * _ALIGNED
    return found


def upload_bytes(manifest: Manifest) -> int:
    """Return the length of one upload in bytes."""
    last = list(spans(manifest).values())[-1][1]
    return -(-last // _ALIGNED) * _ALIGNED


def check_signed_length(manifest: Manifest, member: str, length: int) -> None:
    """Hold the length that a member's header names against the one that the manifest's lane groups give.

    Raises: Refused (`upload.length`): whoever recomputes the round would find that its upload is not the signed one.
    """
    if length != upload_bytes(manifest):
        raise Refused(
            f"{member} signs an upload of {length} bytes, and the manifest gives it {upload_bytes(manifest)}.",
            "Leave that member out.", rule="upload.length",
        )  # fmt: skip


class Run(NamedTuple):
    """The leaves of one lane group in an upload: [start, stop) in bytes with what fills it up. There are `many` leaves
    of `leaf` bytes from number `first` on, the last of which may be shorter."""

    group: LaneGroup
    start: int
    stop: int
    leaf: int
    first: int
    many: int


def runs(manifest: Manifest) -> tuple[Run, ...]:
    """Return the leaves of an upload, lane group by lane group, in the upload's order (protocol §3, step 2)."""
    of_name = {group.name: group for group in manifest.groups}
    found, first = [], 0
    for name, (start, end) in spans(manifest).items():
        leaf, stop = leaf_bytes(packing(of_name[name])), -(-end // _ALIGNED) * _ALIGNED
        found.append(Run(of_name[name], start, stop, leaf, first, -(-(stop - start) // leaf)))
        first += found[-1].many
    return tuple(found)


def leaf_hashes(manifest: Manifest, data: bytes | memoryview) -> list[bytes]:
    """Return the hashes of all leaves of an upload, in its order."""
    view = memoryview(data)
    return [leaf for run in runs(manifest) for leaf in pieces(view[run.start : run.stop], run.leaf)]


def chunk_leaf(manifest: Manifest) -> int:
    """Return the bytes of a leaf of a chunk: those of the group that an upload begins with."""
    return leaf_bytes(packing(manifest.groups[-1]))


def chunk_hash(manifest: Manifest, body: bytes | memoryview) -> bytes:
    """Return the hash that names a chunk: the Merkle root over pieces as large as a leaf of the upload's first group.

    Where a chunk lies in that group and holds a power of two of leaves it is a node of the upload's tree.
    """
    return root(pieces(body, chunk_leaf(manifest)))


def block_words(pack: Packing, *, shared: bool = False) -> int:
    """Return how many words a thread, alone or one of several, works on at a time: a multiple of LEAF_WORDS."""
    return (prg.SHARED if shared else prg.BLOCK) // np.dtype(pack.dtype).itemsize


class Ready:
    """A contribution whose words are there already, per lane group."""

    def __init__(self, groups: Mapping[str, Words]) -> None:
        self._groups = groups

    def fill(self, group: str, start: int, out: Words) -> None:
        """Copy words out."""
        out[:] = self._groups[group][start : start + len(out)]


class _Coded:
    """One lane of a contribution: its codes in the words of its group, block by block."""

    def __init__(self, lane: Lane, group: LaneGroup, values: npt.NDArray[np.floating], weight: float, rng: Rng) -> None:
        self.pack = packing(group)
        # A lane that does not count examples travels as it is.
        self._codes = Encoder(values, quantizer(lane), rng, weight if lane.weighted else 1.0)
        self._done: dict[int, tuple[int, int]] = {}

    @property
    def saturated(self) -> int:
        """Return how many values saturated. Raises: RuntimeError before all of them were quantised."""
        if sum(words for words, _ in self._done.values()) != self.pack.words:
            raise RuntimeError("the scalars are asked for before the lanes are quantised, or in blocks of two sizes")
        return sum(saturated for _, saturated in self._done.values())

    def fill(self, start: int, out: Words) -> None:
        """Write the words of a block. Slot 0 is the canary: slot s holds value s − 1."""
        each = 3 if self.pack.layout == "3x21" else 1
        first, last = each * start, min(each * (start + len(out)), self.pack.count)
        slots = out if each == 1 else np.zeros(each * len(out), dtype=np.uint32)
        saturated, begin = 0, max(first, 1)
        slots[: begin - first] = 1
        for at in range(begin, last, BLOCK):
            saturated += self._codes.fill(at - 1, slots[at - first : min(at + BLOCK, last) - first])
        if each == 3:
            out[:] = slots[0::3]
            out |= slots[1::3].astype(np.uint64) << np.uint64(21)
            out |= slots[2::3].astype(np.uint64) << np.uint64(42)
        self._done[start] = len(out), saturated


class Quantised:
    """A float vector for every lane (1-D, kept), weighted by examples/W where the lane is, quantised when asked for.

    Asked again it gives the same words. The scalars tell how many values saturated, so they come after the lanes.
    Raises: BadInput on a lane that is missing or has a wrong length, or a scalar out of its range; `fill` on NaN.
    """

    def __init__(
        self, manifest: Manifest, vectors: Mapping[str, npt.NDArray[np.floating]], examples: int,
        metrics: Mapping[str, float], rng: Rng,
    ) -> None:  # fmt: skip
        self._weight = min(examples, manifest.weight_bound)
        self._scalars, self._metrics = manifest.scalars, metrics
        self._lanes = {
            lane.name: _Coded(
                lane, group_of(manifest, lane.name), fitting(lane, vectors), self._weight / manifest.weight_bound, rng
            )
            for lane in manifest.lanes
        }
        # So that a scalar out of its range stops the work before it begins.
        _scalars(self._scalars, self._values_of(0))

    def fill(self, group: str, start: int, out: Words) -> None:
        """Quantise one block of a lane, or write the scalars once all of them were quantised."""
        if group in self._lanes:
            self._lanes[group].fill(start, out)
            return
        saturated = sum(lane.saturated for lane in self._lanes.values())
        out[:] = _scalars(self._scalars, self._values_of(saturated))[start : start + len(out)]

    def _values_of(self, saturated: int) -> dict[str, float]:
        return {**self._metrics, "examples": float(self._weight), "saturated": float(saturated)}


def words_of(manifest: Manifest, given: Contribution) -> Groups:
    """Return all words of a contribution at once, per lane group: for tests and small vectors."""
    groups: Groups = {}
    for group in reversed(manifest.groups):
        pack = packing(group)
        words = groups[group.name] = np.empty(pack.words, dtype=pack.dtype)
        for start in range(0, len(words), block_words(pack)):
            given.fill(group.name, start, words[start : start + block_words(pack)])
    return groups


def encode_training(
    manifest: Manifest, update: npt.NDArray[np.floating], examples: int, metrics: Mapping[str, float], rng: Rng
) -> Groups:
    """Return the words of a `Quantised` update per lane group, of a job with one lane. Raises: as it does."""
    return words_of(manifest, Quantised(manifest, {manifest.lanes[0].name: update}, examples, metrics, rng))


def encode_sum(manifest: Manifest, vector: npt.NDArray[np.floating]) -> Groups:
    """Fix a float vector (1-D) at the binary point of its lane, losslessly summable, into words per group.

    Raises: BadInput on NaN, a wrong length, or values whose sum could leave 63 bits. ProtocolViolation when the lane
    does not sum exactly.
    """
    lane = manifest.lanes[0]
    if not isinstance(lane.codec, Fixed):
        raise ProtocolViolation(f"Lane {lane.name} does not sum exactly.", rule="lanes.codec")
    values = np.asarray(fitting(lane, {lane.name: vector}), dtype=np.float64)
    group = group_of(manifest, lane.name)
    slots = np.empty(group.count, dtype=np.int64)
    slots[0] = 1
    slots[1:] = lane.codec.encode(values, len(manifest.members))
    return {SCALARS: _scalars(manifest.scalars, {}), lane.name: packing(group).pack(slots)}


class Sums:
    """The clear sums of a round: `scalars` and `vectors` (float64, 1-D) by name, before division by any weight."""

    def __init__(self, scalars: dict[str, float], vectors: dict[str, npt.NDArray[np.float64]]) -> None:
        self.scalars = scalars
        self.vectors = vectors

    @property
    def update(self) -> npt.NDArray[np.float64]:
        """Return the first lane's sum: of a job that sums, all there is."""
        return next(iter(self.vectors.values()))


def check_canaries(manifest: Manifest | Lanes, words: Mapping[str, Words], contributors: int) -> None:
    """Check that the first slot of every lane group counts the contributors.

    Raises: ProtocolViolation.
    """
    for group in manifest.groups:
        first = Packing(group.layout, group.slot_bits, 1).unpack(words[group.name][:1])
        if int(first[0]) != contributors:
            raise ProtocolViolation(
                f"The canary of lane group {group.name} is {int(first[0])}, not {contributors}.",
                "An upload is malformed; the round is aborted and nothing is published.",
                rule="lanes.canary",
            )


def decode_sums(manifest: Manifest | Lanes, words: Mapping[str, Words], contributors: int) -> Sums:
    """Unpack summed words into values.

    Raises: ProtocolViolation when a canary differs from the number of contributors.
    """
    check_canaries(manifest, words, contributors)
    slots = {}
    for group in manifest.groups:
        slots[group.name] = packing(group).unpack(words[group.name])[1:]
    scalars = {
        lane.name: int(value) / 2**lane.fraction
        for lane, value in zip(manifest.scalars, slots[SCALARS].astype(np.int64), strict=True)
    }
    return Sums(scalars, {lane.name: _decoded(lane, slots[lane.name], contributors) for lane in manifest.lanes})


def _decoded(lane: Lane, slots: npt.NDArray[np.integer], contributors: int) -> npt.NDArray[np.float64]:
    if isinstance(lane.codec, Fixed):
        return lane.codec.decode(slots.astype(np.int64))
    return decode_sum(slots.astype(np.uint64), contributors, quantizer(lane))


def to_upload(manifest: Manifest, groups: Mapping[str, Words]) -> bytes:
    """Return the wire bytes of one upload."""
    out = bytearray(upload_bytes(manifest))
    for group in manifest.groups:
        start, stop = spans(manifest)[group.name]
        out[start:stop] = packing(group).to_wire(groups[group.name])
    return bytes(out)


def from_upload(manifest: Manifest, data: bytes | memoryview) -> Groups:
    """Return the words per group of one upload.

    Raises: ProtocolViolation when the length differs from the manifest's, or what fills it up is not zero.
    """
    _check_upload(manifest, data)
    view, where = memoryview(data), spans(manifest)
    return {group.name: packing(group).from_wire(view[slice(*where[group.name])]) for group in manifest.groups}


def accumulate(manifest: Manifest, sums: Groups, data: bytes | memoryview) -> None:
    """Add the words of one upload to running sums (made when `sums` is empty): no copy of it is made.

    Raises: ProtocolViolation when the length differs from the manifest's, or what fills it up is not zero.
    """
    if not sums:
        sums.update(from_upload(manifest, data))
        return
    _check_upload(manifest, data)
    view, where = memoryview(data), spans(manifest)
    for group in manifest.groups:
        packing(group).add_wire(view[slice(*where[group.name])], sums[group.name])


def _check_upload(manifest: Manifest, data: bytes | memoryview) -> None:
    view, filled = memoryview(data), 0
    if len(view) != upload_bytes(manifest):
        raise ProtocolViolation(f"An upload has {len(view)} bytes, not {upload_bytes(manifest)}.", rule="upload.length")
    for start, stop in (*spans(manifest).values(), (len(view), len(view))):
        if any(view[filled:start]):
            raise ProtocolViolation("What fills an upload up is not zero.", "Discard it.", rule="upload.length")
        filled = stop


def upload_root(manifest: Manifest, data: bytes | memoryview) -> bytes:
    """Return the Merkle root over the leaves of an upload (protocol §3, step 2)."""
    return root(leaf_hashes(manifest, data))


def fitting(lane: Lane, vectors: Mapping[str, npt.NDArray[np.floating]]) -> npt.NDArray[np.floating]:
    """Return the vector of a lane. Raises: BadInput when it is missing, or has another length than the job expects."""
    found = np.asarray(vectors.get(lane.name, ()))
    if found.shape != (lane.count,):
        cause = f"The {lane.name} has shape {found.shape}, the job expects ({lane.count},)."
        raise BadInput(cause, "Run the task the job was made for.")
    return found


def _scalars(lanes: tuple[Scalar, ...], values: Mapping[str, float]) -> Words:
    out = np.zeros(1 + len(lanes), dtype=np.int64)
    out[0] = 1
    for position, lane in enumerate(lanes, start=1):
        value = values.get(lane.name)
        if value is None or not np.isfinite(value):
            raise BadInput(f"The metric {lane.name} is missing or not finite.", "Return it from the task's train().")
        fixed = round(value * 2**lane.fraction)
        if abs(fixed) > lane.bound:
            raise BadInput(
                f"The metric {lane.name} exceeds the range of its lane.", "Raise its bound in the job or clip it."
            )
        out[position] = fixed
    return out.view(np.uint64)
