"""The trustee as a service of the daemon's loop: every message, timer, outcome and command to the part it is for.

Rules: a decision only, on what the journal and the accepted shares hold. It follows the roster and the round log by
itself and says every two seconds that it is here and which checkpoint it holds. A proof that starts elsewhere than its
last checkpoint is no offence: it says where it stands and is told again.
Leaves to others: rounds (rounds), the roster (secagg.daemon.following), shares (store).
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from keyserver.trustee import records, rounds
from keyserver.trustee.decrypting import decrypt
from keyserver.trustee.opening import Decrypt, Work
from keyserver.trustee.requests import Status, TrusteeStatus
from keyserver.trustee.rounds import Rounds
from keyserver.trustee.store import Store
from keyserver.trustee.waiting import waiting
from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.daemon import booting, fetching, following, lies
from secagg.daemon.answers import RefusalShown
from secagg.daemon.blobs import Blobs
from secagg.daemon.booting import Booting
from secagg.daemon.following import Follower, Own
from secagg.daemon.ledger import Ledger
from secagg.daemon.lies import Lies
from secagg.daemon.membership import Pin
from secagg.daemon.participant import all_rounds, find_refusal, find_since, put_since
from secagg.daemon.requests import parse
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation, TryLater, VerificationFailed
from secagg.events.federation import Roster as ListInForce
from secagg.ids import RoundId
from secagg.log.statements import Result, open_statement
from secagg.log.witness import check
from secagg.protocol.memory import Witnessed
from secagg.protocol.session import AbortNotice, Present, ResultNotice
from secagg.roster.boot import BOOT
from secagg.roster.messages import LIE
from secagg.transport.link import KEYSERVER, Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK

PRESENT = "present"
EVERY = 2.0
"""Seconds between two words that this trustee is here."""


class TrusteeService:
    """The role `trustee` of one organisation."""

    def __init__(
        self, name: str, key: SigningKey, pin: Pin, state_dir: Path, storage: Secret, rng: Rng,
        decrypt: Decrypt = decrypt,
    ) -> None:  # fmt: skip
        self._store = Store(state_dir, storage, rng)
        self._follower = Follower(Own(name, "trustee", key.public), pin)
        self._booting = Booting(name, key, self._follower, rng)
        self._work = Work(name, Blobs(state_dir / "blobs"), state_dir, storage, decrypt)
        self._rounds = Rounds(name, key, rng, self._follower, self._store, self._work)
        self._lies = Lies(Blobs(state_dir / "evidence"), self._rounds.aggregator_key)
        self._handlers: Mapping[str, Callable[[Received, Turn], None]] = {
            "roster": self._roster,
            "round": self._round,
            "piece": self._piece,
            LIE: self._lies.pushed,
            "result": self._result,
            "aborted": self._aborted,
            BOOT: self._boot,
        }

    def start(self, turn: Turn) -> None:
        """Take up what was kept."""
        if not find_since(turn):
            put_since(turn)
        self._rounds.start(turn)
        self._lies.pursue(turn)
        # Also after a restart: a roster may have changed while nobody listened.
        self._follower.ask(turn)
        self._booting.start(turn)
        self._present(turn)

    def receive(self, message: Received, turn: Turn) -> None:
        """Handle a message.

        Raises: TryLater when it needs a roster that is still on its way. ProtocolViolation, BadSignature, WireError,
        VerificationFailed or NotAuthorised when it is not to be believed.
        """
        handle = self._handlers.get(message.kind)
        if handle is None:
            raise ProtocolViolation(
                f"{message.sender} sends a {message.kind}.", "It is discarded.", rule="message.kind"
            )
        try:
            handle(message, turn)
            self._booting.tell(turn)
        except VerificationFailed as error:
            if error.code != "E-BEHIND":
                raise
            self._say_present(turn)

    def wake(self, name: str, turn: Turn) -> None:
        """Handle a timer."""
        match name:
            case "present":
                self._present(turn)
            case booting.TIMER:
                self._booting.ask(turn)
            case following.TIMER:
                self._follower.ask(turn)
            case lies.TIMER:
                self._lies.pursue(turn)
            case fetching.TIMER | rounds.AGAIN:
                self._pursue(turn)
            case _:
                self._rounds.overdue(name.removeprefix(f"{rounds.LIMIT}/"), turn)
                self._pursue(turn)

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Handle the outcome of work."""
        if name.partition("/")[0] == lies.WORK:
            self._lies.finished(name, outcome, turn)
        else:
            self._rounds.finished(name, outcome, turn)

    def command(self, request: dict[str, object], turn: Turn) -> TrusteeStatus:
        """Answer a person at the admin socket. Raises: BadInput for a command there is not."""
        parse(request, Status, "trustee")
        known, kept = self._follower.known(turn), all_rounds(turn)
        keys, refusal = self._store.public_keys(), find_refusal(turn)
        missing = tuple(name for one in kept for name in self._work.missing(one.label))
        boot = booting.standing(turn)
        waits = waiting(
            known, boot.state if boot else "asking", len(keys), kept, missing, find_since(turn)
        )
        return TrusteeStatus(
            roster=self._follower.roster(turn).version if known else None,
            keys=tuple(sha256(key).hex() for key in keys),
            rounds={one.label: type(records.read(one)).__name__ for one in kept},
            opened=len(Ledger(turn).opened()),
            waiting=tuple(waits),
            evidence=tuple(entry.round.label() for entry in records.all_evidence(turn)),
            refused=RefusalShown(refusal.round.label(), refusal.rule, refusal.cause, refusal.remedy)
            if refusal else None,
        )  # fmt: skip

    # Messages --------------------------------------------------------------------------------------------------------

    def _piece(self, message: Received, turn: Turn) -> None:
        (self._lies if message.sender == KEYSERVER else self._rounds).piece(message, turn)

    def _roster(self, message: Received, turn: Turn) -> None:
        roster = self._follower.take(message, turn)
        if roster is not None:
            turn.tell(ListInForce(roster.version, len(roster.members)))
            put_since(turn)
            self._booting.ask(turn)
            self._say_present(turn)
            self._pursue(turn)

    def _boot(self, message: Received, turn: Turn) -> None:
        """Hear whether this is the newest start of this trustee; what is fenced leaves its rounds."""
        if not self._booting.take(message, turn):
            return
        if not booting.held(turn):
            self._rounds.abandon(turn)
        put_since(turn)
        self._say_present(turn)
        self._pursue(turn)

    def _round(self, message: Received, turn: Turn) -> None:
        """Take a message of a round, once it is certain that this is the newest start of this trustee."""
        self._booting.require(turn)
        self._rounds.message(message, turn)

    def _pursue(self, turn: Turn) -> None:
        """Go on with what is to be opened, once it is certain that nobody else does."""
        if booting.held(turn):
            self._rounds.pursue(turn)

    def _result(self, message: Received, turn: Turn) -> None:
        """Take word that a round has a result: its log entry is witnessed, its answer not repeated any more."""
        notice = decode(ResultNotice, message.body, LIMIT_BULK)
        aggregator = self._rounds.aggregator(turn)

        def key_of(signer: str) -> bytes:
            if signer != aggregator.name:
                raise VerificationFailed(f"{signer} signed a result, which only the aggregator may.", "Ask it.")
            return aggregator.sign_key

        statement, _ = open_statement(notice.leaf, key_of)
        if not isinstance(statement, Result) or _round_of(statement) != notice.round:
            raise VerificationFailed("The log entry is not of this round's result.", "Ask the aggregator.")
        ledger, origin = Ledger(turn), f"{notice.round.federation}/rounds"
        seen = check(notice.leaf, notice.proof, origin, aggregator.sign_key, ledger.last(origin))
        ledger.add([Witnessed(origin=seen.origin, size=seen.size, root=seen.root)])
        records.drop_asked(turn, notice.round)
        self._close(notice.round, turn)

    def _aborted(self, message: Received, turn: Turn) -> None:
        """Take word that a round ended without a result; with its log entry, say that it is over here too."""
        self._booting.require(turn)
        notice = decode(AbortNotice, message.body, LIMIT_BULK)
        self._rounds.aborted(notice.round, notice.leaf, notice.proof, turn)
        self._close(notice.round, turn)

    def _close(self, round_id: RoundId, turn: Turn) -> None:
        self._rounds.close(round_id, turn)
        put_since(turn)
        self._say_present(turn)
        self._pursue(turn)

    def _present(self, turn: Turn) -> None:
        turn.after(PRESENT, EVERY)
        if self._rounds.behind:
            self._rounds.behind = False
            self._follower.ask(turn)
        self._say_present(turn)

    def _say_present(self, turn: Turn) -> None:
        """Tell the aggregator that this trustee is here and which checkpoint it holds, if it can open anything.

        Not before it is certain that this is its newest start: a restored backup forgot what it decided.
        """
        if not self._store.public_keys() or not booting.held(turn):
            return
        # There may be no roster yet, or no aggregator in it.
        with suppress(TryLater):
            aggregator = self._rounds.aggregator(turn)
            last = Ledger(turn).last(f"{self._follower.roster(turn).federation}/rounds")
            open_ = self._rounds.decided(turn)
            said = Present(last.size if last else 0, *((open_.job, open_.round) if open_ else ()))
            turn.emit(aggregator.name, "present", b"", encode(said))



def _round_of(statement: Result) -> RoundId:
    return RoundId(statement.federation, statement.job, statement.round, statement.attempt, statement.group)
