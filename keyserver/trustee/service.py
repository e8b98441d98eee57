"""The trustee as a service of the daemon's loop: every message, timer, outcome and command to the part it is for.

Rules: a decision only, on what the journal and the accepted shares hold.
Leaves to others: what every member does (secagg.daemon.participant), rounds (rounds), shares (store).
"""

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
from secagg.daemon import booting, fetching, lies
from secagg.daemon.answers import RefusalShown
from secagg.daemon.blobs import Blobs
from secagg.daemon.ledger import Ledger
from secagg.daemon.membership import Pin
from secagg.daemon.participant import LIMIT, Participant, all_rounds, find_refusal, find_since, put_since
from secagg.daemon.requests import parse
from secagg.daemon.turn import Turn
from secagg.errors import VerificationFailed
from secagg.ids import RoundId
from secagg.log.statements import Result, open_statement
from secagg.log.witness import check
from secagg.protocol.memory import Witnessed
from secagg.protocol.session import AbortNotice, Present, ResultNotice
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK


class TrusteeService(Participant):
    """The role `trustee` of one organisation."""

    _rounds: Rounds

    def __init__(
        self, name: str, key: SigningKey, pin: Pin, state_dir: Path, storage: Secret, rng: Rng,
        decrypt: Decrypt = decrypt,
    ) -> None:  # fmt: skip
        super().__init__(name, "trustee", key, pin, rng, Blobs(state_dir / "evidence"))
        self._store = Store(state_dir, storage, rng)
        self._work = Work(name, Blobs(state_dir / "blobs"), state_dir, storage, decrypt)
        self._rounds = Rounds(name, key, rng, self._follower, self._store, self._work)
        self._handlers["result"] = self._result

    def start(self, turn: Turn) -> None:
        """Take up what was kept."""
        self._rounds.start(turn)
        self._lies.pursue(turn)
        self._listen(turn)

    def wake(self, name: str, turn: Turn) -> None:
        """Handle a timer."""
        super().wake(name, turn)
        if name.partition("/")[0] in (fetching.TIMER, rounds.AGAIN, LIMIT):
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

    def _fetched(self, message: Received, turn: Turn) -> None:
        self._rounds.piece(message, turn)

    def _followed(self, turn: Turn) -> None:
        put_since(turn)
        self._pursue(turn)

    def _stand(self, turn: Turn) -> None:
        super()._stand(turn)
        self._pursue(turn)

    def _pursue(self, turn: Turn) -> None:
        """Go on with what is to be opened, once it is certain that nobody else does."""
        if booting.held(turn):
            self._rounds.pursue(turn)

    def _result(self, message: Received, turn: Turn) -> None:
        """Take word that a round has a result: its log entry is witnessed, its answer not repeated any more."""
        notice = decode(ResultNotice, message.body, LIMIT_BULK)
        aggregator = self._follower.aggregator(turn)

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
        self._stand(turn)

    def _say_where(self, turn: Turn) -> None:
        """Tell the aggregator which checkpoint this trustee holds, if it can open anything.

        Not before it is certain that this is its newest start: a restored backup forgot what it decided.
        """
        if not self._store.public_keys() or not booting.held(turn):
            return
        aggregator = self._follower.aggregator(turn)
        last = Ledger(turn).last(f"{self._follower.roster(turn).federation}/rounds")
        open_ = self._rounds.decided(turn)
        said = Present(last.size if last else 0, *((open_.job, open_.round) if open_ else ()))
        turn.emit(aggregator.name, "present", b"", encode(said))


def _round_of(statement: Result) -> RoundId:
    return RoundId(statement.federation, statement.job, statement.round, statement.attempt, statement.group)
