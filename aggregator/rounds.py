"""One round at a time: members' messages and timers into the state machine, its effects into log, outbox and files.

How to read it: `begin` starts an attempt; `message`, `chunk`, `wake` and `finished` bring events; `_apply` saves the
phase and carries out what it asks for; `ended` is called with the last phase.
Rules: the phase lies in the journal before anything it asks for leaves; a deadline counts from the moment its step
began, or began again after a restart; heavy work runs beside the loop and is asked for again after a restart.
Leaves to others: what is legal (secagg.protocol.masks.aggregator), which round is next (aggregator.schedule).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from msgspec import Struct

from aggregator import records
from aggregator.logbook import LogBook
from aggregator.records import WHOLE
from aggregator.spot import Handing
from aggregator.telling import step_of, where
from aggregator.uploads import Equivocated, Uploads
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.crypto.sign import SigningKey
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation, SecaggError, WireError
from secagg.ids import Digest
from secagg.log.bundle import BundleWriter
from secagg.log.checkpoint import read_checkpoint
from secagg.log.statements import Equivocation, Refusal
from secagg.protocol.lanes import Groups
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import aggregator as machine
from secagg.protocol.masks import intake, notices
from secagg.protocol.masks.messages import AdvertiseKeys, Propose
from secagg.protocol.masks.rounds import (
    Advertising,
    Agreeing,
    Append,
    Closed,
    Common,
    Deadline,
    Effect,
    Event,
    Failed,
    Freezing,
    FromNode,
    Keep,
    Log,
    Logged,
    Phase,
    Proposing,
    Publishing,
    Send,
    Standing,
    Unmask,
    Unmasked,
    Unmasking,
    Uploading,
)
from secagg.protocol.session import RoundHeader
from secagg.transport.link import Received
from secagg.wire.chunks import ChunkAck
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed, sign

UNMASK, TAKE, STEP = "unmask", "take", "step"
_ROUND = "round"


class Saved(Struct, frozen=True, forbid_unknown_fields=True):
    """The round in the journal: its phase, and the log entry it waits for with the sizes to prove from."""

    phase: bytes
    began: int
    entry: int = -1
    sizes: tuple[int, ...] = ()
    proposal: int = -1


@dataclass(frozen=True)
class Desk:
    """What a round works with: the aggregator's identity, its log, its stores, and the opening key of a job."""

    name: str
    key: SigningKey
    rng: Rng
    book: LogBook
    uploads: Uploads
    bundle: BundleWriter
    opening: Callable[[str, Turn], SealingKey]
    handing: Handing


