"""The round this node is in: the aggregator's messages into the state machine, its phase sealed, its answers out.

How to read it: what every member does is in secagg.daemon.participant. `_judge` enters a round, `finished` brings what
was computed, `close` ends the round and destroys its keys.
Rules: a proposal is judged by what this node knows itself (roster, job, model, policy, ledger). One that it has left is
not entered again. Training begins with the proposal and masks are laid on only once U2 is known. Whose task failed on
its data goes on with the round's steps until it says so, as one that still trains does.
Leaves to others: what is legal (the engine's node), which round comes (node.jobs), chunks (node.uploading). What is
said of a round that this node leaves is in node.leaving.
"""

from contextlib import suppress
from typing import cast

from node import records
from node.drill import Drill
from node.expecting import expectation
from node.holding import Holding
from node.inputs import Inputs, Mark
from node.jobs import Jobs
from node.leaving import PART, Failures, Leaving
from node.records import Job, Upload
from node.task import FailedOnData
from node.telling import say_bound, say_readers
from node.uploading import Uploading
from node.work import Computed, Work, member_of
from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.daemon import participant
from secagg.daemon.following import Follower
from secagg.daemon.ledger import Ledger
from secagg.daemon.lies import require_trust
from secagg.daemon.membership import Standing
from secagg.daemon.participant import Round, find_round, put_since
from secagg.daemon.turn import Turn
from secagg.daemon.vault import RoundKeys
from secagg.errors import Refused, SealBroken, SecaggError, TryLater
from secagg.events import members as told
from secagg.events.line import place
from secagg.ids import RoundId
from secagg.protocol.acceptance import Policy
from secagg.protocol.lanes import Contribution
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.asked import Named, Stage
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import NodeContext
from secagg.transport.link import Received
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope

UPDATE, PREPARE, MASK = "update", "prepare", "mask"
DUE = "due"
"""How the name of the timer begins that tells what failed on data."""


