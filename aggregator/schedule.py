"""Which job and which round is next, who is waited for, and what a member that was away still needs.

How to read it: `consider` is the one decision, asked after every event that could change it. `ended` and `stepped` move
a job on. `heard` brings a member up to date.
Rules: one round at a time, jobs in the order of submission. The cohort of a job is fixed when it is submitted. An
attempt that opened nothing is repeated, at most three times. A round that failed in its last step is lost, because it
may have been opened, and the next one starts from the same model. Nobody who is here waits for who is not longer than
one step. Leaves to others: the round itself (aggregator.rounds), job files (aggregator.jobs).
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from msgspec import UNSET

from aggregator import bounds, jobs, naming, records
from aggregator.bounds import End, Need
from aggregator.desk import Desk
from aggregator.ending import Endings
from aggregator.membership import Membership
from aggregator.presence import Presence
from aggregator.records import Job, Outcome
from aggregator.rounds import Rounds
from aggregator.telling import PRESENCE, dropped, tell_wait
from secagg.crypto.derive import sha256
from secagg.daemon.blobs import Blobs
from secagg.daemon.turn import Turn
from secagg.errors import NotAuthorised, SecaggError
from secagg.events import rounds as told
from secagg.events.line import place
from secagg.ids import NO_DIGEST
from secagg.protocol.deriving import Facts, derive
from secagg.protocol.fitting import left_out
from secagg.protocol.manifest import Manifest, Seat
from secagg.protocol.round.phases import Closed, Failed, Standing
from secagg.protocol.session import Announce, Present
from secagg.transport.link import KEYSERVER
from secagg.wire.codec import encode

ATTEMPTS = 3
OVERDUE = "overdue"
MODEL, FORGET = "model", "forget"
_OPEN = ("queued", "waiting", "round", "step")

Sending = Callable[[str, str, bytes, bytes], object]
"""How a member is told: `turn.send`, until it acknowledges, or `turn.emit`, once."""


class Schedule:
    """The queue of jobs and the round that comes next."""

    def __init__(self, desk: Desk, blobs: Blobs, membership: Membership, presence: Presence) -> None:
        self._desk, self._blobs, self._membership, self._presence = desk, blobs, membership, presence
        self._rounds, self._endings = Rounds(desk, self.ended), Endings(desk, presence)
        self._overdue = self._longest = ""
        self._missing: tuple[str, ...] | None = None

    @property
    def rounds(self) -> Rounds:
        """Return the round that is running."""
        return self._rounds

    @property
    def endings(self) -> Endings:
        """Return what became of attempts."""
        return self._endings

    def start(self, turn: Turn) -> None:
        """Take up everything after a restart."""
        self._rounds.start(turn)
        self._endings.start(turn)
        job = self.active(turn)
        if job and job.state == "step":
            self._step(job, turn)
        if job and job.state == "waiting":
            turn.after(OVERDUE, job.patience)
        self.consider(turn)

    def active(self, turn: Turn) -> Job | None:
        """Return the oldest job that is not over."""
        return next((job for job in records.all_jobs(turn) if job.state in _OPEN), None)

    # The decision ----------------------------------------------------------------------------------------------------

    def consider(self, turn: Turn) -> None:
        """Announce the next job, or propose the next round, if the time for it has come."""
        job = self.active(turn)
        if job is None or job.state not in ("queued", "waiting") or self._desk.book.published <= job.entry:
            return
        if self._desk.book.set_aside(job.entry, turn):
            self._fail(job, "What the log was to say of it could not be written: submit it under another name.", turn)
            return
        if not self._membership.known(turn) or self._endings.waits(job.spec.name, turn):
            return
        if turn.now() >= self._membership.roster(turn).expires:
            # Members whose clocks are right would take part, and no auditor would believe the round.
            self._tell_missing(job, (KEYSERVER,), turn)
            return
        if job.state == "queued":
            self._gather(job, turn)
        else:
            self._wait(job, turn)

    def _gather(self, job: Job, turn: Turn) -> None:
        """Announce a job once its whole cohort is here, or was waited for as long as it may be."""
        away = tuple(name for name in job.spec.cohort if self._presence.of(name) is None)
        holders = self._holders(job)
        first = self._need(job, turn)
        self._tell_missing(job, away + holders, turn, bounds.why(job, first))
        if holders or (away and self._overdue != job.mark):
            self._wait_longest(job, turn)
            return
        if away and first.first:
            self._fail(job, bounds.first(job, away), turn)
            return
        for member in job.spec.cohort:
            said = self._presence.of(member)
            # Whoever still lacks the end of an earlier job is told of this one once it says that it has it.
            if said and said.job != job.spec.name and not records.find_outcome(turn, said.job, said.next_round):
                self._announce(job, member, self._size(member, turn), turn, self._desk.sending(turn))
        self._await_members(records.put_job(turn, job, state="waiting"), turn)

    def _wait(self, job: Job, turn: Turn) -> None:
        """Propose once everybody who is expected stands before this round, or has kept the others waiting too long."""
        name, need = job.spec.name, self._need(job, turn)
        missing = tuple(m for m in naming.invited(job) if not self._presence.ready(m, name, job.round))
        awaited, lacking = missing, bounds.lacking(job, need, missing)
        if need.members and not need.first:
            awaited = lacking
        elif job.attempt == 1 and not job.rejoin_ms and not need.first:
            # Whoever dropped out of the last round and is not back is not waited for a second time.
            awaited = tuple(m for m in missing if m not in job.gone or self._presence.of(m) is not None)
        # Who still asks how an earlier attempt ended has an answer soon, and could not take part before.
        awaited += bounds.unknown(job, self._presence) + self._holders(job)
        self._tell_missing(job, awaited, turn, bounds.why(job, need))
        if not awaited:
            self._propose(job, turn)
        elif self._overdue == job.mark:
            self._go_without(job, need, lacking, turn)

    def _go_without(self, job: Job, need: Need, lacking: tuple[str, ...], turn: Turn) -> None:
        """Propose although somebody stays away, unless the round cannot do without: then the job ends."""
        if not lacking or (not need.first and self._fits(job, turn)):
            self._propose(job, turn)
        elif self._longest != job.mark and job.longest > job.patience:
            self._longest, self._overdue = job.mark, ""
            turn.after(OVERDUE, job.longest - job.patience)
        elif need.first:
            self._fail(job, bounds.first(job, lacking), turn)
        else:
            self._fail(job, bounds.absent(job, need, lacking, _again(job, turn)), turn)

    def _need(self, job: Job, turn: Turn) -> Need:
        strict, _ = records.lacking_terms(turn, job.spec.cohort)
        return bounds.need(job, self._presence, strict, partial(records.frozen_sets, turn, job.named))

    def _fits(self, job: Job, turn: Turn) -> bool:
        """Say whether enough of those who are here can be summed without the others."""
        try:
            manifest = self._manifest(job, turn)
        except NotAuthorised:
            return True  # told where it is proposed
        said, known = bounds.said(job, self._presence), records.known(job, self._desk.seats, turn)
        return len(said) - len(left_out(said, manifest, known)) >= manifest.needed

    def _wait_longest(self, job: Job, turn: Turn) -> None:
        """Let a job that is not announced yet wait for its cohort, from now on and not for ever."""
        if self._longest != job.mark:
            self._longest = job.mark
            turn.after(OVERDUE, job.longest)

    def _holders(self, job: Job) -> tuple[str, ...]:
        """Return the trustees that are away, when those who are here are too few to open a sum."""
        if job.spec.custody is UNSET:
            return ()
        names = job.spec.custody.names()
        away = tuple(name for name in names if self._presence.of(name) is None)
        return away if len(names) - len(away) < job.spec.custody.threshold else ()

    def _await_members(self, job: Job, turn: Turn) -> None:
        self._overdue, self._longest, self._missing = "", "", None
        turn.after(OVERDUE, job.patience)
        self.consider(turn)

    def overdue(self, turn: Turn) -> None:
        """Stop waiting for members that stay away."""
        job = self.active(turn)
        if job and job.state in ("queued", "waiting"):
            self._overdue = job.mark
            self.consider(turn)

    def _tell_missing(self, job: Job, missing: tuple[str, ...], turn: Turn, why: str = "") -> None:
        if missing and missing != self._missing:
            # Who is here and loads its task works on its data: how long that takes is nobody's to know.
            named = tuple(name for name in missing if job.round > 1 or self._presence.of(name) is None)
            until = turn.now() + round(job.longest if why or job.state == "queued" else job.patience)
            where, counts = (job.spec.name, job.round, job.attempt), (len(missing), len(job.spec.cohort))
            tell_wait(told.Waiting(*where, PRESENCE, named, *counts, turn.now(), until, why), turn)
        self._missing = missing

    def _propose(self, job: Job, turn: Turn) -> None:
        turn.cancel(OVERDUE)
        try:
            manifest = self._manifest(job, turn)
        except NotAuthorised:
            self._fail(job, bounds.left(job, self._membership.roster(turn), _again(job, turn)), turn)
            return
        few = naming.too_few(job, manifest)
        if few:
            self._fail(job, few, turn)
            return
        parties = (party for party in job.parties if party not in job.named)
        standings = tuple(Standing(party, self._size(party, turn)) for party in parties)
        self._presence.clear()
        self._missing = None
        records.put_job(turn, job, state="round")
        self._rounds.begin(manifest, standings, turn, naming.left_out(job))

    def _size(self, member: str, turn: Turn) -> int:
        """Return the log size that a member holds, by its last word; never more than is published."""
        size = records.held(turn, member)
        return size if size <= self._desk.book.published else 0

    def _manifest(self, job: Job, turn: Turn) -> Manifest:
        """Return the manifest that follows from the job and the roster in force.

        Raises: NotAuthorised when a member of the cohort is no longer in the roster.
        """
        spec, roster = job.spec, self._membership.roster(turn)
        standing = self._membership.standing(turn)
        self._desk.bundle.put_file(standing.signed)
        members = [roster.member(name) for name in spec.cohort]
        facts = Facts(
            round=job.round, attempt=job.attempt, job_digest=sha256(job.signed.body), model=job.model_digest,
            roster_version=roster.version, roster=standing.digest(), colluders=roster.limits.colluders,
            seats=tuple(Seat(member.name, member.organisation, member.sign_key) for member in members),
            aggregator=self._desk.name, directory=standing.note,
            opening_key=self._desk.opening(spec.name, turn).public, state=job.state_digest,
        )  # fmt: skip
        return derive(spec, facts)

    # How a round ends ------------------------------------------------------------------------------------------------

    def ended(self, phase: Closed | Failed, began: int, entry: int, turn: Turn) -> None:
        """Publish a result, or say why there is none and go on."""
        job = records.get_job(turn, phase.scope.round.job)
        named, proofs = naming.named(job, phase)
        gone = tuple(entry.member for entry in phase.out if entry.member not in named)
        fresh = proofs != job.proofs
        job = records.put_job(turn, job, gone=gone, named=named, proofs=proofs)
        for party in job.parties:
            turn.withdraw(party)
            if fresh and party not in named:
                naming.tell(self._desk, job, party, self._desk.sending(turn))
        if isinstance(phase, Closed):
            self._close(job, phase, began, turn)
        else:
            self._abort(job, phase, entry, turn)

    def _close(self, job: Job, phase: Closed, began: int, turn: Turn) -> None:
        data = encode(phase.published)
        blob = self._blobs.put(data)
        records.publish_blob(turn, blob)
        outcome = Outcome(
            phase.scope.round, phase.published.contributors, blob, len(data), phase.salt, phase.proof.index,
            manifest=phase.scope.manifest,
        )  # fmt: skip
        self._endings.closed(outcome, job, turn)
        where, out = place(outcome.round), dropped(phase.out)
        turn.tell(told.RoundClosed(*where, contributors=outcome.contributors, dropped=out, seconds=turn.now() - began))
        self._step(records.put_job(turn, job, state="step"), turn)

    def _abort(self, job: Job, phase: Failed, entry: int, turn: Turn) -> None:
        found, missing = phase.scope.round, tuple(entry.member for entry in phase.out)
        outcome = Outcome(
            found, step=phase.step, reason=phase.reason, missing=missing, entry=entry, manifest=phase.scope.manifest
        )
        self._endings.aborted(outcome, turn)
        lost = outcome.lost_round
        out = dropped(phase.out)
        turn.tell(told.RoundAborted(*place(found), step=phase.step, reason=phase.reason, dropped=out, lost=lost))
        if lost:
            self._next(records.put_job(turn, job, reason=phase.reason), turn)
        elif job.attempt >= ATTEMPTS:
            end = bounds.spent(job, phase, ATTEMPTS, self._need(job, turn), _again(job, turn))
            self._fail(job, end, turn)
        else:
            self._await_members(records.put_job(turn, job, state="waiting", attempt=job.attempt + 1), turn)

    def _step(self, job: Job, turn: Turn) -> None:
        outcome = records.find_outcome(turn, job.spec.name, job.round)
        if outcome is None:
            raise RuntimeError("the next model is computed only after a round closed")
        turn.run(MODEL, partial(jobs.next_model, self._blobs, job.model, job.state_blob, job.spec, outcome))

    def stepped(self, outcome: object, turn: Turn) -> None:
        """Take the next model and go on to the next round."""
        job = self.active(turn)
        if job is None or job.state != "step":
            return
        if isinstance(outcome, BaseException):
            self._fail(job, outcome.cause if isinstance(outcome, SecaggError) else repr(outcome), turn)
            return
        after = cast(jobs.Stepped, outcome)
        if job.spec.purpose == "training":
            records.publish_blob(turn, after.model)
        turn.tell(told.Model(job.spec.name, job.round, after.digest.hex(), dict(after.sums.scalars)))
        model = {"model": after.model, "model_digest": after.digest}
        state = {"state_blob": after.state, "state_digest": after.state_digest}
        if job.state_blob not in (NO_DIGEST, after.state):
            turn.run(FORGET, partial(self._blobs.delete, job.state_blob))
        self._next(records.put_job(turn, job, **model, **state), turn)

    def _next(self, job: Job, turn: Turn) -> None:
        if job.round < job.spec.rounds:
            self._await_members(records.put_job(turn, job, state="waiting", round=job.round + 1, attempt=1), turn)
            return
        if not any(not outcome.lost for outcome in records.outcomes(turn, job.spec.name)):
            self._fail(job, f"No round has a result; the last one: {job.reason}", turn)
            return
        self._over(records.put_job(turn, job, state="done"), told.JobDone(job.spec.name, job.round), turn)

    def _fail(self, job: Job, end: End | str, turn: Turn) -> None:
        why = bounds.shown(End(end) if isinstance(end, str) else end)
        self._over(records.put_job(turn, job, state="failed", **why), told.JobFailed(job.spec.name, **why), turn)

    def _over(self, job: Job, end: told.JobDone | told.JobFailed, turn: Turn) -> None:
        turn.cancel(OVERDUE)
        self._membership.erase_opening(job.spec.name, turn)
        turn.tell(end)
        self.consider(turn)

    # Members that were away ------------------------------------------------------------------------------------------

    def heard(self, member: str, said: Present, turn: Turn) -> None:
        """Take a member's presence; tell it what it lacks: a trustee, how the round ended that it still works for.

        Told once: whoever still lacks it says so again, and what a member never acknowledges fills no outbox.
        """
        role = self._membership.roster(turn).member(member).role
        if role not in ("node", "trustee"):
            raise NotAuthorised(f"{member} takes no part in rounds.", "Enrol it as a node or a trustee.")
        self._presence.hear(member, said)
        records.put_held(turn, member, said.log_size)
        if role == "node":
            records.put_terms(turn, member, said.changing_sets, said.exact_counts)
        size = self._size(member, turn)
        outcome = records.find_outcome(turn, said.job, said.next_round) if said.job else None
        job = self.active(turn)
        if job and naming.lacks(job, member, said) and self._presence.may_tell(member, f"proofs {said.job}"):
            naming.tell(self._desk, job, member, turn.emit)
        if outcome:
            self._endings.tell(outcome, member, size, turn, turn.emit)
        if role == "trustee":
            self._propose_again(member, size, turn)
        elif not outcome and job:
            self._catch_up(job, member, said, turn)
        self.consider(turn)

    def _catch_up(self, job: Job, member: str, said: Present, turn: Turn) -> None:
        """Tell a member of the active job, or of the round that is running."""
        size = self._size(member, turn)
        if job.state in ("waiting", "round") and member in job.spec.cohort:
            if said.job != job.spec.name:
                self._announce(job, member, size, turn, turn.emit)
            elif (said.job, said.next_round) == (job.spec.name, job.round):
                self._propose_again(member, size, turn)

    def _propose_again(self, member: str, size: int, turn: Turn) -> None:
        if self._rounds.lacks_proposal(member, size, turn) and self._presence.may_tell(member, "Propose"):
            self._rounds.propose_again(member, size, turn)

    def _announce(self, job: Job, member: str, size: int, turn: Turn, send: Sending) -> None:
        book = self._desk.book
        announce = Announce(job.signed, book.leaf(job.entry), book.prove(job.entry, size), job.initial)
        if self._presence.may_tell(member, f"announce {job.spec.name}"):
            send(member, "announce", b"", encode(announce))


def _again(job: Job, turn: Turn) -> str:
    """Return the name that a job gets when its file is submitted again once it failed."""
    return records.free_name(turn, job.asked, job.spec.name)