class Rounds:
    """The round that is running, if one is."""

    def __init__(self, desk: Desk, ended: Callable[[Closed | Failed, int, Turn], None]) -> None:
        self._desk, self._ended = desk, ended

    # What the schedule asks ------------------------------------------------------------------------------------------

    def running(self, turn: Turn) -> Phase | None:
        """Return the phase of the running round."""
        kept = turn.get(_ROUND)
        return _phase(decode(Saved, kept, WHOLE)) if kept else None

    def begin(self, manifest: Manifest, standings: tuple[Standing, ...], turn: Turn) -> None:
        """Sign, log and propose a manifest."""
        for standing in standings:
            turn.put(f"told/{standing.member}", str(standing.size).encode())
        turn.event({"event": "round_started", **where(manifest.round), "members": list(manifest.names())})
        turned = machine.start(manifest, standings, self._context(manifest, turn))
        self._apply(turned, Saved(b"", turn.now()), None, turn)

    def start(self, turn: Turn) -> None:
        """Take up the round after a restart: its timer and the work that was lost."""
        saved = self._saved(turn)
        phase = _phase(saved) if saved else None
        self._desk.uploads.sweep(phase, [decode(Signed, kept) for _, kept in turn.scan("header/")])
        if isinstance(phase, intake.Collecting):
            self._set_timer(phase, turn)
        if isinstance(phase, Uploading):
            for member in phase.manifest.names():
                self._take(phase, member, turn)
        if isinstance(phase, Unmasking):
            self._unmask(phase, turn)
        self._logged(turn)

    # Events ----------------------------------------------------------------------------------------------------------

    def message(self, message: Received, turn: Turn) -> None:
        """Take a member's message of kind `round`; one of another round is old and means nothing.

        Raises: ProtocolViolation when it fails a check.
        """
        saved, header = self._saved(turn), decode(RoundHeader, message.header)
        if saved is None:
            return
        phase = _phase(saved)
        if phase.scope.round != header.round:
            return
        event = FromNode(message.sender, header.kind, message.body)
        if header.kind == "MaskedInput":
            self._header(phase, event, turn)
            return
        self._check_size(event)
        self._advance(event, turn)
        if header.kind == "Refuse":
            self._state_refusal(phase, event, turn)

    def chunk(self, message: Received, turn: Turn) -> None:
        """Store a piece of an upload and acknowledge it; outside step 2 it means nothing.

        Raises: ProtocolViolation when it does not fit.
        """
        phase = self.running(turn)
        if not isinstance(phase, Uploading):
            return
        member = message.sender
        try:
            found = self._desk.uploads.chunk(phase, member, message.header, message.body)
        except Equivocated as both:
            self._state_equivocation(phase, member, both.digests, turn)
            return
        ack = encode(ChunkAck(found.round, found.node, found.index, found.hash))
        signed = sign(self._desk.key, "ChunkAck", phase.scope, self._desk.name, member, ack)
        turn.emit(member, "ack-chunk", b"", encode(signed))
        self._take(phase, member, turn)

    def wake(self, name: str, turn: Turn) -> None:
        """Take the end of a step; the timer names round and step, so that an old one means nothing."""
        phase = self.running(turn)
        if isinstance(phase, intake.Collecting) and name == _timer(phase):
            self._advance(Deadline(machine.step_of(phase)), turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Take the outcome of work that this round asked for."""
        kind, _, rest = name.partition("/")
        phase = self.running(turn)
        if phase is None or not rest.startswith(phase.scope.round.label()):
            return
        if kind == TAKE:
            self._taken(phase, rest.rpartition("/")[2], outcome, turn)
        elif kind == UNMASK and isinstance(phase, Unmasking):
            self._unmasked(phase, outcome, turn)

    def logged(self, turn: Turn) -> None:
        """Go on when the entry that the round waits for is published."""
        self._logged(turn)

    def propose_again(self, member: str, size: int, turn: Turn) -> None:
        """Repeat the proposal to a member that came back holding another checkpoint than it was thought to."""
        saved = self._saved(turn)
        phase = _phase(saved) if saved else None
        if saved is None or not isinstance(phase, Advertising) or member not in machine.waiting_for(phase):
            return
        if turn.get(f"told/{member}") == str(size).encode():
            return
        turn.put(f"told/{member}", str(size).encode())
        leaf, proof = self._desk.book.leaf(saved.proposal), self._desk.book.prove(saved.proposal, size)
        header = encode(RoundHeader(phase.scope.round, "Propose"))
        turn.send(member, "round", header, encode(Propose(phase.signed, leaf, proof)))

    # The machine -----------------------------------------------------------------------------------------------------

    def _saved(self, turn: Turn) -> Saved | None:
        kept = turn.get(_ROUND)
        return decode(Saved, kept, WHOLE) if kept else None

    def _context(self, manifest: Manifest, turn: Turn) -> machine.AggregatorContext:
        desk = self._desk
        opening = desk.opening(manifest.round.job, turn)
        return machine.AggregatorContext(desk.name, desk.key, desk.rng, opening, turn.now())

    def _advance(self, event: Event, turn: Turn) -> None:
        saved = self._saved(turn)
        if saved is None:
            return
        before = _phase(saved)
        manifest = _manifest(before)
        turned = machine.advance(before, event, self._context(manifest, turn))
        if isinstance(event, FromNode) and turned.phase is not before:
            self._note_message(manifest, event, before, turn)
        self._apply(turned, saved, before, turn)

    def _apply(self, turned: machine.Turned, saved: Saved, before: Phase | None, turn: Turn) -> None:
        """Keep the phase, tell those who watch, do what it asks for."""
        phase = turned.phase
        turn.put(_ROUND, encode(Saved(encode(phase), saved.began, -1, (), saved.proposal)))
        self._tell(before, phase, turn)
        for effect in turned.effects:
            self._do(effect, phase, turn)
        if isinstance(phase, Freezing):
            self._desk.uploads.keep(phase.u3, self._desk.bundle)
        if isinstance(phase, Unmasking):
            self._desk.handing.remember(phase, turn)
        if isinstance(phase, Publishing):
            self._desk.bundle.put_result(phase.scope.round, encode(phase.published), phase.salt)
        if isinstance(phase, intake.Collecting) and type(phase) is not type(before):
            self._set_timer(phase, turn)
        if isinstance(phase, Closed | Failed):
            self._end(phase, saved, before, turn)

    def _do(self, effect: Effect, phase: Phase, turn: Turn) -> None:
        match effect:
            case Append(statement):
                self._desk.book.add(statement, turn)
            case Log(statement, sizes):
                self._await(self._desk.book.add(statement, turn), sizes, phase, turn)
            case Keep(data):
                self._desk.bundle.put_file(data)
            case Send(to, kind, data):
                turn.send(to, "round", encode(RoundHeader(phase.scope.round, kind)), data)
            case Unmask():
                self._unmask(cast(Unmasking, phase), turn)

    def _await(self, entry: int, sizes: tuple[int, ...], phase: Phase, turn: Turn) -> None:
        saved = self._saved(turn)
        if saved is None:
            return
        proposal = entry if isinstance(phase, Proposing) else saved.proposal
        turn.put(_ROUND, encode(Saved(saved.phase, saved.began, entry, sizes, proposal)))

    def _logged(self, turn: Turn) -> None:
        saved, book = self._saved(turn), self._desk.book
        if saved is None or saved.entry < 0 or book.published <= saved.entry:
            return
        proofs = tuple(book.prove(saved.entry, size) for size in saved.sizes)
        self._advance(Logged(book.leaf(saved.entry), proofs), turn)

    def _set_timer(self, phase: intake.Collecting, turn: Turn) -> None:
        seconds = phase.manifest.step_ms / 1000
        turn.after(_timer(phase), seconds)
        turn.event(
            {
                "event": "waiting", **where(phase.manifest.round), "step": machine.step_of(phase),
                "for": list(machine.waiting_for(phase)), "need": phase.manifest.needed, "since": turn.now(),
                "until": turn.now() + round(seconds),
            }
        )  # fmt: skip

    def _end(self, phase: Closed | Failed, saved: Saved, before: Phase | None, turn: Turn) -> None:
        manifest = _manifest(before)
        headers = [decode(Signed, kept) for _, kept in turn.scan("header/")]
        for key, _ in [*turn.scan("header/"), *turn.scan("told/"), *turn.scan("equivocated/")]:
            turn.delete(key)
        turn.delete(_ROUND)
        # After the commit: whoever takes the round up again needs every upload where it was.
        turn.run(f"forget/{manifest.round.label()}", partial(self._desk.uploads.forget, manifest, headers))
        self._ended(phase, saved.began, turn)

    # Uploads and the sum ---------------------------------------------------------------------------------------------

    def _header(self, phase: Phase, event: FromNode, turn: Turn) -> None:
        """Keep the header of an upload; it becomes an event once the upload is here and verified."""
        if not isinstance(phase, Uploading):
            raise ProtocolViolation(f"A header of {event.sender} came outside step 2.", rule="phase.message")
        intake.masked_input(phase, event)
        key = f"header/{event.sender}"
        if turn.get(key) is None:
            turn.put(key, event.data)
            self._take(phase, event.sender, turn)

    def _take(self, phase: Uploading, member: str, turn: Turn) -> None:
        kept = turn.get(f"header/{member}")
        if kept is None or member in intake.received(phase):
            return
        header, uploads = decode(Signed, kept), self._desk.uploads
        if uploads.whole(phase, member, header):
            turn.run(f"{TAKE}/{phase.scope.round.label()}/{member}", lambda: uploads.take(phase, member, header))

    def _taken(self, phase: Phase, member: str, outcome: object, turn: Turn) -> None:
        kept = turn.get(f"header/{member}")
        if not isinstance(phase, Uploading) or kept is None or member in intake.received(phase):
            return
        if isinstance(outcome, BaseException):
            turn.event(step_of(phase.manifest.round, "MaskedInput", member, "refused", str(outcome)))
            turn.delete(f"header/{member}")
            return
        self._advance(FromNode(member, "MaskedInput", kept), turn)

    def _unmask(self, phase: Unmasking, turn: Turn) -> None:
        turn.run(f"{UNMASK}/{phase.scope.round.label()}", lambda: self._desk.uploads.clear(phase))

    def _unmasked(self, phase: Unmasking, outcome: object, turn: Turn) -> None:
        if not isinstance(outcome, BaseException):
            self._advance(Unmasked(cast(Groups, outcome)), turn)
            return
        saved = self._saved(turn)
        if saved is None:
            return
        reason = outcome.cause if isinstance(outcome, SecaggError) else f"{type(outcome).__name__}: {outcome}"
        statement = notices.aborted(phase.scope, "Unmask", reason, phase.out, turn.now())
        failed = machine.Turned(Failed(phase.scope, "Unmask", reason, phase.out), (Append(statement),))
        self._apply(failed, saved, phase, turn)

    # What is noted beside the machine --------------------------------------------------------------------------------

    def _check_size(self, event: FromNode) -> None:
        """Refuse keys that claim a checkpoint this log never had: the freeze could not be proved from it."""
        if event.kind != "AdvertiseKeys":
            return
        size = decode(AdvertiseKeys, decode(Signed, event.data).body).log_size
        if size > self._desk.book.published:
            raise WireError(f"{event.sender} claims a checkpoint of {size} entries.", "It is not of this log.")

    def _note_message(self, manifest: Manifest, event: FromNode, before: Phase, turn: Turn) -> None:
        if event.kind == "AdvertiseKeys":
            size = decode(AdvertiseKeys, decode(Signed, event.data).body).log_size
            records.put_held(turn, event.sender, size)
        if isinstance(before, Agreeing) and event.kind == "ConsistencyCheck":
            records.put_held(turn, event.sender, read_checkpoint(before.checkpoint).size)
        if event.kind != "Refuse":
            turn.event(step_of(manifest.round, event.kind, event.sender, "sent"))

    def _state_refusal(self, phase: Phase, event: FromNode, turn: Turn) -> None:
        leave = decode(intake.Refuse, decode(Signed, event.data).body)
        where = notices.where(phase.scope, turn.now())
        reason = leave.reason[:500]
        self._desk.book.add(Refusal(**where, member=event.sender, rule=leave.rule[:500], reason=reason), turn)
        step = machine.step_of(phase) if isinstance(phase, intake.Collecting) else ""
        told = step_of(_manifest(phase).round, step, event.sender, "refused", leave.reason)
        turn.event({**told, "rule": leave.rule})

    def _state_equivocation(self, phase: Uploading, member: str, both: tuple[Digest, Digest], turn: Turn) -> None:
        key = f"equivocated/{member}"
        if turn.get(key) is not None:
            return
        turn.put(key, b"")
        where = notices.where(phase.scope, turn.now())
        digests = tuple(digest.hex() for digest in both)
        self._desk.book.add(Equivocation(**where, member=member, digests=digests), turn)
        reason = "sent two different bodies for one chunk; the first stays"
        turn.event(step_of(phase.manifest.round, "MaskedInput", member, "refused", reason))

    def _tell(self, before: Phase | None, after: Phase, turn: Turn) -> None:
        known = before.out if before is not None else ()
        manifest = _manifest(before) if before is not None else _manifest(after)
        for entry in after.out:
            if entry not in known and not entry.reason.startswith("refused"):
                turn.event(step_of(manifest.round, entry.step, entry.member, "dropped", entry.reason))


def _phase(saved: Saved) -> Phase:
    return decode(cast(type[Phase], Phase), saved.phase, WHOLE)


def _manifest(phase: Phase | None) -> Manifest:
    if not isinstance(phase, Common):
        raise RuntimeError("a round that is over has no manifest any more")
    return phase.manifest


def _timer(phase: intake.Collecting) -> str:
    return f"{STEP}/{phase.scope.round.label()}/{machine.step_of(phase)}"
