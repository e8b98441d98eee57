"""What engine `toy` asks of a job: nothing. Its numbers are those of members who open sums themselves."""

from secagg.protocol.lanes import packing
from secagg.protocol.manifest import JobSpec, Numbers, lane_groups, minimum_contributors, threshold


def check(spec: JobSpec) -> None:
    """Take every job."""


def numbers(spec: JobSpec, colluders: int) -> Numbers:
    """Return the numbers of every round of a job."""
    nodes = len(spec.cohort)
    t = threshold(nodes, colluders)
    return Numbers(t, minimum_contributors(nodes, colluders), 0, t)


def upload_bytes_of(spec: JobSpec) -> int:
    """Return the length of an upload of a job in bytes."""
    return sum(packing(group).wire_bytes for group in lane_groups(spec, len(spec.cohort)))
