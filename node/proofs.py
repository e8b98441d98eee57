"""Proofs of members' faults: judged here, and then those members are in no round of the job that this node joins.

Rules (protocol §3): the aggregator's word names nobody. A proof counts once it holds under the key that the roster
gives of the member that it names. Leaves to others: what proves what (the engine's `AuditSide`), refusing a set with
such a member in it (the engine's `MemberSide`). The set that an input is bound to is the ledger's.
"""

from node import records
from node.jobs import Jobs
from secagg.daemon.following import Follower
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation
from secagg.events.line import place
from secagg.events.members import Named
from secagg.protocol.round.proofs import check_fault
from secagg.transport.link import Received


class Proofs:
    """What this node holds against members of its jobs."""

    def __init__(self, follower: Follower, jobs: Jobs) -> None:
        self._follower, self._jobs = follower, jobs

    def take(self, message: Received, turn: Turn) -> None:
        """Take a proof of a fault.

        Raises: NotAuthorised for another sender than the aggregator; VerificationFailed when it proves nothing here;
        ProtocolViolation when it is about no job of this node.
        """
        self._follower.sender(message, turn)
        roster = self._follower.roster(turn)
        found = check_fault(message.body, lambda name: roster.member(name).sign_key)
        where = found.scope.round
        if records.find_job(turn, where.job) is None or where.federation != roster.federation:
            raise ProtocolViolation(f"A proof about job {where.job}, which was not announced.", rule="job.unknown")
        key = roster.member(found.member).sign_key
        if key not in records.find_proven(turn, where.job):
            records.put_proven(turn, where.job, key)
            turn.tell(Named(*place(where), institution=found.member, reason=found.kind))
        self._jobs.present(turn)
