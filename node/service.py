"""The node as a service of the daemon's loop: every message, timer, outcome and command to the part it is for.

Rules: a decision only, on what the journal holds. Leaves to others: what every member does
(secagg.daemon.participant), jobs and results (node.jobs), rounds (node.rounds), what a task does (node.work).
"""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from node import jobs, records, showing, sources, spot, uploading
from node.answers import AllowanceShown, NodeStatus
from node.config import OwnTask
from node.drill import Drill
from node.ending import Endings
from node.inputs import Inputs
from node.jobs import Ended, Jobs
from node.leaving import Failures
from node.proofs import Proofs
from node.records import Job
from node.requests import AcceptUnchecked, AllowJob, Asked, ShowLedger, Status
from node.rounds import MASK, UPDATE, Rounds
from node.spot import Spots, due_of
from node.stating import Stating
from node.uploading import Uploading
from node.waiting import waiting
from node.work import Work, member_of
from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.daemon import booting, fetching, lies
from secagg.daemon.answers import RefusalShown, Reply
from secagg.daemon.blobs import Blobs
from secagg.daemon.inputs import InputLedger
from secagg.daemon.ledger import Ledger
from secagg.daemon.lies import Lies
from secagg.daemon.membership import Pin
from secagg.daemon.participant import Participant, find_refusal
from secagg.daemon.requests import parse
from secagg.daemon.turn import Turn
from secagg.daemon.vault import RoundKeys
from secagg.errors import BadInput, Refused
from secagg.events import members as told
from secagg.ids import NO_DIGEST
from secagg.log.statements import OverlapAllowed, SourceChanged
from secagg.protocol.acceptance import Policy
from secagg.protocol.round.spots import LEAVES
from secagg.transport.link import Received

_NAME = re.compile(r"\A[a-z0-9-]{1,64}\Z")


