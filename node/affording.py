"""Jobs that this node takes no part in: for them nothing is fetched, and no round is entered. They ask for more than
this institution's policy allows, or train by an algorithm that is not known here. Or they have lanes that cannot hold
every value.

Rules: the refusal is told to people as soon as the job is, and to the aggregator with every round that is proposed.
Such a job is followed by its log entries alone, so that this node is told of the next one in its time. A limit that is
raised while the job runs counts from the next job on, because the models of the rounds before are not here.
Leaves to others: the limits (secagg.protocol.affordable), the lanes (secagg.protocol.ranges), the algorithms
(secagg.learning.algorithms), telling (node.jobs).
"""

from node import records
from node.records import Job
from secagg.daemon.participant import put_since
from secagg.daemon.turn import Turn
from secagg.errors import Refused
from secagg.protocol.affordable import Most, check_affordable
from secagg.protocol.ranges import check_built, check_lanes
from secagg.protocol.server_step import algorithm_of


def declined(job: Job, most: Most) -> Refused | None:
    """Return why nothing is done for a job, None for one that can be taken part in."""
    try:
        check_affordable(job.spec, most)
        check_built(job.spec)
        algorithm_of(job.spec)
        check_lanes(job.spec)
    except Refused as refusal:
        return refusal
    if job.skipped:
        return Refused(
            f"Rounds of {job.spec.name} ended while this institution's policy refused it: its model is not here.",
            "This node takes part in the next job.", rule="job.skipped",
        )  # fmt: skip
    return None


def skip(job: Job, turn: Turn) -> None:
    """Go past a round whose result is not fetched."""
    records.put_job(turn, job, next_round=job.next_round + 1, skipped=True, awaited=None)
    put_since(turn)
