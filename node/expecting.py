"""What this node knows before it reads a manifest, from its roster, its jobs and its policy.

Rules (protocol §1): nothing in it comes from the manifest that is held against it.
Leaves to others: holding it (secagg.protocol.acceptance), which roster is relied on (secagg.daemon.following).
"""

from node import records
from node.records import Job
from secagg.daemon.membership import Standing
from secagg.daemon.turn import Turn
from secagg.protocol.acceptance import Expectation, Policy
from secagg.protocol.manifest import Seat
from secagg.roster.members import Member


def expectation(
    me: str, standing: Standing, aggregator: Member, job: Job, policy: Policy, turn: Turn
) -> Expectation:  # fmt: skip
    """Return what the next round of a job is held against."""
    roster = standing.roster()
    return Expectation(
        me=me, aggregator=aggregator.name, aggregator_key=aggregator.sign_key,
        log_origin=f"{roster.federation}/rounds", directory_origin=f"{roster.federation}/directory",
        directory_key=standing.log_key(), spec=job.spec, spec_digest=job.body, roster_version=roster.version,
        roster=standing.digest(), colluders=roster.limits.colluders, policy=policy,
        model=job.model_digest, round=job.next_round, directory=standing.checkpoint(),
        seats=tuple(Seat(member.name, member.organisation, member.sign_key) for member in roster.nodes()),
        trustees=tuple(Seat(m.name, m.organisation, m.sign_key) for m in roster.members if m.role == "trustee"),
        earlier_moduli=records.find_moduli(turn), state=job.state_digest,
    )  # fmt: skip