class Rounds(participant.Rounds):
    """One round at a time."""

    def __init__(
        self, name: str, key: SigningKey, rng: Rng, keys: RoundKeys, follower: Follower, policy: Policy, jobs: Jobs,
        work: Work, uploading: Uploading, inputs: Inputs, failures: Failures, drill: Drill | None,
    ) -> None:  # fmt: skip
        super().__init__(name, key, rng, follower)
        self._keys, self._policy, self._jobs, self._work = keys, policy, jobs, work
        self._uploading, self._inputs, self._drill = uploading, inputs, drill
        self._clear: dict[str, Contribution] = {}
        self._marks: dict[str, Mark] = {}
        self._holding, self._failures = Holding(uploading), failures
        self._leaving = Leaving(self._envelope, jobs, failures)

    def start(self, turn: Turn) -> None:
        """Take up the round after a restart: what was being computed, and chunks without a receipt."""
        kept = records.current(turn)
        for label in self._keys.labels():
            if kept is None or label != kept.label:
                # Now and not beside the loop: the proposal of that very round may be the first message.
                self._keys.erase(label)
        if kept is None:
            return
        try:
            stage = self._stage(kept)
        except SealBroken:
            self._end(kept, turn)
            return
        if Stage.TRAINS in stage:
            # Clear words are never written, so they are computed again; nothing made from them has left.
            try:
                self._begin_update(decode(Manifest, kept.manifest, LIMIT_BULK), turn)
            except SecaggError as error:
                # Without anybody to tell it to, the round ends by itself.
                with suppress(TryLater):
                    self._failed(kept.scope, error, turn)
        self._limit(kept, turn)
        self.upload_again(turn)

    # Events ----------------------------------------------------------------------------------------------------------

    def message(self, message: Received, turn: Turn) -> None:
        """Take a message of kind `round`, unless this node dies of it in a drill. Raises: as every member's."""
        if self._drill and self._drill.reached(message, turn):
            self._drill.die()
        super().message(message, turn)

    def receipt(self, message: Received, turn: Turn) -> None:
        """Take a receipt for a chunk. Raises: BadSignature."""
        aggregator = self._follower.aggregator(turn)
        known = (aggregator.name, aggregator.sign_key)
        stored = message.sender == aggregator.name and self._uploading.stored(message.body, *known, turn)
        if stored and (kept := records.current(turn)):
            turn.tell(told.Upload(*place(kept.scope.round), state="stored"))

    def missing(self, message: Received, turn: Turn) -> None:
        """Take the aggregator's word which chunks it lacks."""
        aggregator = self._follower.aggregator(turn)
        if message.sender == aggregator.name:
            self._uploading.missing(message.body, aggregator.name, turn)

    def upload_again(self, turn: Turn) -> None:
        """Ask what has arrived of the upload, of which there was no receipt for a while."""
        if self._follower.reachable(turn):
            self._uploading.again(self._follower.aggregator(turn).name, turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Take what was computed for the round; of one that is over only a failure on data means something."""
        kind, _, label = name.partition("/")
        kept = find_round(turn, label)
        if kept is None:
            if kind == MASK and not isinstance(outcome, BaseException):
                self._uploading.drop(cast(Named, outcome).upload, turn)
            elif isinstance(outcome, FailedOnData):
                self._leaving.late(label, outcome, turn)
            return
        if kind == PREPARE:
            return  # what it made is with the work; what went wrong with it will go wrong again
        if isinstance(outcome, BaseException):
            self._failed(kept.scope, outcome, turn)
        elif kind == UPDATE:
            computed = cast(Computed, outcome)
            self._clear, self._marks = {label: computed.contribution}, {label: computed.mark}
            self._mask(kept, turn)
        else:
            self._clear = {}
            self._holding.put(label, cast(Named, outcome))
            self.released(turn)

    def released(self, turn: Turn) -> None:
        """Sign the header of what waited for the verdict on an earlier sum; leave the round of who lied in it."""
        kept = records.current(turn)
        if kept is None:
            return
        try:
            require_trust(self._follower.aggregator(turn).sign_key, turn)
        except Refused as refusal:
            self._leave(kept.scope, refusal, turn)
            return
        done = self._holding.take(kept.label, turn)
        if done is not None:
            self._protected(kept, done, turn)

    def due(self, label: str, turn: Turn) -> None:
        """Leave a round in which the task failed on its data, in the moment in which every node would say so."""
        kept = find_round(turn, label)
        if kept and self._leaving.due(kept.scope, turn):
            self._end(kept, turn)

    def close(self, round_id: RoundId, turn: Turn) -> None:
        """End a round, and its earlier attempts, of which nothing more is wanted; their keys are destroyed."""
        kept = records.current(turn)
        if kept and kept.scope.round.opening == round_id.opening and kept.scope.round.attempt <= round_id.attempt:
            self._end(kept, turn)

    def _end(self, kept: Round, turn: Turn) -> None:
        super()._end(kept, turn)
        put_since(turn)
        turn.cancel(f"{DUE}/{kept.label}")
        self._clear, self._marks = {}, {}
        self._holding.drop(turn)
        self._uploading.end(turn)
        self._erase(kept.label, turn)

    def phase(self, turn: Turn) -> object | None:
        """Return the phase this node is in, None also when its key is gone."""
        kept = records.current(turn)
        try:
            return self._open(kept) if kept else None
        except SealBroken:
            return None

    # A proposal ------------------------------------------------------------------------------------------------------

    def _judge(self, propose: Propose, proposed: Manifest, scope: Scope, turn: Turn) -> None:
        job = self._jobs.job(proposed.round.job, turn)
        if proposed.round.round > job.next_round:
            # This node was away: it says where it stands, is given the results, and is asked again while there is time.
            self._jobs.present(turn)
            return
        self._check_roster(proposed, turn)
        self._jobs.require_ready(job)
        fault = self._jobs.fault(job)
        if fault:
            self._failed(scope, fault, turn)
            return
        try:
            relied = self._relied(proposed, turn)
            own = self._work.require(job.spec)
            self._jobs.uses(job, turn)
            require_trust(self._follower.aggregator(turn).sign_key, turn)
            self._failures.judge(job, scope.round, turn)
            # The engine of the signed job: a manifest that names another one is refused by it.
            done = member_of(job.spec.engine).start(propose, self._context(job, turn, relied))
            self._inputs.admit(job, proposed, records.find_proven(turn, job.spec.name))
        except Refused as refusal:
            self._leave(scope, refusal, turn)
            return
        self.abandon(turn)
        records.put_moduli(turn, member_of(job.spec.engine).moduli(proposed))
        self._begin(scope, proposed, done, turn, propose.manifest.body)
        turn.tell(told.Accept(*place(scope.round), members=proposed.names(), task=own.name))
        say_readers(proposed, turn)
        self._begin_update(proposed, turn)

    def _context(self, job: Job, turn: Turn, relied: Standing | None = None) -> NodeContext:
        standing = relied or self._follower.standing(turn)
        expect = expectation(self._name, standing, self._follower.aggregator(turn), job, self._policy, turn)
        ledger, proven = self._ledger(turn), records.find_proven(turn, job.spec.name)
        return NodeContext(self._name, self._key, self._rng, ledger, expect, turn.now(), proven)

    def _ledger(self, turn: Turn) -> Ledger:
        return Ledger(turn, self._inputs.ledger)

    def _first(self, engine: str) -> str:
        return member_of(engine).FIRST

    def _stage(self, kept: Round) -> Stage:
        return member_of(kept.engine).stage(self._open(kept))

    def _seal(self, label: str, phase: bytes) -> bytes:
        return self._keys.seal(label, phase)

    # The machine -----------------------------------------------------------------------------------------------------

    def _advance(self, kept: Round, event: object, turn: Turn) -> None:
        try:
            phase = self._step(kept, event, turn)
        except Refused as refusal:
            self._leave(kept.scope, refusal, turn)
            return
        if Stage.READY in member_of(kept.engine).stage(phase) and (fresh := find_round(turn, kept.label)):
            self._mask(fresh, turn)

    def _step(self, kept: Round, event: object, turn: Turn) -> object:
        """Take one event in this round and return the phase after it. Raises: Refused."""
        job, engine = self._jobs.job(kept.scope.round.job, turn), member_of(kept.engine)
        done = engine.advance(self._open(kept), event, self._context(job, turn))
        self._keep(kept, done, turn)
        return done.phase

    def _limit(self, kept: Round, turn: Turn) -> None:
        super()._limit(kept, turn)
        step_ms = self._jobs.job(kept.scope.round.job, turn).spec.step_ms
        turn.after(f"{DUE}/{kept.label}", PART * step_ms / 1000)

    def _begin_update(self, manifest: Manifest, turn: Turn) -> None:
        """Train (or sum) beside the loop while keys and shares go round; not again what failed on the data."""
        if self._failures.failed(manifest.round):
            return
        job = self._jobs.job(manifest.round.job, turn)
        sums = self._jobs.uses(job, turn)
        turn.run(f"{UPDATE}/{manifest.round.label()}", lambda: self._work.update(manifest, job.spec, job.model, sums))

    def _mask(self, kept: Round, turn: Turn) -> None:
        """Mask or encrypt once both are there: the clear words, and what the engine needs beside them."""
        label, phase = kept.label, self._open(kept)
        if Stage.READY not in member_of(kept.engine).stage(phase):
            return
        given = self._clear.get(label)
        if given is None:
            # While the institution still trains, all that needs no clear words.
            turn.run(f"{PREPARE}/{label}", lambda: self._work.prepare(kept.engine, label, phase, self._name))
        else:
            turn.run(f"{MASK}/{label}", lambda: self._work.protect(kept.engine, label, given, phase, self._name))

    def _protected(self, kept: Round, done: Named, turn: Turn) -> None:
        if Stage.READY not in self._stage(kept):
            return self._uploading.drop(done.upload, turn)
        manifest = decode(Manifest, kept.manifest, LIMIT_BULK)
        try:
            self._give(kept, done, manifest, turn)
        except Refused as refusal:
            self._uploading.drop(done.upload, turn)
            return self._leave(kept.scope, refusal, turn)
        upload = Upload(kept.scope, done.upload, done.length, manifest.chunk_bytes, done.chunks)
        self._uploading.begin(upload, self._follower.aggregator(turn).name, turn)

    def _give(self, kept: Round, done: Named, manifest: Manifest, turn: Turn) -> None:
        """Bind the input, write its entry, sign its header: alone with the ledger. Raises: Refused."""
        scope, job = kept.scope, self._jobs.job(kept.scope.round.job, turn)
        mark, proven = self._marks[scope.round.label()], records.find_proven(turn, job.spec.name)
        with self._inputs.ledger.hold():
            given, binding = self._inputs.give(job, scope, manifest, mark, turn.now(), proven)
            self._step(kept, member_of(kept.engine).counted(done, given), turn)
        say_bound(binding, scope.round, turn)

    def _open(self, kept: Round) -> object:
        sealed = self._keys.open(kept.label, kept.phase)
        return member_of(kept.engine).read(sealed)

    # Leaving ---------------------------------------------------------------------------------------------------------

    def _failed(self, scope: Scope, error: BaseException, turn: Turn) -> None:
        """Leave because the institution's own work failed; if that was on its data, not before that is due."""
        known = error if isinstance(error, SecaggError) else SecaggError(f"{type(error).__name__}: {error}", "A bug.")
        if isinstance(known, FailedOnData):
            return self._leaving.failed(scope, known, turn)
        self._leaving.fault(scope, known, turn)
        self.close(scope.round, turn)

    def _erase(self, label: str, turn: Turn) -> None:
        # After the commit, and again at the next start if this process ends before: an erased key is never needed.
        turn.run(f"erase/{label}", lambda: self._keys.erase(label))
