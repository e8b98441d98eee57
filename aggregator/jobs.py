"""A job file to a signed job, and a round's published sum to the next model.

Rules: strict TOML, every default stands here. A clip is a power of two. What could not work is refused when the job is
submitted, not in its first round. The step to the next model is the one that every node repeats, so both get the same
bytes. Leaves to others: when a job runs (aggregator.schedule), judging it (secagg.protocol.acceptance).
Source: docs/operations.md "Configuration", docs/learning.md "Algorithms".
"""

import math
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Meta, Struct, field

from aggregator.records import Outcome
from secagg.daemon.blobs import Blobs
from secagg.daemon.config import duration, means
from secagg.errors import BadConfiguration, BadInput, WireError
from secagg.ids import NO_DIGEST, Count, Name, Ordinal
from secagg.learning import algorithms
from secagg.learning.algorithms import Chosen
from secagg.learning.digest import architecture_digest, model_digest, state_digest
from secagg.learning.layout import decode_model, encode_model, of_arrays
from secagg.protocol import engines, server_step
from secagg.protocol.custody import check_custody
from secagg.protocol.deriving import numbers as numbers
from secagg.protocol.engines import ENTRUSTED
from secagg.protocol.lanes import Sums
from secagg.protocol.manifest import (
    VECTOR,
    Custody,
    Graph,
    JobSpec,
    Published,
    Purpose,
    Scalar,
    Seat,
    lane_groups,
)
from secagg.protocol.ranges import check_lanes, own_lanes
from secagg.roster.members import Roster
from secagg.vector.codec import Fixed, Lane, Offset
from secagg.wire.chunks import Size
from secagg.wire.codec import decode
from secagg.wire.limits import CHUNK

WHOLE = 2**40

KEPT = "kept"
"""How long the files of an audit stay: until a person deletes them."""


class JobPart(Struct, frozen=True, forbid_unknown_fields=True):
    """`[job]`: `task` is a name that every node.toml maps to its own file; `length` is the vector's, for sums only."""

    name: Annotated[Name, means("The job, by its name; every job has another.")]
    task: Annotated[Name, means("The task, by a name that every node.toml maps to its own file.")]
    purpose: Annotated[Purpose, means("Whether a model is trained or a vector summed.")] = "training"
    rounds: Annotated[Ordinal, means("How many rounds it has.")] = 1
    uses: Annotated[tuple[Name, ...], means("Earlier jobs whose sums its task reads.")] = ()
    length: Annotated[int, Meta(ge=0, lt=2**31), means("Length of the vector that is summed.")] = 0


class CohortPart(Struct, frozen=True, forbid_unknown_fields=True):
    """`[cohort]`: `members` are all nodes of the roster unless named; `max_examples` is W, the bound of a weight.

    `graph` harary is for more than a hundred members and needs `max_dropouts`: how many may drop out of a round. A
    round waits `rejoin_timeout` for members that dropped out of the last one, and the first one for members that are
    not ready yet. Unless written, a round waits as long as a step.
    """

    min_nodes: Annotated[Ordinal, means("Members that every sum has at least.")] = 3
    members: Annotated[tuple[Name, ...], means("Its members; all nodes of the list unless named.")] = ()
    step_timeout: Annotated[str, means("The longest step.")] = "10m"
    round_timeout: Annotated[str, means("The longest round.")] = "2h"
    rejoin_timeout: Annotated[str, means("How long a round waits for who dropped out.")] = "0s"
    max_examples: Annotated[Ordinal, means("W: the most that one member's examples count.")] = 5000
    graph: Annotated[Graph, means("Who shares keys with whom.")] = "complete"
    max_dropouts: Annotated[Count, means("How many may drop out of a round of a sparse graph.")] = 0


class EnginePart(Struct, frozen=True, forbid_unknown_fields=True):
    """`[engine]`: `bits` per value and `clip`, a power of two; sums are lossless and ignore both.

    `name` is one of the table of engines (secagg.protocol.engines); `paillier` needs a custody, which `secagg job
    submit` is given beside the file. `audit_retention` is `kept`: nothing deletes the files of an audit by itself.
    """

    name: Annotated[Name, means("The engine, by its name.")] = "masks"
    bits: Annotated[int, Meta(ge=2, le=31), means("Bits of each value of an update.")] = 16
    clip: Annotated[float, means("The largest value of an update, a power of two.")] = 4.0
    chunk: Annotated[Size, means("Bytes of a chunk of an upload.")] = CHUNK
    audit_retention: Annotated[str, means("How long the files of an audit are there.")] = KEPT


