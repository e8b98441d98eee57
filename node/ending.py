"""How attempts ended that this node signed a header for: what is told, what it asks, what its ledger makes of it.

How to read it: `aborted` and `frozen` take an end that the log proves. `ask` asks for the end of every attempt that has
none yet, with pauses that double. Rules (protocol §6.5): only a logged `Aborted` of exactly this attempt lifts an
input. Where trustees open, so many of them must have said the same that too few are left who could answer. A frozen set
is believed with the agreements that only one set of an attempt can have. A notice, time and the end of a job lift
nothing.
Leaves to others: what follows for the job (node.jobs), the round's keys (node.rounds), the rules (protocol.inputs).
"""

from msgspec import UNSET

from node import believing, records
from node.inputs import Inputs
from node.jobs import Jobs
from secagg.daemon.following import Follower
from secagg.daemon.ledger import Ledger
from secagg.daemon.participant import find_round
from secagg.daemon.turn import Turn
from secagg.errors import Refused, VerificationFailed
from secagg.events import members as told
from secagg.events.line import place
from secagg.ids import RoundId
from secagg.log.statements import Aborted
from secagg.protocol import engines, inputs
from secagg.protocol.acceptance import RoundLog
from secagg.protocol.inputs import Counted
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.memory import Witnessed
from secagg.protocol.session import AbortNotice, AskRound, FrozenNotice
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Scope

LONGEST = 64
"""Words of presence between two questions about one attempt, at most."""


class Endings:
    """The ends of this node's attempts."""

    def __init__(self, name: str, follower: Follower, jobs: Jobs, inputs: Inputs) -> None:
        self._name, self._follower, self._jobs, self._inputs = name, follower, jobs, inputs
        self._pauses: dict[RoundId, tuple[int, int]] = {}

    def aborted(self, message: Received, turn: Turn) -> RoundId:
        """Take the logged end of an attempt without a result; return which.

        Raises: NotAuthorised; VerificationFailed when the log does not prove it, or it is of another manifest.
        """
        notice = decode(AbortNotice, message.body, LIMIT_LIST)
        aggregator = self._follower.sender(message, turn)
        statement = self._jobs.believe(notice.leaf, notice.proof, aggregator, Aborted, turn)
        believing.require_round(statement, notice.round)
        entry = self._inputs.ledger.find(notice.round)
        if entry and entry.manifest.hex() != statement.manifest:
            raise VerificationFailed("The logged end is of another manifest than this node joined.", "Keep both.")
        if entry and self._over_for_trustees(notice, entry, turn):
            Ledger(turn, self._inputs.ledger).move(notice.round, inputs.lift)
        # Afterwards: it says to which set the next input is bound.
        self._jobs.ended_without(statement, notice.round, turn)
        return notice.round

    def frozen(self, message: Received, turn: Turn) -> None:
        """Take the set that an attempt was summed over.

        Raises: NotAuthorised; Refused, ProtocolViolation, BadSignature or VerificationFailed when it is not proven.
        """
        notice = decode(FrozenNotice, message.body, LIMIT_LIST)
        entry = self._inputs.ledger.find(notice.round)
        if entry is None or entry.state != "pending":
            return
        if digest(notice.manifest.body) != entry.manifest:
            raise VerificationFailed("The set is of another manifest than this node joined.", "Keep both.")
        manifest, scope = decode(Manifest, notice.manifest.body, LIMIT_BULK), Scope(notice.round, entry.manifest)
        aggregator = self._follower.sender(message, turn)
        known = RoundLog(aggregator.name, aggregator.sign_key, f"{notice.round.federation}/rounds")
        names, seen = engines.load(manifest.engine).member.check_frozen(
            notice.before, notice.frozen, notice.leaf, notice.proof, notice.agreements, manifest, scope, known,
            Ledger(turn).last(known.log_origin),
        )  # fmt: skip
        Ledger(turn).add((Witnessed(seen.origin, seen.size, seen.root),))
        seats = tuple(manifest.members[manifest.index(name)] for name in names)
        state = inputs.froze(entry, seats) if self._name in names else inputs.left_out(entry)
        Ledger(turn, self._inputs.ledger).move(notice.round, lambda before: state)
        turn.tell(told.Ended(*place(notice.round), state=state.state, members=names))
        self._jobs.present(turn)

    def ask(self, turn: Turn) -> None:
        """Ask how every attempt ended of which this node knows no end, but for the one that it is in."""
        waiting = [attempt for attempt in self._inputs.pending() if not find_round(turn, attempt.label())]
        self._pauses = {attempt: self._pauses.get(attempt, (0, 1)) for attempt in waiting}
        for attempt, (left, pause) in self._pauses.items():
            if left:
                self._pauses[attempt] = (left - 1, pause)
            elif self._follower.reachable(turn):
                self._pauses[attempt] = (pause, min(2 * pause, LONGEST))
                last = Ledger(turn).last(f"{attempt.federation}/rounds")
                asked = encode(AskRound(attempt, last.size if last else 0))
                turn.emit(self._follower.aggregator(turn).name, "ask-round", b"", asked)

    def _over_for_trustees(self, notice: AbortNotice, entry: Counted, turn: Turn) -> bool:
        """Say whether too few trustees are left who could open an attempt, where trustees open."""
        job = records.find_job(turn, notice.round.job)
        custody = job.spec.custody if job else UNSET
        if custody is UNSET:
            return True
        scope = Scope(notice.round, entry.manifest)
        try:
            engines.load(job.spec.engine).member.check_words(notice.words, custody, scope)  # type: ignore[union-attr]
        except Refused as few:
            turn.tell(told.Counted(*place(notice.round), rule=few.rule, cause=few.cause, remedy=few.remedy))
            return False
        return True