class NodeService(Participant):
    """The role `node` of one institution."""

    _rounds: Rounds

    def __init__(
        self, name: str, key: SigningKey, pin: Pin, policy: Policy, tasks: Mapping[str, OwnTask], state_dir: Path,
        keys: RoundKeys, rng: Rng, ledger: InputLedger, drill: Drill | None = None, spot_leaves: int = LEAVES,
    ) -> None:  # fmt: skip
        self._blobs = blobs = Blobs(state_dir / "blobs")
        super().__init__(name, "node", key, pin, rng, blobs)
        self._tasks, self._stating = tasks, Stating(name, key)
        self._inputs = Inputs(ledger, policy, tasks, pin.federation, pin.root_fingerprint, rng)
        self._work = Work(tasks, blobs, rng, state_dir / "tables", ledger.keys)
        self._jobs = Jobs(name, self._follower, blobs, self._work, self._inputs, policy.most)
        self._endings = Endings(name, self._follower, self._jobs, self._inputs)
        upload = Uploading(name, key, blobs)
        self._spots = Spots(name, key, rng, self._follower, blobs, spot_leaves, self._lies)
        self._failures = Failures(self._inputs, pin.root_fingerprint)
        self._rounds = Rounds(
            name, key, rng, keys, self._follower, policy, self._jobs, self._work, upload, self._inputs, self._failures,
            drill,
        )  # fmt: skip
        self._handlers |= {
            "announce": self._jobs.announced,
            "ack-chunk": self._rounds.receipt,
            "missing-chunks": self._rounds.missing,
            "result": self._jobs.result,
            "frozen": self._endings.frozen,
            "fault": Proofs(self._follower, self._jobs).take,
            "fetch": self._lies.serve,
            "spot-part": self._spots.part,
        }

    def start(self, turn: Turn) -> None:
        """Take up what was kept; import the tasks, so that their faults show now.

        Raises: BadConfiguration (`E-LEDGER`) when the ledger of inputs has forgotten what this node wrote.
        """
        Ledger(turn, self._inputs.ledger).require_inputs()
        for task, change in sources.changed(self._tasks, turn):
            turn.tell(told.Source(task, change))
            federation, now = self._pin.federation, turn.now()
            said = SourceChanged(federation=federation, time=now, member=self._name, task=task, change=change)
            self._stating.say(said, turn)
        job = self._jobs.standing(turn)
        wanted = job.awaited.published if job and job.awaited else job.model if job and not job.ready else None
        # Files that a kill left without a record; nobody works on any at this moment.
        in_use = records.blobs_in_use(turn) | spot.results_due(turn)
        self._blobs.sweep(in_use, f"fetch-{wanted.hex()}" if wanted else None)
        for name in self._tasks:
            turn.run(f"{jobs.LOAD}/{name}", lambda name=name: self._work.load(name))  # type: ignore[misc]
        if self._follower.known(turn):
            self._rounds.start(turn)
            self._jobs.start(turn)
            self._spots.pursue(turn)
            self._lies.pursue(turn)
        self._listen(turn)

    def wake(self, name: str, turn: Turn) -> None:
        """Handle a timer."""
        kind, _, label = name.partition("/")
        match kind:
            case fetching.TIMER:
                self._jobs.wake(turn)
            case uploading.TIMER:
                self._rounds.upload_again(turn)
            case spot.TIMER:
                self._spots.wake(turn)
            case "due":
                self._rounds.due(label, turn)
            case _:
                super().wake(name, turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Handle the outcome of work."""
        if name.partition("/")[0] in (UPDATE, MASK):
            self._rounds.finished(name, outcome, turn)
            return
        checkers: Mapping[str, Spots | Lies] = {spot.WORK: self._spots, lies.WORK: self._lies}
        checker = checkers.get(name.partition("/")[0])
        if checker is not None:
            checker.finished(name, outcome, turn)
            self._rounds.released(turn)
            return
        closed = self._jobs.finished(name, outcome, turn)
        if closed:
            self._close(closed, turn)

    def _close(self, closed: Ended, turn: Turn) -> None:
        """End a round whose result was taken in, and check its sum if this node was in it."""
        kept, phase, published = records.current(turn), self._rounds.phase(turn), closed.notice.published
        self._rounds.close(closed.round, turn)
        u3 = member_of(kept.engine).agreed(phase) if kept else NO_DIGEST
        due = due_of(kept, closed.notice, u3, self._follower.aggregator(turn).sign_key) if kept else None
        if due:
            self._spots.begin(due, turn)
        elif self._jobs.job(closed.round.job, turn).spec.purpose == "training":
            turn.run(f"forget/{published.hex()}", lambda: self._blobs.delete(published))
        self._say_present(turn)

    def command(self, request: dict[str, object], turn: Turn) -> Reply:
        """Answer a person at the admin socket. Raises: BadInput for a command there is not, or that means nothing."""
        asked: Asked = parse(request, Asked, "node")
        match asked:
            case Status():
                return self._status(turn)
            case ShowLedger():
                return showing.shown(self._inputs, self._failures.shown())
            case AllowJob(job, overlap, confirmed):
                return self._allow(job, overlap, confirmed, turn)
            case AcceptUnchecked(label):
                accepted = self._spots.accept(label, turn)
                self._rounds.released(turn)
                return accepted

    def _allow(self, job: str, overlap: bool, confirmed: bool, turn: Turn) -> AllowanceShown:
        """Say what a job's being allowed tells; once a person has confirmed it, write it, and have it logged."""
        if not _NAME.match(job):
            raise BadInput(f"{job} is no name of a job.", "Write it exactly as the job is named.")
        tells = showing.tells(job, overlap, self._inputs)
        if not confirmed:
            return AllowanceShown(job, overlap, tells=tells)
        said = self._inputs.allow(job, overlap, turn.now())
        turn.tell(told.Allow(job, overlap))
        if overlap:
            federation = self._pin.federation
            self._stating.say(OverlapAllowed(federation=federation, time=turn.now(), member=self._name, job=job), turn)
            self._say_present(turn)
        return AllowanceShown(said.job, said.overlap, before=said.before)

    def _status(self, turn: Turn) -> NodeStatus:
        known = self._follower.known(turn)
        job, phase, upload = self._jobs.standing(turn), self._rounds.phase(turn), records.find_upload(turn)
        kept, refusal = records.current(turn), find_refusal(turn)
        bound = self._hindrance(job, turn) if job else None
        failed = kept is not None and self._failures.failed(kept.scope.round)
        return NodeStatus(
            roster=self._follower.roster(turn).version if known else None,
            tasks=tuple(sorted(self._tasks)),
            job=job.spec.name if job else None,
            next_round=job.next_round if job else None,
            rounds=job.spec.rounds if job else None,
            ready=job.ready if job else None,
            phase=type(phase).__name__ if phase else None,
            waiting=waiting(kept, phase, job, known, turn, bound, failed),
            unchecked=tuple(due.name for due in spot.dues(turn)),
            chunks_stored=len(upload.stored) if upload else None,
            metrics={key.partition("/")[2]: msgspec.json.decode(value) for key, value in turn.scan("metrics/")},
            failures=self._failures.shown(),
            refused=RefusalShown(refusal.round.label(), refusal.rule, refusal.cause, refusal.remedy)
            if refusal else None,
        )  # fmt: skip

    def _hindrance(self, job: Job, turn: Turn) -> tuple[str, Refused] | None:
        """Return what keeps this institution's data out of the next round of a job, and who can change that."""
        proven = records.find_proven(turn, job.spec.name)
        return self._failures.hindrance(job) or self._inputs.hindrance(job, proven)

    def _fetched(self, message: Received, turn: Turn) -> None:
        self._jobs.piece(message, turn)

    def _followed(self, turn: Turn) -> None:
        # There may be an aggregator again, to fetch from, to send to, and to check.
        self._jobs.wake(turn)
        self._rounds.upload_again(turn)
        self._spots.pursue(turn)
        self._lies.pursue(turn)

    def _aborted(self, message: Received, turn: Turn) -> None:
        self._rounds.close(self._endings.aborted(message, turn), turn)

    def _say_where(self, turn: Turn) -> None:
        self._jobs.present(turn)

    def _say_present(self, turn: Turn) -> None:
        super()._say_present(turn)
        if booting.held(turn) and self._follower.reachable(turn):
            self._tell_aggregator(turn)

    def _tell_aggregator(self, turn: Turn) -> None:
        """Hand over what this institution states, and ask how attempts ended that it signed a header for."""
        self._stating.send(self._follower.aggregator(turn).name, turn)
        self._endings.ask(turn)
