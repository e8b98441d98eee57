"""The rounds this trustee judges: the aggregator's messages into the state machine, its phase saved, its answers out.

How to read it: `message` and `finished` bring events. `_keep` saves what the machine says and sends it. `_leave` says
by which rule this trustee takes no part. `close` ends a round, `aborted` one that the log says has no result.
Rules: a decision is in the journal, on disk, before any work on it begins, and is made once for each (job, round). An
answer is recorded and repeated byte for byte, also after a restart, until the round is over.
Leaves to others: what is legal (the engine's opener), fetching and decrypting (opening).
"""

from contextlib import suppress

from msgspec.structs import replace

from keyserver.trustee import records
from keyserver.trustee.opening import DECRYPT, ELSEWHERE, MULTIPLY, Work
from keyserver.trustee.records import Evidence
from keyserver.trustee.store import Store
from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.daemon.following import Follower
from secagg.daemon.ledger import Ledger
from secagg.daemon.lies import require_trust
from secagg.daemon.membership import Standing
from secagg.daemon.participant import Refusal, Round, all_rounds, drop_round, find_round, put_refusal, put_round
from secagg.daemon.turn import Turn
from secagg.errors import NotAuthorised, ProtocolViolation, Refused, TryLater
from secagg.events import members as told
from secagg.events.line import place
from secagg.events.rounds import Step as StepEvent
from secagg.ids import EVERYBODY, RoundId
from secagg.log.witness import LogProof
from secagg.protocol import manifest as rules
from secagg.protocol import refusals
from secagg.protocol.engines import opener_of
from secagg.protocol.manifest import Manifest, Seat
from secagg.protocol.round.asked import Stage
from secagg.protocol.round.events import Step
from secagg.protocol.round.messages import Propose, Refuse
from secagg.protocol.round.trustees import TrusteeContext, TrusteeExpectation, end
from secagg.protocol.session import RoundHeader
from secagg.roster.members import Member, Roster
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Scope, Signed, sign

LIMIT, AGAIN = "limit", "opening"
"""Timers: how the name of a round's begins; what failed beside the loop is tried again."""

CONTRADICTED = "the aggregator asked to open this round, and then stated that it ended without a result"
"""What the evidence shows that is kept of an attempt which was decided and then aborted."""

PAUSE = 5.0
"""Seconds until work that failed for no fault of the uploads is tried again."""


