"""What a node asks of the aggregator's word before it believes it: signatures, log entries, salted digests.

Rules: an entry counts once it is in a signed checkpoint that extends the last one this node accepted. A result counts
once its bytes have the logged digest and its contributors are those this node opened for, if it opened.
Leaves to others: remembering (secagg.daemon.ledger), consequences (node.jobs). Source: docs/protocol.md §6.2, §6.4.
"""

from collections.abc import Iterable
from typing import TypeVar

from secagg.crypto.derive import hmac_sha256, sha256
from secagg.errors import ProtocolViolation, VerificationFailed
from secagg.ids import EVERYBODY, RoundId
from secagg.log.statements import OfRound, Result, Statement, open_statement, parse_statement
from secagg.log.witness import LogProof
from secagg.log.witness import check as check_proof
from secagg.protocol import server_step
from secagg.protocol.manifest import JobSpec, Published
from secagg.protocol.memory import Memory, Opened, Witnessed
from secagg.protocol.published import check_form
from secagg.protocol.session import ResultNotice, job_scope
from secagg.roster.members import Member, Roster
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, open_signed

S = TypeVar("S", bound=Statement)


def opened_job(signed: Signed, aggregator: Member, roster: Roster, me: str) -> tuple[JobSpec, bytes]:
    """Return a job and the SHA-256 of its bytes.

    Raises: BadSignature; ProtocolViolation when it is of another federation or not for this node.
    """
    spec = decode(JobSpec, signed.body, LIMIT_BULK)
    if signed.sender != aggregator.name or spec.federation != roster.federation:
        raise ProtocolViolation(f"The job {spec.name} is not of this federation's aggregator.", rule="job.federation")
    open_signed(signed, aggregator.sign_key, "JobSpec", job_scope(spec), EVERYBODY)
    if me not in spec.cohort:
        raise ProtocolViolation(f"This node is not in the cohort of job {spec.name}.", rule="job.cohort")
    return spec, sha256(signed.body)


def logged(
    leaf: bytes, proof: LogProof, aggregator: Member, federation: str, kind: type[S], memory: Memory
) -> tuple[S, Witnessed]:
    """Return the statement of an entry of the round log, and the checkpoint that holds it, to be remembered.

    Raises: VerificationFailed (`E-BEHIND` when the proof starts from another checkpoint than this node's last).
    """

    def key_of(signer: str) -> bytes:
        if signer != aggregator.name:
            raise VerificationFailed(f"{signer} signed a statement that is the aggregator's.", "Keep it as evidence.")
        return aggregator.sign_key

    statement, _ = open_statement(leaf, key_of)
    if not isinstance(statement, kind) or statement.federation != federation:
        raise VerificationFailed("The log entry is of another type or federation.", "Ask the operator for the log.")
    origin = f"{federation}/rounds"
    seen = check_proof(leaf, proof, origin, aggregator.sign_key, memory.last(origin))
    return statement, Witnessed(seen.origin, seen.size, seen.root)


def require_round(statement: OfRound, round_id: RoundId) -> None:
    """Check that a statement is about exactly this round. Raises: VerificationFailed."""
    about = (statement.federation, statement.job, statement.round, statement.attempt, statement.group)
    wanted = (round_id.federation, round_id.job, round_id.round, round_id.attempt, round_id.group)
    if about != wanted:
        raise VerificationFailed("The log entry is of another round.", "Ask the operator for the log.")


def require_result(
    spec: JobSpec, notice: ResultNotice, data: bytes, published: Published, opened: Iterable[Opened]
) -> None:  # fmt: skip
    """Check published bytes against the log entry of their notice, the form of a result, and what this node opened for.

    Raises: VerificationFailed; ProtocolViolation (`result.<rule>`).
    """
    # The signature was verified when the notice came.
    statement, _, _, _ = parse_statement(notice.leaf)
    if not isinstance(statement, Result) or hmac_sha256(notice.salt, data).hex() != statement.result:
        raise VerificationFailed(
            "The published result is not the one whose digest is logged.", "Keep both: the aggregator is at fault."
        )
    about = (published.round, published.manifest.hex(), published.contributors)
    if about != (notice.round, statement.manifest, statement.contributors):
        raise VerificationFailed("The published result is of another round than its log entry.", "Keep both.")
    check_form(published, server_step.lanes_of(spec).groups, spec.cohort, notice.round)
    for entry in opened:
        if entry.round.opening == notice.round.opening and entry.contributors != published.contributors:
            raise VerificationFailed(
                "The result is published for another set of contributors than this node opened for.",
                "Keep the log: the aggregator is at fault.",
            )
