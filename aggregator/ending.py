"""How attempts ended, told with the log entry that says so: results, aborts, and answers to members who ask.

How to read it: `closed` and `aborted` take the end of an attempt, `published` tells what waited for its log entry.
`word` takes a trustee's word that an attempt is over for it. `asked` answers a member who signed a header and heard no
end of it. Rules (protocol §6.5): an end is told only once it is in a published checkpoint, because nothing else lifts
an input from a ledger. Where trustees open, nodes are told with the words of those trustees, or without when they do
not come within a step. What is told is the log's own entry, so nobody has to be believed.
Leaves to others: what comes next (aggregator.schedule), judging any of it (the nodes, the trustees).
"""

from collections.abc import Callable

from msgspec import UNSET

from aggregator import records
from aggregator.desk import Desk
from aggregator.presence import Presence
from aggregator.records import WHOLE, Agreed, Job, Outcome
from secagg.crypto.derive import sha256
from secagg.daemon.turn import Turn
from secagg.errors import BadInput, NotAuthorised, ProtocolViolation
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.protocol.custody import words_needed
from secagg.protocol.round.messages import Ended
from secagg.protocol.round.phases import Common
from secagg.protocol.session import AbortNotice, AskRound, FrozenNotice, ResultNotice, RoundHeader
from secagg.transport.link import Received
from secagg.wire.codec import decode, decode_exact, encode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Scope, Signed, open_signed

Sending = Callable[[str, str, bytes, bytes], object]
"""How a member is told: `turn.send`, until it acknowledges, or `turn.emit`, once."""

WORDS = "words"
"""How the name of the timer begins that waits for trustees' words about an attempt."""

_UNTOLD, _ASKED = "untold/", b"asked"
"""Where the ends lie that members were not told yet, and what lies there once trustees were."""