class Rounds:
    """Every round that is not over."""

    def __init__(
        self, name: str, key: SigningKey, rng: Rng, follower: Follower, store: Store, work: Work
    ) -> None:  # fmt: skip
        self._name, self._key, self._rng = name, key, rng
        self._follower, self._store, self._work = follower, store, work
        self.behind = False

    def start(self, turn: Turn) -> None:
        """Take up every round after a restart; `pursue` follows once this start is confirmed."""
        self._work.sweep(turn)
        for kept in all_rounds(turn):
            self._limit(kept, turn)

    # Events ----------------------------------------------------------------------------------------------------------

    def aggregator(self, turn: Turn) -> Member:
        """Return the aggregator. Raises: TryLater while no roster names one."""
        with suppress(NotAuthorised):
            return self._follower.roster(turn).aggregator()
        raise TryLater("The roster names no aggregator yet.", "Wait until the operator has enrolled one.")

    def message(self, message: Received, turn: Turn) -> None:
        """Take a message of kind `round`; one of a round that is over means nothing.

        Raises: NotAuthorised for another sender than the aggregator; ProtocolViolation when it fails a check;
        VerificationFailed when a log proof does not hold.
        """
        if message.sender != self.aggregator(turn).name:
            raise NotAuthorised(f"{message.sender} sends a message of a round, which only the aggregator may.")
        header = decode(RoundHeader, message.header)
        if header.kind == "Propose":
            self._proposed(decode(Propose, message.body, LIMIT_BULK), turn)
            return
        kept = find_round(turn, header.round.label())
        if kept is not None:
            self._advance(kept, decode(Signed, message.body, LIMIT_LIST), turn)

    def aggregator_key(self, turn: Turn) -> bytes | None:
        """Return the aggregator's signing key, None while no roster names one."""
        try:
            return self.aggregator(turn).sign_key
        except TryLater:
            return None

    def pursue(self, turn: Turn) -> None:
        """Go on with what is to be opened."""
        with suppress(TryLater):
            self._work.pursue(self.aggregator(turn).name, turn)

    def piece(self, message: Received, turn: Turn) -> None:
        """Take a piece of an upload. Raises: NotAuthorised, ProtocolViolation, VerificationFailed."""
        aggregator = self.aggregator(turn).name
        if message.sender != aggregator:
            raise NotAuthorised(f"{message.sender} sends a piece, which only the aggregator may.")
        self._work.piece(message, aggregator, turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Take what was done beside the loop for a round; for one that is over it means nothing."""
        kind, _, rest = name.partition("/")
        label = rest.partition("/")[0]
        kept = find_round(turn, label)
        if kept is None or outcome == ELSEWHERE:
            return
        if isinstance(outcome, ProtocolViolation):
            refusal = Refused(outcome.cause, outcome.remedy, rule=outcome.rule)
            self._leave(kept.scope, refusal, turn)
        elif isinstance(outcome, BaseException):
            turn.tell(told.Fail(*place(kept.scope.round), cause=str(outcome), step="Decrypt"))
            turn.after(AGAIN, PAUSE)
            return
        elif kind == DECRYPT:
            self._advance(kept, outcome, turn)
            self._work.end(label, turn)
        elif kind == MULTIPLY:
            turn.tell(told.Multiply(*place(kept.scope.round), missing=tuple(self._work.missing(label))))
        self.pursue(turn)

    def overdue(self, label: str, turn: Turn) -> None:
        """End a round whose time is over."""
        kept = find_round(turn, label)
        if kept:
            turn.tell(told.Overdue(*place(kept.scope.round)))
            self._end(kept, turn)

    def close(self, round_id: RoundId, turn: Turn) -> None:
        """End a round, its earlier attempts and the job's earlier rounds, of which nothing more is wanted.

        A job goes on with its next round only when the last one is over; word of that may never have come.
        """
        for held in all_rounds(turn):
            found = held.scope.round
            same = (found.federation, found.job, found.group) == (round_id.federation, round_id.job, round_id.group)
            if same and (found.round, found.attempt) <= (round_id.round, round_id.attempt):
                self._end(held, turn)

    def aborted(self, round_id: RoundId, leaf: bytes, proof: LogProof, turn: Turn) -> None:
        """Take a logged end of an attempt: say that it is over here too, or keep that it was to be opened.

        Raises: VerificationFailed when it is none, or not in the log that this trustee knows.
        """
        ending = end(leaf, proof, round_id, self._context(self._follower.standing(turn), turn))
        Ledger(turn).add(ending.records)
        if ending.word is not None:
            self._send(round_id, "Ended", encode(ending.word), turn)
            return
        asked = records.find_asked(turn, round_id)
        if asked and records.put_evidence(turn, Evidence(round_id, asked, leaf, proof)):
            turn.tell(told.Evidence(*place(round_id), cause=CONTRADICTED))

    def decided(self, turn: Turn) -> RoundId | None:
        """Return the round that this trustee decided to open and heard no end of: the first, if there are several."""
        kept = (one for one in all_rounds(turn) if records.stage(one) & (Stage.OPENS | Stage.ANSWERED))
        return next((one.scope.round for one in kept), None)

    def abandon(self, turn: Turn) -> None:
        """Leave every round without a word: this is an old copy."""
        for kept in all_rounds(turn):
            self._end(kept, turn)

    # A proposal ------------------------------------------------------------------------------------------------------

    def _proposed(self, propose: Propose, turn: Turn) -> None:
        proposed = decode(Manifest, propose.manifest.body, LIMIT_BULK)
        scope = Scope(round=proposed.round, manifest=rules.digest(propose.manifest.body))
        kept = find_round(turn, proposed.round.label())
        if kept and kept.scope == scope:
            if Stage.JOINED in records.stage(kept):
                self._send(scope.round, "Attend", kept.answer, turn)
            return
        if any((entry.round, entry.manifest) == (scope.round, scope.manifest) for entry in Ledger(turn).accepted()):
            # Entered before and left: it is not entered again.
            return
        if proposed.roster_version > self._follower.roster(turn).version:
            # In memory, because this turn is rolled back: the next word of presence asks for it.
            self.behind = True
            raise TryLater(
                f"The round relies on roster version {proposed.roster_version}, which is not here yet.",
                "It is asked for; the proposal comes again.",
            )
        try:
            require_trust(self.aggregator(turn).sign_key, turn)
            relied = self._follower.relied(proposed.roster_version, turn)
            done = opener_of(proposed.engine).start(propose, self._context(relied, turn))
        except Refused as refusal:
            self._leave(scope, refusal, turn)
            return
        self.close(scope.round, turn)
        until = turn.now() + -(-proposed.round_ms // 1000)
        begun = Round(scope, proposed.engine, answer=done.send[0][1], until=until)
        self._keep(begun, done, turn)
        self._limit(begun, turn)
        turn.tell(told.Attend(*place(scope.round), members=proposed.names()))

    def _context(self, standing: Standing, turn: Turn) -> TrusteeContext:
        roster, aggregator = standing.roster(), self.aggregator(turn)
        expect = TrusteeExpectation(
            me=self._name, federation=roster.federation, aggregator=aggregator.name,
            aggregator_key=aggregator.sign_key, log_origin=f"{roster.federation}/rounds",
            directory_origin=f"{roster.federation}/directory", directory_key=standing.log_key(),
            roster_version=roster.version, roster=standing.digest(), seats=_seats(roster, "node"),
            trustees=_seats(roster, "trustee"), colluders=roster.limits.colluders,
            keys=tuple(sha256(key) for key in self._store.public_keys()), directory=standing.checkpoint(),
        )  # fmt: skip
        return TrusteeContext(self._name, self._key, self._rng, Ledger(turn), expect, turn.now())

    # The machine -----------------------------------------------------------------------------------------------------

    def _advance(self, kept: Round, event: object, turn: Turn) -> None:
        try:
            require_trust(self.aggregator(turn).sign_key, turn)
            ctx = self._context(self._follower.standing(turn), turn)
            done = records.opener(kept).advance(records.read(kept), event, ctx)
        except Refused as refusal:
            self._leave(kept.scope, refusal, turn)
            return
        self._keep(kept, done, turn)
        if Stage.OPENS in records.opener(kept).stage(done.phase) and isinstance(event, Signed):
            records.put_asked(turn, kept.scope.round, event)
            summed = tuple(records.opener(kept).decided(done.phase).contributors)
            turn.tell(told.Decide(*place(kept.scope.round), contributors=summed))
            # In a turn of its own: the decision is on disk when work on it begins.
            turn.after(AGAIN, 0)

    def _keep(self, kept: Round, done: Step[object], turn: Turn) -> None:
        """Save the phase and what must be remembered, then send: both in this turn, in this order."""
        Ledger(turn).add(done.records)
        put_round(turn, replace(kept, phase=encode(done.phase), since=turn.now()))
        for kind, data in done.send:
            self._send(kept.scope.round, kind, data, turn)
            turn.tell(StepEvent(*place(kept.scope.round), step=kind, state="sent"))

    def _limit(self, kept: Round, turn: Turn) -> None:
        """Let the round end by itself; a restart never makes it longer."""
        turn.after(f"{LIMIT}/{kept.label}", max(1.0, kept.until - turn.now()))

    def _send(self, round_id: RoundId, kind: str, data: bytes, turn: Turn) -> None:
        turn.send(self.aggregator(turn).name, "round", encode(RoundHeader(round_id, kind)), data)

    def _end(self, kept: Round, turn: Turn) -> None:
        drop_round(turn, kept)
        turn.cancel(f"{LIMIT}/{kept.label}")
        self._work.end(kept.label, turn)

    def _leave(self, scope: Scope, refusal: Refused, turn: Turn) -> None:
        """Take no part, and say by which rule, here and to the aggregator."""
        put_refusal(turn, Refusal(scope.round, refusal.rule, refusal.cause, refusal.remedy))
        why = (refusal.rule, refusal.cause, refusal.remedy)
        turn.tell(told.Refuse(*place(scope.round), *why))
        refuse = encode(Refuse(refusals.named(refusal)))
        signed = sign(self._key, "Refuse", scope, self._name, EVERYBODY, refuse)
        self._send(scope.round, "Refuse", encode(signed), turn)
        held = find_round(turn, scope.round.label())
        if held and held.scope == scope:
            self._end(held, turn)


def _seats(roster: Roster, role: str) -> tuple[Seat, ...]:
    return tuple(Seat(one.name, one.organisation, one.sign_key) for one in roster.members if one.role == role)