class MetricPart(Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[metrics]]`: a value of the task's metrics that is summed with the update; |value| is at most `max`."""

    name: Annotated[Name, means("The metric, by its name.")]
    max: Annotated[float, means("Its largest absolute value.")]
    fraction: Annotated[int, Meta(ge=0, le=48), means("Bits behind its binary point.")] = 24


class JobFile(Struct, frozen=True, forbid_unknown_fields=True):
    """job.toml; `[algorithm]` is its `name` and the numbers that this algorithm has (secagg.learning.algorithms)."""

    job: JobPart
    cohort: CohortPart = field(default_factory=CohortPart)
    engine: EnginePart = field(default_factory=EnginePart)
    algorithm: dict[str, str | float] = field(default_factory=dict)
    metrics: tuple[MetricPart, ...] = ()


class Model(Struct, frozen=True):
    """What a job pins of its first model."""

    parameters: int
    architecture: bytes
    digest: bytes


def describe_model(data: bytes) -> Model:
    """Return what a safetensors file holds.

    Raises: BadInput when it is not a model.
    """
    arrays = decode_model(data)
    layout = of_arrays(arrays)
    return Model(layout.size, architecture_digest(layout), model_digest(arrays))


def read_model(path: Path) -> Model:
    """Return what the safetensors file at `path` holds. Raises: BadInput."""
    try:
        return describe_model(path.read_bytes())
    except OSError as error:
        cause = f"The model {path} cannot be read: {error.strerror}."
        raise BadInput(cause, "Name a safetensors file.") from None


def read_custody(path: Path) -> Custody:
    """Return what `secagg trustee custody` wrote to `path`. Raises: BadInput."""
    try:
        return decode(Custody, path.read_bytes())
    except (OSError, WireError) as error:
        raise BadInput(f"{path} is no custody: {error}.", "Name what `secagg trustee custody` wrote.") from None


def make_spec(file: JobFile, roster: Roster, model: Model | None, custody: Custody | None = None) -> JobSpec:
    """Return the job that a file asks for, over the members of this roster.

    Raises: BadInput, BadConfiguration or Refused when it could never run.
    """
    engines.load(file.engine.name)
    if file.engine.audit_retention != KEPT:
        raise BadConfiguration(
            f"engine.audit_retention is {file.engine.audit_retention!r}, and no file is deleted after a time.",
            f'Write "{KEPT}" or leave the key out, and delete the files of old audits yourself.',
        )
    if (file.engine.name in ENTRUSTED) != (custody is not None):
        raise BadInput(
            "Engine paillier needs a custody, and other engines have none.", "Give --custody FILE for paillier only."
        )
    training = file.job.purpose == "training"
    if file.algorithm and not training:
        raise BadInput("The job sums a vector, and a sum has no algorithm.", "Leave [algorithm] out.")
    if training != (model is not None) or training == bool(file.job.length):
        raise BadInput(
            "A training job has a model and no length; a sum has a length and no model.",
            "Give --model FILE for training, or [job] length for a sum.",
        )
    spec = JobSpec(
        federation=roster.federation, name=file.job.name, purpose=file.job.purpose, task=file.job.task,
        rounds=file.job.rounds, cohort=_cohort(file, roster), min_nodes=file.cohort.min_nodes,
        lanes=_lanes(file, model),
        weight_bound=file.cohort.max_examples if training else 1,
        step_ms=_milliseconds(file.cohort.step_timeout), round_ms=_milliseconds(file.cohort.round_timeout),
        engine=file.engine.name, scalars=_scalars(file, model), uses=file.job.uses,
        architecture=model.architecture if model else NO_DIGEST,
        initial_model=model.digest if model else NO_DIGEST, chunk_bytes=file.engine.chunk,
        graph=file.cohort.graph, dropouts=file.cohort.max_dropouts, custody=custody or UNSET,
        algorithm=_algorithm(file),
    )  # fmt: skip
    _check(spec, roster)
    return spec


def _check(spec: JobSpec, roster: Roster) -> None:
    nodes = len(spec.cohort)
    fewest = numbers(spec, roster.limits.colluders).k_min
    needed = max(fewest, spec.min_nodes, roster.limits.min_nodes)
    if nodes < needed:
        raise BadInput(
            f"The cohort has {nodes} members, {needed} are needed.", "Enrol more nodes, or lower min_nodes.",
            code="E-COHORT",
        )  # fmt: skip
    lane_groups(spec, nodes)
    server_step.algorithm_of(spec)
    check_lanes(spec)
    engines.load(spec.engine).terms.check(spec)


def check_trustees(spec: JobSpec, roster: Roster) -> None:
    """Hold a job's trustees against the roster, as every node will.

    Raises: Refused naming the rule.
    """
    if spec.custody is not UNSET:
        known = tuple(Seat(one.name, one.organisation, one.sign_key) for one in roster.members if one.role == "trustee")
        check_custody(spec.custody, spec.federation, known, trials=True)


def _cohort(file: JobFile, roster: Roster) -> tuple[str, ...]:
    known = tuple(member.name for member in roster.nodes())
    chosen = tuple(sorted(set(file.cohort.members))) or known
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise BadInput(f"{unknown[0]} is no node of the roster.", f"Known nodes: {', '.join(known) or 'none'}.")
    return chosen


def _lanes(file: JobFile, model: Model | None) -> tuple[Lane, ...]:
    """Return a lane for every vector that the algorithm sums, or that of a sum. Raises: Refused; BadConfiguration."""
    if model is None:
        return (Lane(VECTOR, file.job.length, Fixed()),)
    codec = Offset(file.engine.bits, _exponent(file.engine.clip))
    vectors = algorithms.algorithm_of(_algorithm(file)).vectors
    return tuple(Lane(vector.name, model.parameters, codec, vector.weighted) for vector in vectors)


def _scalars(file: JobFile, model: Model | None) -> tuple[Scalar, ...]:
    if model is None:
        return ()
    own = own_lanes(file.cohort.max_examples, sum(lane.count for lane in _lanes(file, model)))
    lanes = tuple(Scalar(part.name, _bound(part), part.fraction) for part in file.metrics)
    names = [lane.name for lane in (*own, *lanes)]
    if len(set(names)) != len(names):
        raise BadConfiguration("Two metrics have one name, or a name that every job has.", "Rename one in [[metrics]].")
    return (*own, *lanes)


def _algorithm(file: JobFile) -> Chosen:
    """Return what the job trains by, every number of it. Raises: Refused; BadConfiguration."""
    name = file.algorithm.get("name", algorithms.DEFAULT)
    numbers = {key: value for key, value in file.algorithm.items() if key != "name"}
    texts = [key for key, value in numbers.items() if isinstance(value, str)]
    if texts or not isinstance(name, str):
        wrong = texts[0] if texts else "name"
        raise BadConfiguration(f"The key algorithm.{wrong} is of the wrong type.", "The name is text, others numbers.")
    return algorithms.choose(name, {key: float(value) for key, value in numbers.items()})


def _bound(part: MetricPart) -> int:
    bound = part.max * 2.0**part.fraction
    if not 1 <= bound < 2**53:
        raise BadConfiguration(
            f"The metric {part.name} with max {part.max} does not fit its lane.", "Lower max or fraction."
        )
    return math.ceil(bound)


def _exponent(clip: float) -> int:
    mantissa, exponent = math.frexp(clip)
    if clip <= 0 or mantissa != 0.5 or not -64 <= exponent - 1 <= 64:
        raise BadConfiguration(f"The clip {clip} is not a power of two.", "Write for example 0.5, 1.0, 2.0 or 4.0.")
    return exponent - 1


def rejoin_ms(file: JobFile) -> int:
    """Return how long a round waits for members that dropped out of the last one, in milliseconds.

    Raises: BadConfiguration.
    """
    return round(duration(file.cohort.rejoin_timeout) * 1000)


def _milliseconds(text: str) -> int:
    return max(1, round(duration(text) * 1000))


class Stepped(NamedTuple):
    """What a round's sums give: blob and digest of the next model and of the next state, zeros where there is none."""

    sums: Sums
    model: bytes = NO_DIGEST
    digest: bytes = NO_DIGEST
    state: bytes = NO_DIGEST
    state_digest: bytes = NO_DIGEST


def next_model(blobs: Blobs, model: bytes, state: bytes, spec: JobSpec, outcome: Outcome) -> Stepped:
    """Return model and state after a round; runs beside the loop.

    `model` and `state` are the blobs of those before; a sum has neither.
    """
    sums = _sums(blobs, spec, outcome)
    if spec.purpose == "sum":
        return Stepped(sums)
    kept = decode_model(blobs.get(state)) if state != NO_DIGEST else {}
    following, after = server_step.next_model(spec, decode_model(blobs.get(model)), kept, sums)
    blob = blobs.put(encode_model(after)) if after else NO_DIGEST
    return Stepped(sums, blobs.put(encode_model(following)), model_digest(following), blob, state_digest(after))


def vector_of(blobs: Blobs, spec: JobSpec, outcome: Outcome) -> npt.NDArray[np.float64]:
    """Return the values of a job's published sum (float64, 1-D).

    Raises: ProtocolViolation when it is not in the one form of a result.
    """
    return _sums(blobs, spec, outcome).update


def _sums(blobs: Blobs, spec: JobSpec, outcome: Outcome) -> Sums:
    return server_step.sums_of(spec, decode(Published, blobs.get(outcome.published), WHOLE), outcome.round)
