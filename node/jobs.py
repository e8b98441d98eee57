"""The jobs this node was told of: their first models, the results of their rounds, and the model that follows.

How to read it: `announced` brings a job, `result` and `aborted` the end of a round. `_pursue` fetches what is still
missing, `finished` takes what was computed, `present` says what this node stands before.
Rules: a job is believed with the aggregator's signature and its log entry. A result is believed with its log entry, its
salted digest and the set this node opened for. The next model is computed here and never taken from anybody. A job's
name means one job for ever. Leaves to others: rounds (node.rounds), pieces (secagg.daemon), models (node.work).
Source: docs/protocol.md §6.4, docs/architecture.md "The path of an update".
"""

from typing import NamedTuple, cast

import msgspec
import numpy as np
from msgspec.structs import replace

from node import believing, records
from node.affording import declined, skip
from node.inputs import Inputs
from node.records import Job
from node.work import Stepped, Sums, Work
from secagg.crypto.derive import sha256
from secagg.daemon import booting
from secagg.daemon.blobs import Blobs
from secagg.daemon.fetching import Fetching
from secagg.daemon.following import Follower
from secagg.daemon.ledger import Ledger
from secagg.daemon.participant import WHOLE, put_since
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation, Refused, SecaggError, TryLater, VerificationFailed
from secagg.events import members as told
from secagg.events.line import place
from secagg.ids import NO_DIGEST, RoundId
from secagg.learning.layout import HEADER_LIMIT
from secagg.log.statements import Aborted, JobCreated, Result
from secagg.log.witness import LogProof
from secagg.protocol import server_step
from secagg.protocol.affordable import Most
from secagg.protocol.lanes import packing
from secagg.protocol.manifest import JobSpec, Published
from secagg.protocol.session import LOST_STEPS, Announce, Present, ResultNotice
from secagg.roster.members import Member
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK

LOAD, MODEL, RESULT, EVALUATE = "load", "model", "result", "evaluate"

_ENVELOPE = 65_536
"""What a published result may have beside its words, in bytes, and 128 for every member."""


class Ended(NamedTuple):
    """A round whose result was taken in, and what the aggregator said of that result."""

    round: RoundId
    notice: ResultNotice


