"""A node's judgement of a proposed manifest: derive it, compare every leaf, refuse by name.

Rules (protocol §1): no parameter is taken on trust. What follows from the signed job, the roster and the formulas must
be equal. What a node cannot derive stands in one table with its reason (deriving.py). Policy is the institution's own
and never negotiates. One seat per organisation.
Leaves to others: reading policy and roster (node), log proofs (masks.checks).
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from msgspec import UNSET

from secagg.errors import Refused
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.checkpoint import Checkpoint, open_checkpoint
from secagg.protocol import manifest as rules
from secagg.protocol.affordable import Most
from secagg.protocol.custody import check_custody, custody_of
from secagg.protocol.deriving import Facts, derive, differing, field_of
from secagg.protocol.engines import ENTRUSTED
from secagg.protocol.inputs import Terms
from secagg.protocol.manifest import JobSpec, Manifest, Seat
from secagg.protocol.memory import Memory, check_attempt
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK, LIMIT_CONTROL
from secagg.wire.signed import Scope, Signed, open_signed


@dataclass(frozen=True)
class Policy:
    """What an institution's own node.toml allows; refuses, never negotiates.

    `allow_trials`: trustees of whom none may collude (c' = 0), a single holder among them. `min_key_bits` is the least
    length of a Paillier modulus; configuration knows none below 2048. `changing_sets`, `unlisted_jobs`, `min_change`
    and `static_inputs` bind inputs to sets of members (secagg.protocol.inputs). `max_failures` is how many rounds may
    fail on a source's data until a person is asked (secagg.protocol.failing).
    """

    min_nodes: int = 3
    max_colluders: int | None = None
    engines: tuple[str, ...] = ("masks",)
    exact_counts: bool = False
    max_rounds_per_source: int = 1000
    pinned_peers: tuple[tuple[str, str], ...] = ()
    server: str = "malicious"
    allow_trials: bool = False
    min_key_bits: int = 2048
    most: Most = field(default_factory=Most)
    changing_sets: bool = False
    unlisted_jobs: int = 20
    min_change: float = 1 / 256
    static_inputs: str = "source"
    max_failures: int = 3

    @property
    def terms(self) -> Terms:
        """Return what inputs are held against."""
        return Terms(self.changing_sets, self.unlisted_jobs, self.max_rounds_per_source)


class KnownLog(Protocol):
    """Whose round log an entry has to be in; an `Expectation` says it, and a `RoundLog`."""

    @property
    def aggregator(self) -> str:
        """The aggregator's name."""
        ...

    @property
    def aggregator_key(self) -> bytes:
        """Its signing key, which is the log's too."""
        ...

    @property
    def log_origin(self) -> str:
        """The name of the log."""
        ...


class RoundLog(NamedTuple):
    """A round log and its owner."""

    aggregator: str
    aggregator_key: bytes
    log_origin: str


@dataclass(frozen=True)
class Expectation:
    """What a node knows before it reads a manifest.

    `seats` is every node member of the roster in force, `trustees` every trustee, `colluders` the federation's c.
    `model` and `state` the digests of what this node has itself recomputed. `directory` the last directory checkpoint
    it verified. `earlier_moduli` those of the keys it has encrypted to before.
    """

    me: str
    aggregator: str
    aggregator_key: bytes
    log_origin: str
    directory_origin: str
    directory_key: bytes
    spec: JobSpec
    spec_digest: bytes
    roster_version: int
    roster: bytes
    seats: tuple[Seat, ...]
    colluders: int
    policy: Policy = field(default_factory=Policy)
    model: bytes = NO_DIGEST
    round: int = 1
    directory: Checkpoint | None = None
    trustees: tuple[Seat, ...] = ()
    earlier_moduli: tuple[bytes, ...] = ()
    state: bytes = NO_DIGEST


def accept(signed: Signed, expect: Expectation, memory: Memory) -> tuple[Manifest, Scope]:
    """Return the manifest and its scope once every field is as this node computes it.

    Raises: Refused with `rule` = `manifest.<field>`, `policy.<name>` or `attempt.<name>`; BadSignature; WireError.
    """
    proposed = decode(Manifest, signed.body, LIMIT_BULK)
    unbound = Scope(round=proposed.round, manifest=NO_DIGEST)
    open_signed(signed, expect.aggregator_key, "Manifest", unbound, EVERYBODY)
    scope = Scope(round=proposed.round, manifest=rules.digest(signed.body))
    check_fields(proposed, expect)
    check_cohort(proposed, expect)
    check_directory(proposed, expect)
    check_policy(proposed, expect)
    check_attempt(memory, proposed.round, scope.manifest)
    return proposed, scope


def check_fields(proposed: Manifest, expect: Expectation) -> None:
    """Compare every leaf with the manifest that this node derives itself.

    Raises: Refused naming the first field that lies.
    """
    check_engine(expect)
    if proposed.roster_version != expect.roster_version:
        # Said first: under another roster the cohort may have no seats to derive from.
        raise _lie("roster_version", "is not that of the roster in force")
    facts = Facts(
        round=expect.round, attempt=proposed.round.attempt, job_digest=expect.spec_digest, model=expect.model,
        roster_version=expect.roster_version, roster=expect.roster, seats=expect.seats, colluders=expect.colluders,
        aggregator=expect.aggregator, directory=proposed.directory, opening_key=proposed.opening_key,
        state=expect.state,
    )  # fmt: skip
    path = differing(proposed, derive(expect.spec, facts))
    if path is not None:
        raise _lie(field_of(path), f"({path}) does not follow from the signed job and the roster")
    if expect.spec.rounds < proposed.round.round:
        raise _lie("round", "is beyond the job's rounds")
    if not LIMIT_CONTROL // 16 <= proposed.chunk_bytes <= LIMIT_BULK:
        raise _lie("chunk_bytes", "is outside the limits of the wire")


def check_engine(expect: Expectation) -> None:
    """Hold the job's engine against the institution's policy, before that engine is asked for anything.

    Raises: Refused with rule `policy.engines`.
    """
    engine, allowed = expect.spec.engine, expect.policy.engines
    if engine not in allowed:
        raise _policy("engines", f"allows {', '.join(allowed)}, the job uses {engine}")


def check_cohort(proposed: Manifest, expect: Expectation) -> None:
    """Check what the signed job itself says of its cohort: seats, colluders, numbers, holders (protocol §1, §3).

    Raises: Refused with rule `manifest.<field>` or `custody.<rule>`.
    """
    names = proposed.names()
    if names != tuple(sorted(set(names))) or expect.me not in names:
        raise _lie("members", "is not a cohort in order, with this node in it")
    check_seats(proposed)
    if proposed.colluders < (expect.policy.max_colluders or 0):
        raise _lie("colluders", f"is below the {expect.policy.max_colluders} that this institution's policy assumes")
    if max(proposed.k_min, 0 if proposed.engine in ENTRUSTED else proposed.threshold) > len(names):
        raise _lie("k_min", "exceeds the cohort")
    check_holders(proposed, expect)


def check_seats(proposed: Manifest) -> None:
    """Check that every organisation, and every key, has one seat, whatever the roster holds (protocol §1).

    Raises: Refused with rule `manifest.members`.
    """
    seats = proposed.members
    if len({seat.organisation for seat in seats}) != len(seats):
        raise _lie("members", "gives one organisation two seats")
    if len({seat.key for seat in seats}) != len(seats):
        raise _lie("members", "gives one key two seats")


def check_holders(proposed: Manifest, expect: Expectation) -> None:
    """Check who opens: the members themselves, or the trustees of the signed job under their rules (protocol §4, §5).

    Raises: Refused with rule `manifest.custody`, `manifest.graph` or `custody.<rule>`.
    """
    if proposed.engine not in ENTRUSTED:
        if proposed.custody is not UNSET:
            raise _lie("custody", "names trustees, who have no part in this engine")
        return
    if proposed.custody is UNSET:
        raise _lie("custody", "names no trustees")
    if proposed.graph != "complete":
        raise _lie("graph", "is drawn, and members of this engine share nothing with each other")
    check_custody(custody_of(proposed), expect.spec.federation, expect.trustees, expect.policy.allow_trials)


def check_directory(proposed: Manifest, expect: Expectation) -> None:
    """Check that the manifest relies on the very directory checkpoint that this node has verified (protocol §6.2).

    Raises: Refused with rule `manifest.directory`; VerificationFailed when it is no checkpoint at all.
    """
    relied = open_checkpoint(proposed.directory, expect.directory_origin, expect.directory_key)
    if relied != expect.directory:
        raise _lie("directory", "is not the directory this node was shown")


def check_policy(proposed: Manifest, expect: Expectation) -> None:
    """Hold the manifest against the institution's own policy.

    Raises: Refused with rule `policy.<name>`, saying both values.
    """
    policy, nodes = expect.policy, len(proposed.members)
    if nodes < policy.min_nodes or nodes < expect.spec.min_nodes:
        wanted = max(policy.min_nodes, expect.spec.min_nodes)
        raise _policy("min_nodes", f"asks for at least {wanted} nodes, the job has {nodes}")
    if proposed.graph != "complete" and policy.server != "semi-malicious":
        raise _policy("server", "assumes a malicious one, which a sparse graph does not bear")
    if proposed.round.round > policy.max_rounds_per_source:
        raise _policy("max_rounds_per_source", f"allows {policy.max_rounds_per_source} rounds")
    exact = any(lane.name == "examples" for lane in proposed.scalars)
    if exact and proposed.purpose == "training" and not policy.exact_counts:
        raise _policy("exact_counts", "refuses exact example counts in training rounds")
    check_peers(proposed, expect)


def check_peers(proposed: Manifest, expect: Expectation) -> None:
    """Hold the cohort against the peers that the policy pins, if it pins any: those alone, under exactly these keys.

    Raises: Refused with rule `policy.pinned_peers`.
    """
    pinned = dict(expect.policy.pinned_peers)
    for seat in proposed.members if pinned else ():
        if seat.name != expect.me and seat.name not in pinned:
            raise _policy("pinned_peers", f"pins peers, and {seat.name} is none of them")
        if pinned.get(seat.name, seat.key.hex()) != seat.key.hex():
            raise _policy("pinned_peers", f"pins another key for {seat.name}")


def _lie(name: str, why: str) -> Refused:
    return Refused(
        f"The manifest's {name} {why}.", "Ask the operator to propose the job as it was signed.",
        rule=f"manifest.{name}",
    )  # fmt: skip


def _policy(name: str, why: str) -> Refused:
    return Refused(
        f"This institution's policy {name} {why}.", "Change the job, or the policy in node.toml.", rule=f"policy.{name}"
    )
