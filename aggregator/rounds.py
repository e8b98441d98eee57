"""One round at a time: members' messages and timers into the state machine, its effects into log, outbox and files.

How to read it: `begin` starts an attempt. `message`, `chunk`, `wake` and `finished` bring events. `_apply` saves the
phase and carries out what it asks for. `ended` is called with the last phase.
Rules: the phase lies in the journal before anything it asks for leaves. A deadline counts from the moment its step
began, or began again after a restart. Heavy work runs beside the loop and is asked for again after a restart.
Leaves to others: what is legal (the engine's aggregator), which round is next (aggregator.schedule).
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from msgspec import UNSET

from aggregator import records
from aggregator.desk import Desk
from aggregator.ending import keep_agreed
from aggregator.progress import Progress
from aggregator.receiving import Receiving
from aggregator.records import WHOLE, Phase, Saved, phase_of
from aggregator.telling import step_of
from aggregator.uploads import ELSEWHERE, named_in, shell_of, stage_of, uploads_of
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation, SecaggError, WireError
from secagg.events.line import place
from secagg.events.rounds import RoundStarted
from secagg.log.checkpoint import read_checkpoint
from secagg.log.statements import TEXT, Aborted, Contributors
from secagg.protocol import engines
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.asked import Stage
from secagg.protocol.round.events import (
    Append,
    Deadline,
    Effect,
    Event,
    FromNode,
    Judge,
    Keep,
    Log,
    Logged,
    Send,
    Turned,
)
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import AggregatorContext
from secagg.protocol.round.phases import Closed, Common, Failed, Out, Publishing, Standing
from secagg.protocol.session import RoundHeader
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed

UNMASK, JUDGE, TAKE, STEP = "unmask", "judge", "take", "step"
_ROUND, _FREEZE = "round", "freeze"


class Rounds:
    """The round that is running, if one is."""

    def __init__(self, desk: Desk, ended: Callable[[Closed | Failed, int, int, Turn], None]) -> None:
        """`ended` gets the last phase, when the round began, and the place in the log of an end without a result."""
        self._desk, self._receiving, self._ended = desk, Receiving(desk), ended
        self._progress = Progress(desk.book)
        self._aborted = 0

    # What the schedule asks ------------------------------------------------------------------------------------------

    def running(self, turn: Turn) -> Phase | None:
        """Return the phase of the running round."""
        kept = turn.get(_ROUND)
        return phase_of(decode(Saved, kept, WHOLE)) if kept else None

    def entrusts(self, asker: str, digest: bytes, turn: Turn) -> bool:
        """Say whether this is the upload of the running round's frozen set, and the asker one of its trustees."""
        phase = self.running(turn)
        if not isinstance(phase, Common) or phase.manifest.custody is UNSET:
            return False
        listed = shell_of(phase.manifest).entrusted(phase)
        return asker in phase.manifest.custody.names() and digest in uploads_of(listed) if listed else False

    def begin(
        self, manifest: Manifest, standings: tuple[Standing, ...], turn: Turn, out: tuple[Out, ...] = ()
    ) -> None:
        """Sign, log and propose a manifest; those in `out` keep their seats and have no part."""
        for standing in standings:
            turn.put(f"told/{standing.member}", str(standing.size).encode())
        turn.tell(RoundStarted(*place(manifest.round), members=manifest.names()))
        turned = shell_of(manifest).start(manifest, standings, self._context(manifest, turn), out)
        self._apply(turned, Saved(b"", turn.now(), engine=manifest.engine), None, turn)

    def start(self, turn: Turn) -> None:
        """Take up the round after a restart: its timer and the work that was lost."""
        phase = self.running(turn)
        open_phase = phase if isinstance(phase, Common) else None
        self._desk.uploads.sweep(open_phase, [decode(Signed, kept) for _, kept in turn.scan("header/")])
        if open_phase is not None:
            self._resume(open_phase, turn)
        self._logged(turn)

    def _resume(self, phase: Common, turn: Turn) -> None:
        shell = shell_of(phase.manifest)
        stage = shell.stage(phase)
        if Stage.WAITS in stage:
            self._set_timer(phase, turn)
        for member in phase.manifest.names() if Stage.GATHERS in stage else ():
            self._take(phase, member, turn)
        if Stage.JUDGES in stage:
            self._judge(phase, turn)
        if Stage.OPENS in stage:
            self._open(phase, turn)

    # Events ----------------------------------------------------------------------------------------------------------

    def message(self, message: Received, turn: Turn) -> None:
        """Take a member's message of kind `round`; one of another round is old and means nothing.

        Raises: ProtocolViolation when it fails a check.
        """
        saved, header = self._saved(turn), decode(RoundHeader, message.header)
        if saved is None:
            return
        phase = phase_of(saved)
        if phase.scope.round != header.round:
            return
        event = FromNode(message.sender, header.kind, message.body)
        if isinstance(phase, Common) and header.kind == shell_of(phase.manifest).UPLOAD:
            self._header(phase, event, turn)
            return
        self._check_size(saved, event)
        if header.kind == "Refuse":
            self._progress.leaves(event, turn)
        self._advance(event, turn)

    def chunk(self, message: Received, turn: Turn) -> None:
        """Take a piece of an upload, or the question which are here; outside step 2 both mean nothing.

        Raises: ProtocolViolation when it does not fit.
        """
        phase = self.running(turn)
        if not isinstance(phase, Common) or Stage.GATHERS not in stage_of(phase):
            return
        if message.kind == "ask-chunks":
            self._receiving.asked(phase, message, turn)
        elif self._receiving.chunk(phase, message, turn):
            self._take(phase, message.sender, turn)

    def wake(self, name: str, turn: Turn) -> None:
        """Take the end of a step; the timer names round and step, so that an old one means nothing."""
        phase = self.running(turn)
        if isinstance(phase, Common) and Stage.WAITS in stage_of(phase) and name == _timer(phase):
            self._advance(Deadline(shell_of(phase.manifest).step_of(phase)), turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Take the outcome of work that this round asked for."""
        kind, _, rest = name.partition("/")
        phase = self.running(turn)
        if not isinstance(phase, Common) or not rest.startswith(phase.scope.round.label()):
            return
        if kind == TAKE:
            self._taken(phase, rest.rpartition("/")[2], outcome, turn)
            return
        if {UNMASK: Stage.OPENS, JUDGE: Stage.JUDGES}.get(kind, Stage.NOTHING) & stage_of(phase):
            self._opened(phase, outcome, turn)

    def logged(self, turn: Turn) -> None:
        """Go on when the entry that the round waits for is published."""
        self._logged(turn)

    def lacks_proposal(self, member: str, size: int, turn: Turn) -> bool:
        """Say whether a member is waited for that holds another checkpoint than it was thought to."""
        phase = self.running(turn)
        if not isinstance(phase, Common) or turn.get(f"told/{member}") == str(size).encode():
            return False
        return Stage.PROPOSES in stage_of(phase) and member in shell_of(phase.manifest).waiting_for(phase)

    def propose_again(self, member: str, size: int, turn: Turn) -> None:
        """Repeat the proposal to a member that lacks it, with the proof from the checkpoint of this size."""
        saved = self._saved(turn)
        phase = phase_of(saved) if saved else None
        if saved is None or not isinstance(phase, Common):
            return
        leaf, proof = self._desk.book.leaf(saved.proposal), self._desk.book.prove(saved.proposal, size)
        header = encode(RoundHeader(phase.scope.round, "Propose"))
        allowances = self._context(phase.manifest, turn).known().allowances
        # Once: a member says every two seconds that it is here, until it has the proposal.
        turn.emit(member, "round", header, encode(Propose(phase.signed, leaf, proof, allowances)))

    # The machine -----------------------------------------------------------------------------------------------------

    def _saved(self, turn: Turn) -> Saved | None:
        kept = turn.get(_ROUND)
        return decode(Saved, kept, WHOLE) if kept else None

    def _context(self, manifest: Manifest, turn: Turn) -> AggregatorContext:
        desk = self._desk
        opening = desk.opening(manifest.round.job, turn)
        job = records.get_job(turn, manifest.round.job)
        known = partial(records.known, job, desk.seats, turn)
        return AggregatorContext(desk.name, desk.key, desk.rng, opening, turn.now(), known)

    def _advance(self, event: Event, turn: Turn) -> None:
        saved = self._saved(turn)
        if saved is None:
            return
        before = phase_of(saved)
        manifest = _manifest(before)
        turned = shell_of(manifest).advance(before, event, self._context(manifest, turn))
        if isinstance(event, FromNode) and turned.phase is not before:
            self._note_message(manifest, event, before, turn)
        self._apply(turned, saved, before, turn)

    def _apply(self, turned: Turned[Phase], saved: Saved, before: Phase | None, turn: Turn) -> None:
        """Keep the phase, tell those who watch, do what it asks for."""
        phase = turned.phase
        # Who comes while an entry is being written changes nothing of what the phase waits for.
        entry, sizes = (saved.entry, saved.sizes) if type(phase) is type(before) else (-1, ())
        turn.put(_ROUND, encode(Saved(encode(phase), saved.began, entry, sizes, saved.proposal, saved.engine)))
        self._progress.changed(before, phase, turn)
        for effect in turned.effects:
            self._do(effect, phase, turn)
        if isinstance(phase, Common):
            self._kept(phase, before, turn)
        if isinstance(phase, Closed | Failed):
            self._end(phase, saved, before, turn)

    def _kept(self, phase: Common, before: Phase | None, turn: Turn) -> None:
        """Keep beside the phase what it names, and set its timer."""
        shell = shell_of(phase.manifest)
        if (listed := shell.frozen(phase)) is not None:
            self._desk.uploads.keep(listed, self._desk.bundle)
            members = phase.manifest.members
            records.put_frozen_set(turn, [members[phase.manifest.index(name)] for name in named_in(listed)])
        self._desk.handing.remember(phase, turn)
        if (lists := shell.agreed(phase)) and type(phase) is not type(before):
            keep_agreed(phase, lists, int(turn.get(_FREEZE) or b"0"), turn)
            records.put_opening(turn, phase.manifest.members, shell.bounds(lists[1]))
        if isinstance(phase, Publishing):
            self._desk.bundle.put_result(phase.scope.round, encode(phase.published), phase.salt)
        if Stage.WAITS in shell.stage(phase) and type(phase) is not type(before):
            self._set_timer(phase, turn)

    def _do(self, effect: Effect, phase: Phase, turn: Turn) -> None:
        match effect:
            case Append(statement):
                place = self._desk.book.add(statement, turn)
                # Said in the turn that ends the round.
                self._aborted = place if isinstance(statement, Aborted) else self._aborted
            case Log(statement, sizes):
                place = self._desk.book.add(statement, turn)
                if isinstance(statement, Contributors):
                    turn.put(_FREEZE, str(place).encode())
                self._await(place, sizes, phase, turn)
            case Keep(data):
                self._desk.bundle.put_file(data)
            case Send(to, kind, data):
                self._desk.sending(turn)(to, "round", encode(RoundHeader(phase.scope.round, kind)), data)
            case Judge():
                self._judge(cast(Common, phase), turn)
            case _:
                # The one effect that each engine names itself: open the sum.
                self._open(cast(Common, phase), turn, effect)

    def _await(self, entry: int, sizes: tuple[int, ...], phase: Phase, turn: Turn) -> None:
        saved = self._saved(turn)
        if saved is None:
            return
        proposal = entry if saved.proposal < 0 else saved.proposal
        turn.put(_ROUND, encode(Saved(saved.phase, saved.began, entry, sizes, proposal, saved.engine)))

    def _logged(self, turn: Turn) -> None:
        saved, book = self._saved(turn), self._desk.book
        if saved is None or saved.entry < 0 or book.published <= saved.entry:
            return
        if book.set_aside(saved.entry, turn):
            self._lose(saved, "what it waited for could not be written into the log", turn)
            return
        proofs = tuple(book.prove(saved.entry, size) for size in saved.sizes)
        self._advance(Logged(book.leaf(saved.entry), proofs), turn)

    def _set_timer(self, phase: Common, turn: Turn) -> None:
        turn.after(_timer(phase), phase.manifest.step_ms / 1000)
        self._progress.waits(phase, turn)

    def _end(self, phase: Closed | Failed, saved: Saved, before: Phase | None, turn: Turn) -> None:
        manifest, summed = _manifest(before), records.opening(turn)
        headers = [decode(Signed, kept) for _, kept in turn.scan("header/")]
        if isinstance(phase, Failed):
            missing = tuple(entry.member for entry in phase.out)
            summed = shell_of(manifest).opened(manifest, summed, missing)
        records.put_summed(turn, summed)
        for key, _ in [*turn.scan("header/"), *turn.scan("told/"), *turn.scan("equivocated/")]:
            turn.delete(key)
        self._progress.over(turn)
        turn.delete(_ROUND)
        turn.delete(_FREEZE)
        # After the commit: whoever takes the round up again needs every upload where it was.
        turn.run(f"forget/{manifest.round.label()}", partial(self._desk.uploads.forget, manifest, headers))
        self._ended(phase, saved.began, self._aborted, turn)

    # Uploads and the sum ---------------------------------------------------------------------------------------------

    def _header(self, phase: Common, event: FromNode, turn: Turn) -> None:
        """Keep the header of an upload; it becomes an event once the upload is here and verified."""
        shell = shell_of(_manifest(phase))
        if Stage.GATHERS not in shell.stage(phase):
            raise ProtocolViolation(f"A header of {event.sender} came when none is taken.", rule="phase.message")
        shell.check_header(phase, event)
        key = f"header/{event.sender}"
        if turn.get(key) is None:
            turn.put(key, event.data)
            self._take(phase, event.sender, turn)

    def _take(self, phase: Common, member: str, turn: Turn) -> None:
        kept = turn.get(f"header/{member}")
        if kept is None or member in shell_of(phase.manifest).uploaded(phase):
            return
        header, uploads = decode(Signed, kept), self._desk.uploads
        if uploads.whole(phase, member, header) and not uploads.taking(phase, member):
            turn.run(f"{TAKE}/{phase.scope.round.label()}/{member}", lambda: uploads.take(phase, member, header))

    def _taken(self, phase: Common, member: str, outcome: object, turn: Turn) -> None:
        kept, shell = turn.get(f"header/{member}"), shell_of(phase.manifest)
        if Stage.GATHERS not in shell.stage(phase) or kept is None or member in shell.uploaded(phase):
            return
        if outcome == ELSEWHERE:
            return
        if isinstance(outcome, BaseException):
            turn.tell(step_of(phase.manifest.round, shell.UPLOAD, member, "refused", str(outcome)))
            turn.delete(f"header/{member}")
            return
        self._advance(FromNode(member, shell.UPLOAD, kept), turn)

    def _open(self, phase: Common, turn: Turn, asked: Effect | None = None) -> None:
        uploads, files = self._desk.uploads, self._desk.files
        work = partial(uploads.clear, phase, lambda digest: (files / digest).read_bytes(), asked)
        turn.run(f"{UNMASK}/{phase.scope.round.label()}", work)

    def _judge(self, phase: Common, turn: Turn) -> None:
        judge = shell_of(phase.manifest).judge
        turn.run(f"{JUDGE}/{phase.scope.round.label()}", partial(judge, phase))

    def _opened(self, phase: Common, outcome: object, turn: Turn) -> None:
        if isinstance(outcome, Event):
            self._advance(outcome, turn)
            return
        saved = self._saved(turn)
        if saved is not None:
            reason = outcome.cause if isinstance(outcome, SecaggError) else type(outcome).__name__
            self._lose(saved, reason, turn)

    def _lose(self, saved: Saved, reason: str, turn: Turn) -> None:
        """End the round without a result: it may have been opened."""
        phase = phase_of(saved)
        if isinstance(phase, Common):
            self._apply(shell_of(phase.manifest).failed(phase, reason[:TEXT], turn.now()), saved, phase, turn)

    # What is noted beside the machine --------------------------------------------------------------------------------

    def _check_size(self, saved: Saved, event: FromNode) -> None:
        """Refuse a message that claims a checkpoint this log never had: the freeze could not be proved from it."""
        size = engines.load(saved.engine).sums.claimed_size(event)
        if size is not None and size > self._desk.book.published:
            raise WireError(f"{event.sender} claims a checkpoint of {size} entries.", "It is not of this log.")

    def _note_message(self, manifest: Manifest, event: FromNode, before: Phase, turn: Turn) -> None:
        """Note which checkpoint a member holds now, and tell those who watch."""
        size = shell_of(manifest).claimed_size(event)
        if size is None and isinstance(before, Common) and (shown := shell_of(manifest).shown(before, event)):
            size = read_checkpoint(shown).size
        if size is not None:
            records.put_held(turn, event.sender, size)
        self._progress.sent(manifest, event, turn)


def _manifest(phase: Phase | None) -> Manifest:
    if not isinstance(phase, Common):
        raise RuntimeError("a round that is over has no manifest any more")
    return phase.manifest


def _timer(phase: Common) -> str:
    return f"{STEP}/{phase.scope.round.label()}/{shell_of(phase.manifest).step_of(phase)}"
