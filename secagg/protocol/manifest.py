"""The job and the manifest of a round: every parameter that anybody relies on, in one signed, immutable value.

Rules (protocol §1): H is SHA-256 of the manifest's bytes as received and enters every signature, derivation and seal.
`n` is the whole cohort and never shrinks. `c` is absolute. t and K_min follow the formulas below and may only be
stricter. A clip is a power of two; the numbers of an algorithm are the only floats that travel.
Leaves to others: refusing what does not fit (secagg.protocol.acceptance), slots and words (secagg.protocol.lanes).
"""

from functools import cached_property
from typing import Annotated, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from secagg.crypto.derive import sha256
from secagg.errors import BadInput
from secagg.ids import NO_DIGEST, Count, Digest, Key, Name, Ordinal, Organisation, RoundId, Sentence, Signature, Word
from secagg.learning.algorithms import Chosen
from secagg.vector.codec import WIDTH, Fixed, Lane, Noised, code_bits
from secagg.vector.packing import Packing, cheapest, slot_bits
from secagg.wire.chunks import Size
from secagg.wire.limits import CHUNK

LEAF_WORDS = 4096
"""Words that key streams and blocks of work are cut at: a multiple of every leaf."""

LEAST_LEAF, MOST_LEAF, LEAVES = 512, 4096, 256
"""A leaf of a lane group has the largest power of two of bytes that gives at least so many leaves, within the two."""

VECTOR = "update"
"""The name of the one lane that a sum has."""

MOST_LANES, MOST_SETTINGS = 16, 64
"""What a job may list: one with more is none, so that no node keeps it."""

SCALARS = "scalars"
"""The lane group of single values, which no lane may be named after."""

PRG = "aes-128-ctr"
SUITE = "mlkem768-x25519/hkdf-sha256/aes-256-gcm"
Purpose = Literal["training", "sum"]
Graph = Literal["complete", "harary"]
Milliseconds = Annotated[int, Meta(ge=1, lt=2**40)]


class Scalar(Struct, frozen=True, forbid_unknown_fields=True):
    """One value of the group `scalars`: |value| · 2^fraction is at most `bound`, an integer below 2^53."""

    name: Name
    bound: Count
    fraction: Annotated[int, Meta(ge=0, le=48)] = 0


class Seat(Struct, frozen=True, forbid_unknown_fields=True):
    """A member's place in the cohort; its index + 1 is its Shamir coordinate."""

    name: Name
    organisation: Organisation
    key: Key


class Acceptance(Struct, frozen=True, forbid_unknown_fields=True):
    """A trustee's signature on a key: it checked its own share of it (secagg.protocol.custody)."""

    trustee: Name
    signature: Signature


class Custody(Struct, frozen=True, forbid_unknown_fields=True):
    """Who can open a sum, for engines with trustees: the key, m seats, t of them decrypt, c' may collude (protocol §5).

    `key` is the encoded public part: of one trustee a `PublicKey`, of more a `ThresholdKey` (secagg.crypto.paillier).
    """

    key: bytes
    s: Annotated[int, Meta(ge=1, le=3)]
    trustees: tuple[Seat, ...]
    threshold: Ordinal
    colluders: Count
    acceptances: tuple[Acceptance, ...]

    def names(self) -> tuple[str, ...]:
        """Return the trustees in the order of their seats."""
        return tuple(seat.name for seat in self.trustees)

    def seat(self, name: str) -> Seat:
        """Return a trustee's seat.

        Raises: KeyError when it has none.
        """
        for seat in self.trustees:
            if seat.name == name:
                return seat
        raise KeyError(name)

    @property
    def quorum(self) -> int:
        """How many trustees witness a freeze: floor((m + c')/2) + 1, at most t."""
        return threshold(len(self.trustees), self.colluders)


class Numbers(NamedTuple):
    """t, K_min, degree of the graph and threshold of shares."""

    threshold: int
    k_min: int
    degree: int
    among: int


class Setting(Struct, frozen=True, forbid_unknown_fields=True):
    """A setting that a job gives its task."""

    name: Name
    value: bool | int | float | Sentence


class Privacy(Struct, frozen=True, forbid_unknown_fields=True):
    """What a job promises every record or institution: (epsilon, delta), by which mechanism."""

    unit: Name
    mechanism: Name
    epsilon: float
    delta: float


IN_STEP = "in-step"
"""The mode of a job whose rounds follow one another, each from the model that the last one gave."""


class JobSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator signs once: the work, the cohort and the parameters that every round repeats.

    `dropouts` is how many members may drop out of a round on a sparse graph; a complete one needs no such number.
    `custody` is there for engines with trustees only. `algorithm` is what it trains by; sums name the default.
    `config`, `privacy` and `mode` are names for what is not built: a job that sets one is refused (ranges.py).
    """

    federation: Name
    name: Name
    purpose: Purpose
    task: Name
    rounds: Ordinal
    cohort: tuple[Name, ...]
    min_nodes: Ordinal
    lanes: Annotated[tuple[Lane, ...], Meta(min_length=1, max_length=MOST_LANES)]
    weight_bound: Ordinal
    step_ms: Milliseconds
    round_ms: Milliseconds
    engine: Name = "masks"
    scalars: tuple[Scalar, ...] = ()
    uses: tuple[Name, ...] = ()
    architecture: Digest = NO_DIGEST
    initial_model: Digest = NO_DIGEST
    chunk_bytes: Size = CHUNK
    graph: Graph = "complete"
    dropouts: Count = 0
    custody: Custody | UnsetType = UNSET
    algorithm: Chosen = Chosen()
    config: Annotated[tuple[Setting, ...], Meta(max_length=MOST_SETTINGS)] = ()
    privacy: Privacy | UnsetType = UNSET
    mode: Name = IN_STEP

    @property
    def parameters(self) -> int:
        """Return how many values a member sends, in all lanes together."""
        return sum(lane.count for lane in self.lanes)

    @property
    def size(self) -> int:
        """Return how many values the model has, or the vector of a sum: every lane has as many."""
        return self.lanes[0].count


class LaneGroup(Struct, frozen=True, forbid_unknown_fields=True):
    """Slots of one kind: `count` of them, the first a canary of constant 1, packed by `layout` (protocol §2)."""

    name: Name
    layout: Name
    value_bits: Annotated[int, Meta(ge=1, le=64)]
    slot_bits: Annotated[int, Meta(ge=1, le=64)]
    count: Ordinal


class Lanes(Struct, frozen=True, forbid_unknown_fields=True):
    """How values become words, the same in every round of a job; a manifest has these fields too."""

    groups: tuple[LaneGroup, ...]
    scalars: tuple[Scalar, ...]
    lanes: tuple[Lane, ...]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One attempt at one round, complete.

    `threshold` is t of the signatures and witnesses. `share_threshold` that of a member's shares, the same on the
    complete graph (`degree` 0), else among the member and its `degree` neighbours. With trustees (`custody`) both are
    theirs, and `degree` is 0. `model` is the digest of what members train from, `state` of what the algorithm keeps
    beside it. The latter is zeros before the first result, and always when it keeps nothing.
    """

    round: RoundId
    engine: Name
    purpose: Purpose
    task: Name
    job_digest: Digest
    model: Digest
    architecture: Digest
    roster_version: Ordinal
    roster: Digest
    members: tuple[Seat, ...]
    colluders: Count
    threshold: Ordinal
    k_min: Ordinal
    degree: Count
    share_threshold: Ordinal
    groups: tuple[LaneGroup, ...]
    scalars: tuple[Scalar, ...]
    lanes: tuple[Lane, ...]
    weight_bound: Ordinal
    prg: Word
    suite: Word
    graph: Word
    step_ms: Milliseconds
    round_ms: Milliseconds
    chunk_bytes: Size
    directory: bytes
    aggregator: Name
    opening_key: Annotated[bytes, Meta(min_length=1216, max_length=1216)]
    custody: Custody | UnsetType = UNSET
    algorithm: Chosen = Chosen()
    state: Digest = NO_DIGEST

    def index(self, name: str) -> int:
        """Return the roster index (0-based) of a member.

        Raises: KeyError when `name` has no seat.
        """
        return self._positions[name]

    def key(self, name: str) -> bytes:
        """Return the signing key of a member."""
        return self.members[self.index(name)].key

    def names(self) -> tuple[str, ...]:
        """Return the cohort in the order of its indices."""
        return self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(seat.name for seat in self.members)

    @cached_property
    def _positions(self) -> dict[str, int]:
        """The first seat of every name, which a round asks for with each message of each member."""
        return {name: position for position, name in reversed(tuple(enumerate(self._names)))}

    @property
    def needed(self) -> int:
        """How many members every step needs: max(t, K_min); with trustees t is theirs, and K_min is enough."""
        return max(self.threshold, self.k_min) if self.custody is UNSET else self.k_min


class GroupSum(Struct, frozen=True, forbid_unknown_fields=True):
    """The summed words of one lane group, little-endian, in the width of the layout's words in memory."""

    name: Name
    words: bytes


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """The result of a round as members and auditors receive it; its HMAC is what the log holds."""

    round: RoundId
    manifest: Digest
    contributors: tuple[Name, ...]
    groups: tuple[GroupSum, ...]


