"""What engine `masks` asks of a job before it is signed: nothing beside what every job is held against.

Leaves to others: the formulas (secagg.protocol.manifest), what a node accepts (secagg.protocol.acceptance).
"""

from secagg.errors import BadInput
from secagg.protocol.lanes import packing
from secagg.protocol.manifest import JobSpec, Numbers, lane_groups, minimum_contributors, threshold
from secagg.protocol.masks import graph


def check(spec: JobSpec) -> None:
    """Say what this engine cannot do for a job. Raises: BadInput."""
    if spec.custody:
        raise BadInput("Members open sums of engine masks themselves.", "Leave the custody out, or use paillier.")


def numbers(spec: JobSpec, colluders: int) -> Numbers:
    """Return the numbers of every round of a job, `colluders` being the federation's c.

    Raises: BadInput when no sparse graph bears so many corrupt and dropped members.
    """
    nodes = len(spec.cohort)
    degree, among = graph.of_job(spec, colluders)
    return Numbers(threshold(nodes, colluders), minimum_contributors(nodes, colluders), degree, among)


def upload_bytes_of(spec: JobSpec) -> int:
    """Return the length of an upload of a job in bytes."""
    return sum(packing(group).wire_bytes for group in lane_groups(spec, len(spec.cohort)))
