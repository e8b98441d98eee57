"""From a round's published sum to values and to the next model: the step that aggregator, nodes and auditors repeat.

Rules: everything needed follows from the signed job and the size of its cohort, so a member that was away in a round
computes the same bytes as one that was there; the arithmetic is that of secagg.learning (float64, elementwise), and a
wrong canary makes a result worthless. Leaves to others: believing a result (its log entry), storing models.
Source: architecture "The path of an update", protocol §2.
"""

import numpy as np

from secagg.errors import ProtocolViolation
from secagg.learning.fedavg import FedAvg, mean
from secagg.learning.layout import Arrays, of_arrays
from secagg.protocol.lanes import Sums, Words, decode_sums, packing
from secagg.protocol.manifest import JobSpec, Lanes, Published, lane_groups


def lanes_of(spec: JobSpec) -> Lanes:
    """Return the lanes of every round of a job."""
    return Lanes(
        groups=lane_groups(spec, len(spec.cohort)), scalars=spec.scalars, bits=spec.bits, clip_log2=spec.clip_log2
    )


def sums_of(lanes: Lanes, published: Published) -> Sums:
    """Return a published result in clear values.

    Raises: ProtocolViolation when lane groups are missing or too short, or a canary is wrong.
    """
    given = {group.name: group.words for group in published.groups}
    if set(given) != {group.name for group in lanes.groups}:
        raise ProtocolViolation("The result holds other lane groups than the job.", "Ask for the job as signed.")
    words: dict[str, Words] = {}
    for group in lanes.groups:
        pack = packing(group)
        if len(given[group.name]) != pack.words * np.dtype(pack.dtype).itemsize:
            raise ProtocolViolation(f"Lane group {group.name} has another length than the job says.", "Discard it.")
        words[group.name] = np.frombuffer(given[group.name], dtype=np.uint8).copy().view(pack.dtype)
    return decode_sums(lanes, words, len(published.contributors))


def next_model(spec: JobSpec, arrays: Arrays, sums: Sums) -> Arrays:
    """Return the model after a round of a training job.

    Raises: BadInput when the sums do not fit the model, or give a value that is not finite.
    """
    average = mean(sums.update, sums.scalars["examples"], spec.weight_bound)
    return FedAvg().server_step(arrays, average, of_arrays(arrays))
