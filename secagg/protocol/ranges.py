"""What a job may say of its lanes, so that no bound of its own choice can make one member fail and another not.

Rules (protocol §2): every bound that a job could get wrong is judged before anybody looks at data. It is held against
what follows from the job itself, or from what an institution's own task declares. A bound that follows from nothing (a
metric that nobody declared) is the job's choice: whoever fails by it counts that (secagg.protocol.failing).
Leaves to others: who asks (node.affording, node.work, aggregator.jobs), values in their lanes (secagg.protocol.lanes).
"""

import math
from collections.abc import Mapping

from msgspec import UNSET

from secagg.errors import Refused
from secagg.learning import algorithms
from secagg.protocol.manifest import IN_STEP, SCALARS, VECTOR, JobSpec, Scalar
from secagg.vector.codec import Fixed, Noised, Offset


def own_lanes(weight_bound: int, parameters: int) -> tuple[Scalar, Scalar]:
    """Return the lanes that every training job has: neither number can leave its range."""
    return Scalar("examples", weight_bound), Scalar("saturated", parameters)


def check_lanes(spec: JobSpec) -> None:
    """Hold the lanes of a job against what follows from it.

    Raises: Refused (`lanes.names`, `lanes.noised`, `lanes.codec`, `lanes.vectors`, `lanes.sum`, `lanes.examples`,
    `lanes.saturated`; as `algorithm_of` too).
    """
    names = [lane.name for lane in spec.scalars] + [lane.name for lane in spec.lanes]
    if len(set(names)) != len(names) or SCALARS in names:
        raise _wrong(f"has two lanes of one name, or one named {SCALARS}", rule="lanes.names")
    if any(isinstance(lane.codec, Noised) for lane in spec.lanes):
        raise _wrong("asks for noise, which is not built", rule="lanes.noised")
    if spec.purpose == "sum":
        _check_sum(spec)
    else:
        _check_training(spec)


def _check_sum(spec: JobSpec) -> None:
    if spec.scalars:
        raise _wrong("sums a vector and asks for metrics, which a vector has not", rule="lanes.sum")
    if [(lane.name, lane.weighted) for lane in spec.lanes] != [(VECTOR, False)]:
        raise _wrong("sums another vector than the one that a task gives", rule="lanes.vectors")
    # Another binary point has another range, in which one member's values may lie and not another's.
    if spec.lanes[0].codec != Fixed():
        raise _wrong("sums a vector in a code that is not the one of sums", rule="lanes.codec")


def _check_training(spec: JobSpec) -> None:
    vectors = algorithms.algorithm_of(spec.algorithm).vectors
    wanted = [(vector.name, vector.weighted, spec.size) for vector in vectors]
    if [(lane.name, lane.weighted, lane.count) for lane in spec.lanes] != wanted:
        raise _wrong(f"has other lanes than those that {spec.algorithm.name} sums", rule="lanes.vectors")
    if not all(isinstance(lane.codec, Offset) for lane in spec.lanes):
        raise _wrong("trains in a code in which nothing saturates", rule="lanes.codec")
    examples, saturated = own_lanes(spec.weight_bound, spec.parameters)
    if examples not in spec.scalars:
        raise _wrong("has no lane for as many examples as its weight bound", rule="lanes.examples")
    if saturated not in spec.scalars:
        raise _wrong("has no lane for as many saturated values as its parameters", rule="lanes.saturated")


def check_built(spec: JobSpec) -> None:
    """Refuse what a job may name and nothing serves yet.

    Raises: Refused (`job.config`, `job.privacy`, `job.mode`).
    """
    if spec.config:
        raise _unbuilt("config")
    if spec.privacy is not UNSET:
        raise _unbuilt("privacy")
    if spec.mode != IN_STEP:
        raise _unbuilt("mode")


def _unbuilt(name: str) -> Refused:
    return Refused(
        f"The job sets {name}, which nothing here obeys.", "Ask the operator for a job without it.", rule=f"job.{name}"
    )


def check_declared(spec: JobSpec, declared: Mapping[str, float]) -> None:
    """Hold the metrics of a job against those that the institution's own task declares, each with its largest value.

    Raises: Refused (`lanes.undeclared`, `lanes.range`).
    """
    own = {lane.name for lane in own_lanes(spec.weight_bound, spec.parameters)}
    for lane in spec.scalars:
        if lane.name in own:
            continue
        if lane.name not in declared:
            raise _wrong(f"asks for the metric {lane.name}, which the task does not declare", rule="lanes.undeclared")
        least = declared[lane.name]
        if lane.bound < math.ceil(least * 2.0**lane.fraction):
            raise _wrong(f"gives the metric {lane.name} less room than the task's {least:g}", rule="lanes.range")


def _wrong(why: str, rule: str) -> Refused:
    return Refused(f"The job {why}.", "Ask the operator for a job whose lanes hold every value.", rule=rule)