class Endings:
    """What became of every attempt, as far as somebody may still ask."""

    def __init__(self, desk: Desk, presence: Presence) -> None:
        self._desk, self._presence = desk, presence

    def start(self, turn: Turn) -> None:
        """Take up after a restart what was not told."""
        for outcome in self._untold(turn):
            self._wait_for_words(outcome, turn)
        self.published(turn)

    def closed(self, outcome: Outcome, job: Job, turn: Turn) -> None:
        """Keep a result, whose entry is published, and tell everybody."""
        records.put_outcome(turn, outcome)
        records.put_attempt(turn, outcome)
        for party in job.parties:
            self.tell(outcome, party, _size(party, self._desk, turn), turn, self._desk.sending(turn))

    def aborted(self, outcome: Outcome, turn: Turn) -> None:
        """Keep an end without a result; it is told once its entry is published."""
        if outcome.lost_round:
            records.put_outcome(turn, outcome)
        records.put_attempt(turn, outcome)
        turn.put(f"{_UNTOLD}{outcome.round.label()}", b"")
        self._wait_for_words(outcome, turn)
        self.published(turn)

    def waits(self, job: str, turn: Turn) -> bool:
        """Say whether an end of this job is still to be told: until then nothing follows it."""
        return any(outcome.round.job == job for outcome in self._untold(turn))

    def published(self, turn: Turn) -> None:
        """Tell the ends whose entries are published by now."""
        for outcome in self._untold(turn):
            if self._desk.book.published <= outcome.entry:
                continue
            job = records.get_job(turn, outcome.round.job)
            if job.spec.custody is UNSET:
                self._tell_members(outcome, job, turn)
                continue
            key = f"{_UNTOLD}{outcome.round.label()}"
            if turn.get(key) != _ASKED:
                turn.put(key, _ASKED)
                for party in job.spec.custody.names():
                    self._tell(outcome, party, turn, self._desk.sending(turn))
            if len(self._words(outcome, turn)) >= words_needed(job.spec.custody):
                self._tell_members(outcome, job, turn)

    def word(self, message: Received, turn: Turn) -> None:
        """Take a trustee's word that an attempt is over for it.

        Raises: ProtocolViolation or BadSignature when it is not one.
        """
        signed, about = decode(Signed, message.body), decode(RoundHeader, message.header).round
        if signed.sender != message.sender:
            raise ProtocolViolation(f"{message.sender} sends a word of {signed.sender}.", rule="intake.sender")
        outcome = records.find_attempt(turn, about)
        if outcome is not None and outcome.lost and _says(signed, outcome, turn):
            # Also when the members were told already: those who could not go on with fewer words ask again.
            turn.put(f"word/{outcome.round.label()}/{signed.sender}", message.body)
            self.published(turn)

    def overdue(self, label: str, turn: Turn) -> None:
        """Tell the members how an attempt ended, with the words that came."""
        for outcome in self._untold(turn):
            if outcome.round.label() == label and self._desk.book.published > outcome.entry:
                self._tell_members(outcome, records.get_job(turn, outcome.round.job), turn)

    def asked(self, message: Received, turn: Turn) -> None:
        """Answer how an attempt ended: with its `Aborted`, or with the set that was frozen and agreed to.

        Raises: BadInput for an attempt that has not ended; NotAuthorised for a stranger to it.
        """
        asked = decode(AskRound, message.body)
        outcome = records.find_attempt(turn, asked.round)
        if outcome is None or turn.get(f"{_UNTOLD}{asked.round.label()}") is not None:
            raise BadInput(f"{message.sender} asks of a round that has not ended.", "It is not answered.")
        if message.sender not in records.get_job(turn, asked.round.job).spec.cohort:
            raise NotAuthorised(f"{message.sender} is no member of the round that it asks of.")
        size = asked.log_size if asked.log_size <= self._desk.book.published else 0
        if not self._presence.may_tell(message.sender, f"end {asked.round.label()}"):
            return
        if outcome.lost:
            turn.emit(message.sender, "aborted", b"", encode(self._notice(outcome, size, turn)))
        else:
            turn.emit(message.sender, "frozen", b"", encode(self._frozen(outcome, size, turn)))

    def tell(self, outcome: Outcome, member: str, size: int, turn: Turn, send: Sending) -> None:
        """Tell a party how a round ended, once in a while."""
        if not self._presence.may_tell(member, outcome.round.label()):
            return
        if outcome.lost:
            if self._desk.book.published > outcome.entry:
                send(member, "aborted", b"", encode(self._notice(outcome, size, turn)))
            return
        book = self._desk.book
        proof = book.leaf(outcome.entry), book.prove(outcome.entry, size)
        result = ResultNotice(outcome.round, outcome.published, outcome.length, outcome.salt, *proof)
        if member not in records.get_job(turn, outcome.round.job).spec.cohort:
            # A trustee has to know that the round is over, and has no business with the sum.
            result = ResultNotice(outcome.round, NO_DIGEST, 0, NO_DIGEST, *proof)
        send(member, "result", b"", encode(result))

    # Inside ----------------------------------------------------------------------------------------------------------

    def _tell(self, outcome: Outcome, party: str, turn: Turn, send: Sending) -> None:
        send(party, "aborted", b"", encode(self._notice(outcome, _size(party, self._desk, turn), turn)))

    def _tell_members(self, outcome: Outcome, job: Job, turn: Turn) -> None:
        turn.delete(f"{_UNTOLD}{outcome.round.label()}")
        turn.cancel(f"{WORDS}/{outcome.round.label()}")
        for member in job.spec.cohort:
            self._tell(outcome, member, turn, self._desk.sending(turn))

    def _wait_for_words(self, outcome: Outcome, turn: Turn) -> None:
        spec = records.get_job(turn, outcome.round.job).spec
        if spec.custody is not UNSET:
            turn.after(f"{WORDS}/{outcome.round.label()}", spec.step_ms / 1000)

    def _notice(self, outcome: Outcome, size: int, turn: Turn) -> AbortNotice:
        book = self._desk.book
        leaf, proof = book.leaf(outcome.entry), book.prove(outcome.entry, size)
        return AbortNotice(outcome.round, leaf, proof, self._words(outcome, turn))

    def _frozen(self, outcome: Outcome, size: int, turn: Turn) -> FrozenNotice:
        agreed, book = records.find_agreed(turn, outcome.round), self._desk.book
        if agreed is None:
            raise BadInput("The set of a round is not kept.", "It is not answered.")
        leaf, proof = book.leaf(agreed.entry), book.prove(agreed.entry, size)
        manifest, before, frozen, signatures = (self._file(one) for one in agreed.files)
        agreements = decode(tuple[Signed, ...], signatures, LIMIT_LIST)
        signed = decode(Signed, manifest, LIMIT_BULK)
        return FrozenNotice(outcome.round, signed, leaf, proof, before, frozen, agreements)

    def _file(self, digest: bytes) -> bytes:
        return (self._desk.files / digest.hex()).read_bytes() if digest != NO_DIGEST else b""

    def _words(self, outcome: Outcome, turn: Turn) -> tuple[Signed, ...]:
        return tuple(decode(Signed, kept) for _, kept in turn.scan(f"word/{outcome.round.label()}/"))

    def _untold(self, turn: Turn) -> list[Outcome]:
        labels = (key.removeprefix(_UNTOLD) for key, _ in turn.scan(_UNTOLD))
        return [decode(Outcome, kept, WHOLE) for label in labels if (kept := turn.get(f"attempt/{label}"))]


def keep_agreed(phase: Common, lists: tuple[bytes, bytes, tuple[Signed, ...]], entry: int, turn: Turn) -> None:
    """Keep which set of an attempt was agreed to, for members that ask afterwards; `entry` is that of its freeze."""
    before, frozen, agreements = lists
    listed = sha256(before) if before else NO_DIGEST
    files = (sha256(encode(phase.signed)), listed, sha256(frozen), sha256(encode(agreements)))
    records.put_agreed(turn, phase.scope.round, Agreed(entry, files))


def _size(party: str, desk: Desk, turn: Turn) -> int:
    """Return the log size that a party holds, by its last word; never more than is published."""
    size = records.held(turn, party)
    return size if size <= desk.book.published else 0


def _says(signed: Signed, outcome: Outcome, turn: Turn) -> bool:
    """Say whether a word is a trustee's about exactly this attempt. Raises: BadSignature; WireError."""
    custody = records.get_job(turn, outcome.round.job).spec.custody
    if custody is UNSET or signed.sender not in custody.names():
        return False
    scope = Scope(outcome.round, outcome.manifest)
    # One that is none would have every node refuse the words of all the others.
    decode_exact(Ended, open_signed(signed, custody.seat(signed.sender).key, "Ended", scope, EVERYBODY))
    return True
