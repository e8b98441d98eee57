"""The aggregator as a service of the daemon's loop: every message, timer, outcome and command to the part it is for.

Rules: a decision only, on what the journal holds; the parts under it keep caches that they can make again.
Leaves to others: one round (aggregator.rounds), which is next (aggregator.schedule), uploads, the log.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import asdict, replace

from aggregator import jobs, logbook, records, spot, stated, submitting
from aggregator.answers import (
    AggregatorStatus,
    JobDetail,
    JobShown,
    JobSubmitted,
    JobWait,
    ModelResult,
    RoundShown,
    RunningShown,
    SumResult,
)
from aggregator.desk import Desk
from aggregator.ending import WORDS
from aggregator.logbook import LogBook
from aggregator.membership import Membership
from aggregator.presence import TICK, Presence
from aggregator.progress import awaited, missing, told_out
from aggregator.requests import Asked, JobResult, ListJobs, ShowJob, Status, SubmitJob
from aggregator.schedule import MODEL, Schedule
from aggregator.spot import Handing
from aggregator.telling import PRESENCE, last_wait
from aggregator.uploads import Uploads, shell_of
from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.daemon import following
from secagg.daemon.answers import Reply
from secagg.daemon.blobs import Blobs
from secagg.daemon.membership import Pin
from secagg.daemon.requests import parse
from secagg.daemon.turn import Turn
from secagg.daemon.vault import RoundKeys
from secagg.errors import BadInput, ProtocolViolation
from secagg.events.federation import Roster as ListInForce
from secagg.events.rounds import Waiting
from secagg.log.bundle import BundleWriter
from secagg.log.log import Log
from secagg.log.statements import OverlapAllowed
from secagg.protocol.round.asked import Stage
from secagg.protocol.round.phases import Common
from secagg.protocol.session import PIECE, Fetch, PieceHeader, Present, RoundHeader
from secagg.transport.link import Received
from secagg.vector.codec import code_bits
from secagg.wire.codec import decode, encode

_TICK = "tick"


class AggregatorService:
    """The role `aggregator` of one federation; `uploads` is what stores and sums its members' uploads."""

    uploads: type[Uploads] = Uploads

    def __init__(
        self, name: str, key: SigningKey, pin: Pin, state_dir: Path, log: Log, keys: RoundKeys, rng: Rng
    ) -> None:
        self._blobs = Blobs(state_dir / "blobs")
        self._membership = Membership(name, key.public, pin, keys, rng)
        self._pin = pin
        self._book = LogBook(log, pin.federation, name, key)
        bundle, uploads = BundleWriter(state_dir / "audit"), self.uploads(Blobs(state_dir / "uploads"))
        files = state_dir / "audit" / "files"
        self._handing = Handing(name, files, Blobs(state_dir / "opened"), self._book)
        members = self._membership
        self._desk = Desk(
            name, key, rng, self._book, uploads, bundle, members.opening, self._handing, files, members.seats,
            members.has,
        )  # fmt: skip
        self._presence = Presence()
        self._schedule = Schedule(self._desk, self._blobs, self._membership, self._presence)

    def start(self, turn: Turn) -> None:
        """Take up what was kept."""
        self._book.start(turn)
        self._membership.sweep(turn)
        self._schedule.start(turn)
        turn.after(_TICK, TICK)
        if not self._membership.known(turn):
            self._membership.ask(turn)

    def receive(self, message: Received, turn: Turn) -> None:
        """Handle a message.

        Raises: ProtocolViolation, WireError or NotAuthorised when it is not what it should be.
        """
        schedule = self._schedule
        kind = message.kind
        if kind == "round" and decode(RoundHeader, message.header).kind == "Ended":
            kind = "ended"
        handlers: Mapping[str, Callable[[Received, Turn], None]] = {
            "roster": self._take_roster, "present": self._heard, "ended": schedule.endings.word,
            "round": schedule.rounds.message, "chunk": schedule.rounds.chunk, "ask-chunks": schedule.rounds.chunk,
            "ask-round": schedule.endings.asked, "state": self._state, "fetch": self._serve,
            "spot": self._handing.asked,
        }  # fmt: skip
        if kind not in handlers:
            raise ProtocolViolation(f"{message.sender} sends a {kind}.", "It is discarded.", rule="message.kind")
        handlers[kind](message, turn)

    def wake(self, name: str, turn: Turn) -> None:
        """Handle a timer."""
        match name:
            case "tick":
                self._presence.tick()
                turn.after(_TICK, TICK)
                self._schedule.consider(turn)
            case following.TIMER:
                self._membership.ask(turn)
            case logbook.WORK:
                self._book.wake(turn)
            case "overdue":
                self._schedule.overdue(turn)
            case name if name.startswith(f"{WORDS}/"):
                self._schedule.endings.overdue(name.partition("/")[2], turn)
                self._schedule.consider(turn)
            case _:
                self._schedule.rounds.wake(name, turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Handle the outcome of work."""
        if name == logbook.WORK:
            self._book.finished(outcome, turn)
            self._schedule.endings.published(turn)
            self._schedule.rounds.logged(turn)
            self._schedule.consider(turn)
        elif name == MODEL:
            self._schedule.stepped(outcome, turn)
        elif name.startswith(f"{spot.WORK}/"):
            self._handing.finished(name, outcome, turn)
        else:
            self._schedule.rounds.finished(name, outcome, turn)

    def command(self, request: dict[str, object], turn: Turn) -> Reply:
        """Answer a person at the admin socket.

        Raises: BadInput for a command there is not, or one that asks for what is not there.
        """
        asked: Asked = parse(request, Asked, "aggregator")
        match asked:
            case Status():
                return self._status(turn)
            case SubmitJob():
                return self._submit(asked, turn)
            case ListJobs():
                return tuple(_shown(job) for job in records.all_jobs(turn))
            case ShowJob(name):
                return self._show(name, turn)
            case JobResult(name):
                return self._result(name, turn)

    # Messages --------------------------------------------------------------------------------------------------------

    def _state(self, message: Received, turn: Turn) -> None:
        """Take what a person at an institution says, and log it once. Raises: as `receive`; TryLater."""
        roster = self._membership.roster(turn)
        statement = stated.take(message, roster, turn)
        if statement is not None:
            self._book.add_leaf(message.body, message.sender, roster.member(message.sender).sign_key, turn)
        if isinstance(statement, OverlapAllowed):
            records.put_allowance(turn, statement.job, statement.member, message.body)

    def _heard(self, message: Received, turn: Turn) -> None:
        self._schedule.heard(message.sender, decode(Present, message.body), turn)

    def _take_roster(self, message: Received, turn: Turn) -> None:
        roster = self._membership.take(message, turn)
        if roster is not None:
            self._desk.bundle.put_root(roster.federation, self._pin.root_fingerprint)
            turn.tell(ListInForce(roster.version, len(roster.members)))
            self._schedule.consider(turn)

    def _serve(self, message: Received, turn: Turn) -> None:
        """Send one piece of a model or a result to a member, or of a frozen upload to a trustee that opens it."""
        asked = decode(Fetch, message.body)
        if records.is_public(turn, asked.digest):
            blobs = self._blobs
        elif self._schedule.rounds.entrusts(message.sender, asked.digest, turn):
            blobs = self._desk.uploads.blobs
        else:
            raise BadInput(f"{message.sender} asks for a blob that is not published.", "It is not answered.")
        data, total = blobs.piece(asked.digest, asked.index, PIECE)
        turn.emit(message.sender, "piece", encode(PieceHeader(asked.digest, asked.index, total)), data)

    # Commands --------------------------------------------------------------------------------------------------------

    def _status(self, turn: Turn) -> AggregatorStatus:
        job = self._schedule.active(turn)
        known = self._membership.known(turn)
        roster = self._membership.roster(turn) if known else None
        nodes = [member.name for member in roster.nodes()] if roster else []
        return AggregatorStatus(
            roster=roster.version if roster else None, log=self._book.published,
            set_aside=tuple(self._book.all_set_aside(turn)),
            members={name: self._presence.of(name) is not None for name in nodes},
            job=job.spec.name if job else None, round=self._round(turn), waiting=self._waiting(turn),
        )  # fmt: skip

    def _waiting(self, turn: Turn) -> JobWait | None:
        """Return who is waited for now, since when and until when; None while this aggregator works, or has no job."""
        phase, job = self._schedule.rounds.running(turn), self._schedule.active(turn)
        if isinstance(phase, Common) and Stage.WAITS in (shell := shell_of(phase.manifest)).stage(phase):
            told = last_wait(shell.step_of(phase), turn)
            return _wait(told and replace(told, for_whom=awaited(phase), missing=missing(phase)))
        if job and job.state in ("queued", "waiting"):
            return _wait(last_wait(PRESENCE, turn))
        return None

    def _round(self, turn: Turn) -> RunningShown | None:
        phase = self._schedule.rounds.running(turn)
        if phase is None:
            return None
        found = phase.scope.round
        shown = RunningShown(found.round, found.attempt, type(phase).__name__, told_out(phase))
        if isinstance(phase, Common) and Stage.WAITS in (shell := shell_of(phase.manifest)).stage(phase):
            return replace(shown, step=shell.step_of(phase), waiting=awaited(phase), missing=missing(phase))
        return shown

    def _show(self, name: str, turn: Turn) -> JobDetail:
        job = records.get_job(turn, name)
        ended = tuple(
            RoundShown(where.round, where.attempt, one.lost, one.contributors, one.step, one.reason, one.missing)
            for one in records.outcomes(turn, name)
            for where in (one.round,)
        )
        active = self._schedule.active(turn)
        running = self._round(turn) if active and active.spec.name == name else None
        return JobDetail(**asdict(_shown(job)), named=job.named, ended=ended, running=running)

    def _submit(self, asked: SubmitJob, turn: Turn) -> JobSubmitted:
        model, custody = (Path(path) if path else None for path in (asked.model, asked.custody))
        roster, desk = self._membership.roster(turn), self._desk
        job = submitting.submit(asked.file, model, custody, asked.without, roster, desk, self._blobs, turn)
        return JobSubmitted(**asdict(_shown(job)), told=tuple(submitting.told(job, asked.without, turn)))

    def _result(self, name: str, turn: Turn) -> ModelResult | SumResult:
        """Return where the result of a job lies on this machine: the model, or the last published sum."""
        job = records.get_job(turn, name)
        published = [outcome for outcome in records.outcomes(turn, name) if not outcome.lost]
        if not published:
            raise BadInput(f"The job {name} has no result yet.", "Wait for a round to close.", code="E-JOB")
        if job.spec.purpose == "training":
            return ModelResult(str(self._blobs.path(job.model)), job.model_digest.hex())
        sums = jobs.vector_of(self._blobs, job.spec, published[-1])
        return SumResult(published[-1].contributors, tuple(float(value) for value in sums))


def _wait(told: Waiting | None) -> JobWait | None:
    return msgspec.convert(told, JobWait, from_attributes=True) if told else None


def _shown(job: records.Job) -> JobShown:
    spec = job.spec
    return JobShown(
        name=spec.name, number=job.number, task=spec.task, purpose=spec.purpose, state=job.state, round=job.round,
        attempt=job.attempt, rounds=spec.rounds, cohort=spec.cohort, parameters=spec.parameters,
        bits=code_bits(spec.lanes[0].codec), model=job.model_digest.hex(), reason=job.reason, rule=job.rule,
        remedy=job.remedy,
    )  # fmt: skip