class Jobs:
    """Every job of this node; at most one is active."""

    def __init__(
        self, name: str, follower: Follower, blobs: Blobs, work: Work, inputs: Inputs, most: Most | None = None
    ) -> None:
        self._inputs, self._most = inputs, most or Most()
        self._name, self._follower, self._blobs, self._work = name, follower, blobs, work
        self._fetching = Fetching(blobs)
        self._faults: dict[str, SecaggError] = {}

    def start(self, turn: Turn) -> None:
        """Take up after a restart what was being fetched or computed; models and tasks are held against jobs anew."""
        for known in records.all_jobs(turn):
            if known.ready and not known.over:
                records.put_job(turn, known, ready=False)
        job = records.active(turn)
        if job and job.over and job.spec.purpose == "training" and not job.evaluated:
            self._evaluate(job, turn)
        self._pursue(turn)

    # What rounds ask -------------------------------------------------------------------------------------------------

    def job(self, name: str, turn: Turn) -> Job:
        """Return a job. Raises: ProtocolViolation when it was never announced to this node."""
        job = records.find_job(turn, name)
        if job is None:
            raise ProtocolViolation(f"A round of job {name}, which was not announced.", rule="job.unknown")
        return job

    def require_ready(self, job: Job) -> None:
        """Raises: TryLater while the job's model is not here and checked; not when it is known to be wrong."""
        if not job.ready and job.spec.name not in self._faults:
            raise TryLater(f"The model of {job.spec.name} is not here yet.", "The proposal comes again.")

    def fault(self, job: Job) -> SecaggError | None:
        """Return what is wrong with this institution's task for a job, if something is."""
        return self._faults.get(job.spec.name)

    def uses(self, job: Job, turn: Turn) -> Sums:
        """Return what the sum jobs that a job builds on have published, by name.

        Raises: Refused when one is not known here.
        """
        found = {}
        for name in job.spec.uses:
            other = records.find_job(turn, name)
            if other is None or not other.over or not any(other.published):
                raise Refused(
                    f"The job uses the sums of {name}, which this node does not have.",
                    f"Run {name} over the same cohort first.", rule="job.uses",
                )  # fmt: skip
            found[name] = self._work.sums(other.spec, other.published)
        return found

    # Messages --------------------------------------------------------------------------------------------------------

    def announced(self, message: Received, turn: Turn) -> None:
        """Take a job.

        Raises: NotAuthorised, BadSignature, VerificationFailed or ProtocolViolation when it is not to be believed.
        """
        aggregator = self._follower.sender(message, turn)
        announce = decode(Announce, message.body, LIMIT_BULK)
        spec, body = believing.opened_job(announce.spec, aggregator, self._follower.roster(turn), self._name)
        known = records.find_job(turn, spec.name)
        if known and known.body != body:
            raise ProtocolViolation(f"Another job is announced as {spec.name}.", rule="job.changed")
        if known is None:
            statement = self.believe(announce.leaf, announce.proof, aggregator, JobCreated, turn)
            if (statement.job, statement.spec) != (spec.name, sha256(encode(announce.spec)).hex()):
                raise VerificationFailed("The log entry is of another job.", "Ask the operator for the log.")
            job = Job(spec, body, model=announce.model, model_digest=spec.initial_model)
            records.put_job(turn, job)
            put_since(turn)
            turn.tell(told.Announce(spec.name, spec.task, spec.rounds))
        elif not known.ready and known.next_round == 1 and known.model != announce.model:
            # Where the model lies is not signed: only what is in it counts, and that was wrong or never came.
            self._faults.pop(spec.name, None)
            records.put_job(turn, known, model=announce.model)
        if known is None or not known.over:
            turn.put(records.ACTIVE, spec.name.encode())
        self._pursue(turn)
        self.present(turn)

    def result(self, message: Received, turn: Turn) -> None:
        """Take word of a round's result; what it says is fetched. Raises: as `announced`."""
        aggregator = self._follower.sender(message, turn)
        notice = decode(ResultNotice, message.body, LIMIT_BULK)
        job = records.find_job(turn, notice.round.job)
        if job is None or job.over or notice.round.round != job.next_round or job.awaited == notice:
            return
        if job.awaited is None:
            try:
                statement = self.believe(notice.leaf, notice.proof, aggregator, Result, turn)
            except VerificationFailed as error:
                if error.code == "E-BEHIND":
                    # The entry is signed. Until it comes with another proof, this node stands before this round.
                    records.put_job(turn, job, owed=notice.round.round)
                raise
            believing.require_round(statement, notice.round)
        elif job.awaited.leaf != notice.leaf:
            raise VerificationFailed(
                f"Two results are stated for round {notice.round.round} of {job.spec.name}.",
                "Keep the log: the aggregator is at fault.",
            )
        if declined(job, self._most):
            skip(job, turn)
            self.present(turn)
            return
        # The same statement, but another place, length or salt: those are not signed, and one of the two was bent.
        records.put_job(turn, job, awaited=notice)
        put_since(turn)
        self._pursue(turn)

    def ended_without(self, ended: Aborted, round_id: RoundId, turn: Turn) -> None:
        """Take the logged end of an attempt without a result."""
        job = records.find_job(turn, round_id.job)
        if job and ended.step in LOST_STEPS and round_id.round == job.next_round:
            # It may have been opened: it never comes again, and the next round starts from the same model.
            self._go_on(records.put_job(turn, job, next_round=job.next_round + 1, awaited=None), turn)
        turn.tell(told.Abort(*place(round_id), step=ended.step, reason=ended.reason, missing=tuple(ended.missing)))
        self.present(turn)

    def piece(self, message: Received, turn: Turn) -> None:
        """Take a piece of what is being fetched. Raises: NotAuthorised, ProtocolViolation, VerificationFailed."""
        self._follower.sender(message, turn)
        if self._fetching.piece(message, turn):
            self._pursue(turn)

    def wake(self, turn: Turn) -> None:
        """Ask again for what did not come."""
        self._pursue(turn)

    def present(self, turn: Turn) -> None:
        """Say that this node is here, which round it stands before, and which checkpoint it holds.

        Also while a sum is still to be checked: what waits for that is the header of the next upload. Not before it is
        certain that this is the newest start of this node.
        """
        if not self._follower.known(turn) or not booting.held(turn):
            return
        owed = (known for known in records.all_jobs(turn) if known.owed == known.next_round)
        roster, job = self._follower.roster(turn), next(owed, self.standing(turn))
        last = Ledger(turn).last(f"{roster.federation}/rounds")
        size = last.size if last else 0
        policy = self._inputs.policy
        said = Present(size, changing_sets=policy.changing_sets, exact_counts=policy.exact_counts)
        if job and job.ready:
            proven = records.find_proven(turn, job.spec.name)
            where = {"job": job.spec.name, "next_round": job.next_round}
            said = replace(said, **where, bound=self._inputs.present(job, proven), proven=len(proven))
        turn.emit(self._follower.aggregator(turn).name, "present", b"", encode(said))

    # Work ------------------------------------------------------------------------------------------------------------

    def finished(self, name: str, outcome: object, turn: Turn) -> Ended | None:
        """Take what was computed; return the round that is thereby closed, if one is.

        Raises: what the work raised, except for a task's fault, which is told when a round is proposed.
        """
        kind, _, rest = name.partition("/")
        if kind == MODEL:
            self._checked(self.job(rest, turn), outcome, turn)
            return None
        if isinstance(outcome, BaseException):
            raise outcome
        if kind == RESULT:
            return self._stepped(rest, cast(Stepped, outcome), turn)
        if kind == EVALUATE:
            metrics = cast(dict[str, float], outcome)
            turn.put(f"metrics/{rest}", msgspec.json.encode(metrics))
            records.put_job(turn, self.job(rest, turn), evaluated=True)
            turn.tell(told.Evaluate(rest, metrics))
        return None

    def _checked(self, job: Job, outcome: object, turn: Turn) -> None:
        self._faults.pop(job.spec.name, None)
        if isinstance(outcome, SecaggError):
            self._faults[job.spec.name] = outcome
            turn.tell(told.Fault(job.spec.name, outcome.code, outcome.cause, outcome.remedy))
        elif isinstance(outcome, BaseException):
            raise outcome
        another = isinstance(outcome, Refused) and outcome.rule == "job.model"
        if another and job.next_round == 1:
            self._forget(job.model, turn, job.spec.name)
        # Without the model there is nothing to be proposed to; with a task at fault there is something to be refused.
        records.put_job(turn, job, ready=not another)
        put_since(turn)
        self._pursue(turn)
        self.present(turn)

    def _stepped(self, name: str, stepped: Stepped, turn: Turn) -> Ended | None:
        job = self.job(name, turn)
        if job.awaited is None or job.awaited.published != stepped.published:
            # Computed twice, and taken in the first time: the round that is awaited now is another one.
            return None
        notice, old, old_state = job.awaited, job.model, job.state
        ended, published = notice.round, notice.published
        if job.spec.purpose == "sum":
            job = records.put_job(turn, job, published=published)
        after = {"next_round": job.next_round + 1, "awaited": None}
        model = {"model": stepped.model, "model_digest": stepped.digest, "given": stepped.given}
        state = {"state": stepped.state, "state_digest": stepped.state_digest}
        job = records.put_job(turn, job, **after, **model, **state)
        if job.spec.purpose == "training" and ended.round > 1:
            self._forget(old, turn)
        if old_state != NO_DIGEST:
            self._forget(old_state, turn)
        turn.tell(told.Result(*place(ended), digest=stepped.digest.hex()))
        self._go_on(job, turn)
        return Ended(ended, notice)

    def _forget(self, model: bytes, turn: Turn, of: str = "") -> None:
        """Delete a model's file, unless another job (or, without `of`, any job) stands at the very same model."""
        if model not in records.blobs_in_use(turn, of):
            turn.run(f"forget/{model.hex()}", lambda: self._blobs.delete(model))

    def _go_on(self, job: Job, turn: Turn) -> None:
        self._work.forget()
        put_since(turn)
        if job.over and job.spec.purpose == "training":
            self._evaluate(job, turn)

    def _evaluate(self, job: Job, turn: Turn) -> None:
        if declined(job, self._most):
            return
        try:
            sums = self.uses(job, turn)
        except Refused as error:
            turn.tell(told.Fault(job.spec.name, error.code, error.cause, error.remedy))
            return
        turn.run(f"{EVALUATE}/{job.spec.name}", lambda: self._work.evaluate(job.spec, job.model, sums))

    # Fetching --------------------------------------------------------------------------------------------------------

    def standing(self, turn: Turn) -> Job | None:
        """Return the job this node stands in: one whose result is on its way, one the active builds on, or that."""
        job = records.active(turn)
        awaiting = [known for known in records.all_jobs(turn) if known.awaited]
        used = [records.find_job(turn, name) for name in job.spec.uses] if job else []
        return next((known for known in (*awaiting, *used) if known and not known.over), job)

    def _pursue(self, turn: Turn) -> None:
        """Fetch the first thing that is missing: the first model, or the result of the round that closed."""
        job = self.standing(turn)
        if job is None or not self._follower.reachable(turn):
            return
        if not job.ready:
            if job.spec.name not in self._faults and self._affords(job, turn):
                self._make_ready(job, turn)
        elif job.awaited:
            try:
                self._take_result(job, job.awaited, turn)
            except (ProtocolViolation, VerificationFailed) as error:
                # Not raised: what was kept must never keep a node from starting. It is told again every two seconds.
                turn.tell(told.Disbelieve(job.spec.name, job.next_round, error.code, error.cause, error.remedy))

    def _affords(self, job: Job, turn: Turn) -> bool:
        """Say whether the policy lets a job ask for as much as it does; if not, people are told why."""
        refusal = declined(job, self._most)
        if refusal is None:
            return True
        self._faults[job.spec.name] = refusal
        turn.tell(told.Fault(job.spec.name, refusal.code, refusal.cause, refusal.remedy, refusal.rule))
        records.put_job(turn, job, ready=True, awaited=None)
        self.present(turn)
        return False

    def _make_ready(self, job: Job, turn: Turn) -> None:
        spec = job.spec
        if spec.purpose == "training":
            limit = 8 * spec.parameters + HEADER_LIMIT + 8
            if not self._fetching.want(self._follower.aggregator(turn).name, job.model, limit, turn):
                return
        turn.run(f"{MODEL}/{spec.name}", lambda: self._work.check(spec, job.model, job.model_digest))

    def _take_result(self, job: Job, notice: ResultNotice, turn: Turn) -> None:
        if notice.length > _longest(job.spec):
            raise ProtocolViolation(f"A result of {notice.length} bytes does not fit the job.", rule="result.length")
        if not self._fetching.want(self._follower.aggregator(turn).name, notice.published, notice.length, turn):
            return
        data = self._blobs.get(notice.published)
        published = decode(Published, data, WHOLE)
        name, spec = job.spec.name, job.spec
        believing.require_result(spec, notice, data, published, Ledger(turn).opened())
        given = (spec, job.model, job.state, notice.published, notice.round)
        turn.run(f"{RESULT}/{name}", lambda: self._work.step(*given))

    def believe(
        self, leaf: bytes, proof: LogProof, aggregator: Member, kind: type[believing.S], turn: Turn
    ) -> believing.S:
        """Return a statement that the round log holds, and remember the checkpoint. Raises: VerificationFailed."""
        federation = self._follower.roster(turn).federation
        statement, seen = believing.logged(leaf, proof, aggregator, federation, kind, Ledger(turn))
        Ledger(turn).add((seen,))
        return statement


def _longest(spec: JobSpec) -> int:
    words = sum(packing(g).words * np.dtype(packing(g).dtype).itemsize for g in server_step.lanes_of(spec).groups)
    return words + _ENVELOPE + 128 * len(spec.cohort)