def default_colluders(roster_size: int) -> int:
    """Return floor((R − 1)/3), the federation's default for c."""
    return (roster_size - 1) // 3


def threshold(nodes: int, colluders: int) -> int:
    """Return the smallest t with 2t > n + c (protocol §3)."""
    return (nodes + colluders) // 2 + 1


def minimum_contributors(nodes: int, colluders: int) -> int:
    """Return K_min = max(t, c + 2, 3): two honest inputs hide each other from the colluders."""
    return max(threshold(nodes, colluders), colluders + 2, 3)


def fewest_entrusted(colluders: int) -> int:
    """Return K_min where trustees open: max(c + 2, 3) (protocol §4)."""
    return max(colluders + 2, 3)


def lane_groups(spec: JobSpec, nodes: int) -> tuple[LaneGroup, ...]:
    """Return the lane groups of a round of `nodes` members: `scalars`, then one per lane, each led by its canary.

    Raises: BadInput when a slot does not fit a word, or the sum of a metric its lane; or for a lane with noise.
    """
    for noised in (lane.name for lane in spec.lanes if isinstance(lane.codec, Noised)):
        raise BadInput(f"Lane {noised} has noise, which is not built.", "Name another codec.")
    if spec.custody is not UNSET:
        return _slots_of(spec, nodes)
    for lane in spec.scalars:
        if lane.bound * nodes >= 2**63:
            raise BadInput(
                f"The metric {lane.name} of {nodes} members does not fit its lane.", "Lower its bound or its fraction."
            )
    scalars = LaneGroup(SCALARS, "lane64", WIDTH, WIDTH, 1 + len(spec.scalars))
    return scalars, *(_packed(lane, nodes) for lane in spec.lanes)


def _packed(lane: Lane, nodes: int) -> LaneGroup:
    bits = code_bits(lane.codec)
    if isinstance(lane.codec, Fixed):
        return LaneGroup(lane.name, "lane64", bits, WIDTH, 1 + lane.count)
    width = slot_bits(bits, nodes)
    return LaneGroup(lane.name, cheapest(width), bits, width, 1 + lane.count)


def leaf_bytes(pack: Packing) -> int:
    """Return the bytes on the wire of every leaf of a lane group but its last (protocol §3, step 2).

    The power of two is of words as they lie in memory, so that no leaf ends within a word of three bytes.
    """
    width, size = pack.dtype().itemsize, MOST_LEAF
    while size > LEAST_LEAF and -(-pack.words * width // size) < LEAVES:
        size //= 2
    return size // width * pack.word_bytes


def chunk_bytes(spec: JobSpec, nodes: int) -> int:
    """Return the bytes of a chunk: the largest power of two of the vector's leaves within the job's, which may be
    below one leaf.

    Such a chunk's hash is a node of the upload's Merkle tree, but for the last ones, so that no byte is hashed twice.
    """
    if spec.custody is not UNSET:
        return spec.chunk_bytes
    group = lane_groups(spec, nodes)[-1]
    leaf = leaf_bytes(Packing(group.layout, group.slot_bits, group.count))
    many = spec.chunk_bytes // leaf
    return leaf << (many.bit_length() - 1) if many else spec.chunk_bytes


def _slots_of(spec: JobSpec, nodes: int) -> tuple[LaneGroup, ...]:
    """Return lane groups whose words are single slots, which the engine packs into its own, larger words.

    Raises: BadInput when a slot has more than 64 bits, or a metric no room beside the others'.
    """
    whole = WIDTH - (nodes - 1).bit_length()
    scalars = LaneGroup(SCALARS, "lane64", whole, WIDTH, 1 + len(spec.scalars))
    if any(lane.bound >> (whole - 1) for lane in spec.scalars):
        raise BadInput(f"A metric leaves no room for {nodes} members in 64 bits.", "Lower its bound or its fraction.")
    return scalars, *(_slotted(lane, whole, nodes) for lane in spec.lanes)


def _slotted(lane: Lane, whole: int, nodes: int) -> LaneGroup:
    if isinstance(lane.codec, Fixed):
        return LaneGroup(lane.name, "lane64", whole, WIDTH, 1 + lane.count)
    bits = code_bits(lane.codec)
    width = slot_bits(bits, nodes)
    if width > WIDTH:
        raise BadInput(f"A slot of {width} bits fits no word.", "Use fewer bits per value or fewer members.")
    return LaneGroup(lane.name, "lane32" if width <= 32 else "lane64", bits, width, 1 + lane.count)


def digest(body: bytes) -> bytes:
    """Return H(manifest): SHA-256 of the bytes as received."""
    return sha256(body)
