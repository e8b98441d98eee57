"""The one place where a manifest is put together: from the signed job, the facts of the round, and the formulas.

How to read it: the aggregator proposes what `derive` gives it. A node (and an auditor) derives its own, and `differing`
names the first leaf that is another one.
Rules (protocol §1): every leaf is compared, nested ones too, or stands in `FREE`. There the reason stands why whoever
reads the manifest cannot know it, and what judges it instead. Who sees no job (a trustee) has a table of its own.
Leaves to others: reading jobs and rosters, refusing (acceptance.py, paillier/checks.py, the auditor's checks).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.errors import Refused
from secagg.ids import NO_DIGEST, RoundId
from secagg.learning.algorithms import keeps
from secagg.protocol import engines
from secagg.protocol import manifest as rules
from secagg.protocol.manifest import JobSpec, Manifest, Numbers, Seat

FREE: Mapping[str, str] = MappingProxyType(
    {
        "round.attempt": "The aggregator counts attempts: the ledger judges them, and one opening counts for all.",
        "directory": "A checkpoint with whatever lines of witnesses: the checkpoint in it is held against the own one.",
        "opening_key": "The aggregator draws it for each job: answers are sealed to it, so it is judged as a key.",
    }
)
"""Leaves that a node does not derive, and why."""


@dataclass(frozen=True)
class Facts:
    """What a round adds to its job, as whoever derives the manifest knows it.

    `seats` are all nodes of the roster, `colluders` is its c; `directory` is a note, `opening_key` a sealing key.
    """

    round: int
    attempt: int
    job_digest: bytes
    model: bytes
    roster_version: int
    roster: bytes
    seats: tuple[Seat, ...]
    colluders: int
    aggregator: str
    directory: bytes
    opening_key: bytes
    state: bytes = NO_DIGEST


def job_digest(body: bytes) -> bytes:
    """Return what names a signed job in its manifests: SHA-256 of the bytes that were signed."""
    return sha256(body)


def numbers(spec: JobSpec, colluders: int) -> Numbers:
    """Return what follows from a job's engine and cohort and the federation's c. Raises: BadInput."""
    return engines.load(spec.engine).terms.numbers(spec, colluders)


def derive(spec: JobSpec, facts: Facts) -> Manifest:
    """Return the manifest of a round of a job.

    Raises: Refused (`manifest.members`) when somebody of the cohort has no seat; BadInput when lanes or graph of the
    job cannot be.
    """
    known = {seat.name: seat for seat in facts.seats}
    gone = [name for name in spec.cohort if name not in known]
    if gone:
        raise Refused(
            f"{gone[0]} is in the job's cohort and in no seat of the roster.", "Submit the job over members there are.",
            rule="manifest.members",
        )  # fmt: skip
    found, nodes = numbers(spec, facts.colluders), len(spec.cohort)
    return Manifest(
        round=RoundId(spec.federation, spec.name, facts.round, facts.attempt), engine=spec.engine,
        purpose=spec.purpose, task=spec.task, job_digest=facts.job_digest,
        model=facts.model if spec.purpose == "training" else NO_DIGEST, architecture=spec.architecture,
        roster_version=facts.roster_version, roster=facts.roster,
        members=tuple(known[name] for name in spec.cohort), colluders=facts.colluders, threshold=found.threshold,
        k_min=found.k_min, degree=found.degree, share_threshold=found.among, groups=rules.lane_groups(spec, nodes),
        scalars=spec.scalars, lanes=spec.lanes, weight_bound=spec.weight_bound,
        prg=rules.PRG, suite=rules.SUITE, graph=spec.graph, step_ms=spec.step_ms, round_ms=spec.round_ms,
        chunk_bytes=rules.chunk_bytes(spec, nodes), directory=facts.directory, aggregator=facts.aggregator,
        opening_key=facts.opening_key, custody=spec.custody, algorithm=spec.algorithm,
        state=facts.state if keeps(spec.algorithm) and spec.purpose == "training" else NO_DIGEST,
    )  # fmt: skip


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield every leaf of a struct with its path: fields by name, places of a tuple by number, its kind as `type`."""
    if isinstance(value, Struct):
        if value.__struct_config__.tag is not None:
            yield f"{path}.type", value.__struct_config__.tag
        for name in value.__struct_fields__:
            yield from leaves(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, tuple):
        yield f"{path}.length", len(value)
        for place, item in enumerate(value):
            yield from leaves(item, f"{path}.{place}")
    else:
        yield path, value


def differing(theirs: Manifest, mine: Manifest, free: Mapping[str, str] = FREE) -> str | None:
    """Return the path of the first leaf that is another one, None when all that is not `free` is the same."""
    own = dict(leaves(mine))
    for path, value in leaves(theirs):
        if path in free or path.partition(".")[0] in free:
            continue
        if path not in own or type(own[path]) is not type(value) or own[path] != value:
            return path
    return None


def field_of(path: str) -> str:
    """Return the name under which a leaf is refused: of a round the leaf's own, else that of the manifest's field."""
    first, _, rest = path.partition(".")
    return rest if first == "round" and rest != "round" else first
