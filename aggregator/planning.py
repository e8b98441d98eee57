"""What a job would cost and how exact it would be, before anybody trains: the work of `secagg job check`.

Rules: nothing here that a round does otherwise: lanes, layouts and thresholds come from the same functions. What could
not run is refused with the same words as when it is submitted. Leaves to others: submitting (aggregator.schedule).
Source: docs/protocol.md §2 (error of the mean, slots), §3 (thresholds).
"""

import math

from aggregator import jobs
from aggregator.jobs import JobFile, Model
from secagg.errors import BadInput, Refused
from secagg.protocol import engines, server_step
from secagg.protocol import manifest as rules
from secagg.protocol.affordable import Most, check_affordable
from secagg.protocol.custody import readers
from secagg.protocol.lanes import group_of, packing, quantizer
from secagg.protocol.manifest import Custody, JobSpec
from secagg.roster.members import Limits, Member, Roster

_ROOM = {"3x21": 21, "3bytes": 24, "lane32": 32, "lane64": 64}
"""Bits that a slot of a layout has."""


def plan(
    file: JobFile, nodes: int, model: Model | None, colluders: int | None = None, examples: int = 0,
    custody: Custody | None = None,
) -> dict[str, object]:  # fmt: skip
    """Return layout, bytes, thresholds and error of a job over `nodes` members.

    `examples` is how many all members together are expected to train on; as many as W allows unless given.
    Raises: BadInput or BadConfiguration when the job could never run.
    """
    if nodes < 1:
        raise BadInput("There is nobody in the cohort.", "Give --nodes, or name members in [cohort].")
    limit = rules.default_colluders(nodes) if colluders is None else colluders
    spec = jobs.make_spec(file, _roster(file, nodes, limit, custody), model, custody)
    lanes = server_step.lanes_of(spec)
    update = group_of(lanes, spec.lanes[0].name)
    numbers = jobs.numbers(spec, limit)
    found: dict[str, object] = {
        "job": spec.name, "purpose": spec.purpose, "nodes": nodes, "colluders": limit,
        "threshold": numbers.threshold, "k_min": numbers.k_min, "slot_bits": update.slot_bits,
    }  # fmt: skip
    if custody is not None:
        found |= _entrusted(spec, custody)
    else:
        total = sum(packing(group).wire_bytes for group in lanes.groups)
        found |= {
            "neighbours": numbers.degree or nodes - 1, "share_threshold": numbers.among, "layout": update.layout,
            "headroom_bits": _ROOM[update.layout] - update.slot_bits,
            "upload_bytes": total, "bytes_per_parameter": round(total / spec.parameters, 3),
            "masks_per_upload": numbers.degree + 1 if numbers.degree else nodes,
        }  # fmt: skip
    found["default_policy"] = _default_policy(spec)
    return found | (_training(spec, nodes, examples) if spec.purpose == "training" else {"exact": True})


def _default_policy(spec: JobSpec) -> str:
    """Return whether members that wrote no limits take a job of this size, or the first limit that they would name."""
    try:
        check_affordable(spec, Most())
    except Refused as refusal:
        return f"refused: {refusal.rule}"
    return "taken"


def _entrusted(spec: JobSpec, custody: Custody) -> dict[str, object]:
    """Return what the round costs with trustees: each of them fetches every upload and multiplies it itself."""
    size = engines.load(spec.engine).terms.upload_bytes_of(spec)
    return {
        "engine": spec.engine, "trustees": len(custody.trustees), "trustee_colluders": custody.colluders,
        "can_read": readers(custody),
        "s": custody.s, "upload_bytes": size, "bytes_per_parameter": round(size / spec.parameters, 3),
        "bytes_to_each_trustee": size * len(spec.cohort),
    }  # fmt: skip


def _training(spec: JobSpec, nodes: int, examples: int) -> dict[str, object]:
    """Return scale and error of the mean: W √n / (2 S Σ n_k), the root of its expected square."""
    rounding = quantizer(spec.lanes[0])
    scale = rounding.scale
    expected = examples or nodes * spec.weight_bound
    if expected > nodes * spec.weight_bound:
        raise BadInput(
            f"{expected} examples are more than {nodes} members of at most {spec.weight_bound} have.",
            "Raise max_examples, which every member's weight is capped at.",
        )
    error = spec.weight_bound * math.sqrt(nodes) / (2 * scale * expected)
    algorithm = " ".join((spec.algorithm.name, *(f"{one.name} {one.value:g}" for one in spec.algorithm.numbers)))
    return {
        "algorithm": algorithm, "clip": rounding.clip, "scale": scale, "examples": expected,
        "rms_error_of_mean": error,
    }  # fmt: skip


def _roster(file: JobFile, nodes: int, colluders: int, custody: Custody | None) -> Roster:
    """Return a roster of as many nodes, those that the job names among them, and of the trustees."""
    names = [*file.cohort.members, *(f"node-{index:05d}" for index in range(nodes))][:nodes]
    members = tuple(Member(name, name, "node", bytes(32), bytes(32)) for name in sorted(names))
    if custody is not None:
        seats = custody.trustees
        members += tuple(Member(one.name, one.organisation, "trustee", one.key, bytes(32)) for one in seats)
    return Roster("plan", 1, 0, 1, bytes(32), Limits(colluders, 1), members)
