"""The rounds this trustee judges: the aggregator's messages into the state machine, its phase saved, its answers out.

How to read it: what every member does is in secagg.daemon.participant. `_judge` enters a round, `finished` brings what
was done for it, `close` ends it, `aborted` one that the log says has no result.
Rules: a decision is in the journal, on disk, before any work on it begins, and is made once for each (job, round). An
answer is recorded and repeated byte for byte, also after a restart, until the round is over.
Leaves to others: what is legal (the engine's opener), fetching and decrypting (opening).
"""

from contextlib import suppress

from keyserver.trustee import records
from keyserver.trustee.opening import DECRYPT, ELSEWHERE, MULTIPLY, Work
from keyserver.trustee.records import Evidence
from keyserver.trustee.store import Store
from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.daemon import participant
from secagg.daemon.following import Follower
from secagg.daemon.ledger import Ledger
from secagg.daemon.lies import require_trust
from secagg.daemon.membership import Standing
from secagg.daemon.participant import Round, all_rounds, find_round
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation, Refused, TryLater
from secagg.events import members as told
from secagg.events.line import place
from secagg.ids import RoundId
from secagg.log.witness import LogProof
from secagg.protocol.engines import opener_of
from secagg.protocol.manifest import Manifest, Seat
from secagg.protocol.round.asked import Stage
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.trustees import TrusteeContext, TrusteeExpectation, end
from secagg.roster.members import Roster
from secagg.transport.link import Received
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, Signed

AGAIN = "opening"
"""Timer: what failed beside the loop is tried again."""

CONTRADICTED = "the aggregator asked to open this round, and then stated that it ended without a result"
"""What the evidence shows that is kept of an attempt which was decided and then aborted."""

PAUSE = 5.0
"""Seconds until work that failed for no fault of the uploads is tried again."""


class Rounds(participant.Rounds):
    """Every round that is not over."""

    def __init__(
        self, name: str, key: SigningKey, rng: Rng, follower: Follower, store: Store, work: Work
    ) -> None:  # fmt: skip
        super().__init__(name, key, rng, follower)
        self._store, self._work = store, work

    def start(self, turn: Turn) -> None:
        """Take up every round after a restart; `pursue` follows once this start is confirmed."""
        self._work.sweep(turn)
        for kept in all_rounds(turn):
            self._limit(kept, turn)

    # Events ----------------------------------------------------------------------------------------------------------

    def pursue(self, turn: Turn) -> None:
        """Go on with what is to be opened."""
        with suppress(TryLater):
            self._work.pursue(self._follower.aggregator(turn).name, turn)

    def piece(self, message: Received, turn: Turn) -> None:
        """Take a piece of an upload. Raises: NotAuthorised, ProtocolViolation, VerificationFailed."""
        self._work.piece(message, self._follower.sender(message, turn).name, turn)

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
            self._envelope.send(round_id, "Ended", encode(ending.word), turn)
            return
        asked = records.find_asked(turn, round_id)
        if asked and records.put_evidence(turn, Evidence(round_id, asked, leaf, proof)):
            turn.tell(told.Evidence(*place(round_id), cause=CONTRADICTED))

    def decided(self, turn: Turn) -> RoundId | None:
        """Return the round that this trustee decided to open and heard no end of: the first, if there are several."""
        kept = (one for one in all_rounds(turn) if records.stage(one) & (Stage.OPENS | Stage.ANSWERED))
        return next((one.scope.round for one in kept), None)

    # A proposal ------------------------------------------------------------------------------------------------------

    def _judge(self, propose: Propose, proposed: Manifest, scope: Scope, turn: Turn) -> None:
        self._check_roster(proposed, turn)
        try:
            require_trust(self._follower.aggregator(turn).sign_key, turn)
            relied = self._relied(proposed, turn)
            done = opener_of(proposed.engine).start(propose, self._context(relied, turn))
        except Refused as refusal:
            self._leave(scope, refusal, turn)
            return
        self.close(scope.round, turn)
        self._begin(scope, proposed, done, turn)
        turn.tell(told.Attend(*place(scope.round), members=proposed.names()))

    def _context(self, standing: Standing, turn: Turn) -> TrusteeContext:
        roster, aggregator = standing.roster(), self._follower.aggregator(turn)
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
            require_trust(self._follower.aggregator(turn).sign_key, turn)
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

    def _first(self, engine: str) -> str:
        return "Attend"

    def _stage(self, kept: Round) -> Stage:
        return records.stage(kept)

    def _end(self, kept: Round, turn: Turn) -> None:
        super()._end(kept, turn)
        self._work.end(kept.label, turn)


def _seats(roster: Roster, role: str) -> tuple[Seat, ...]:
    return tuple(Seat(one.name, one.organisation, one.sign_key) for one in roster.members if one.role == role)
