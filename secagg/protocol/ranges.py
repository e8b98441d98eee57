"""What a job may say of its lanes, so that no bound of its own choice can make one member fail and another not.

Rules (protocol §2): every bound that a job could get wrong is judged before anybody looks at data. It is held against
what follows from the job itself, or from what an institution's own task declares. A bound that follows from nothing (a
metric that nobody declared) is the job's choice: whoever fails by it counts that (secagg.protocol.failing).
Leaves to others: who asks (node.affording, node.work, aggregator.jobs), values in their lanes (secagg.protocol.lanes).
"""

import math
from collections.abc import Mapping

from secagg.errors import Refused
from secagg.protocol.manifest import LOSSLESS_BITS, JobSpec, Scalar


def own_lanes(weight_bound: int, parameters: int) -> tuple[Scalar, Scalar]:
    """Return the lanes that every training job has: neither number can leave its range."""
    return Scalar("examples", weight_bound), Scalar("saturated", parameters)


def check_lanes(spec: JobSpec) -> None:
    """Hold the lanes of a job against what follows from it.

    Raises: Refused (`lanes.names`, `lanes.sum`, `lanes.bits`, `lanes.examples`, `lanes.saturated`).
    """
    names = [lane.name for lane in spec.scalars]
    if len(set(names)) != len(names):
        raise _wrong("has two lanes of one name", rule="lanes.names")
    if spec.purpose == "sum":
        if spec.scalars:
            raise _wrong("sums a vector and asks for metrics, which a vector has not", rule="lanes.sum")
        if spec.bits != LOSSLESS_BITS:
            raise _wrong(f"sums a vector at {spec.bits} bits, and only {LOSSLESS_BITS} hold one", rule="lanes.bits")
        return
    if spec.bits == LOSSLESS_BITS:
        raise _wrong(f"trains at {LOSSLESS_BITS} bits, at which nothing saturates", rule="lanes.bits")
    examples, saturated = own_lanes(spec.weight_bound, spec.parameters)
    if examples not in spec.scalars:
        raise _wrong("has no lane for as many examples as its weight bound", rule="lanes.examples")
    if saturated not in spec.scalars:
        raise _wrong("has no lane for as many saturated values as its parameters", rule="lanes.saturated")


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
