"""What every member that takes part in rounds does whatever its role, a node or a trustee: its service, its rounds.

How to read it: the first part is what such a member keeps. `Envelope` is what it says in a round. `Rounds` takes the
aggregator's messages, `_keep` saves what the machine says and sends it. `_leave` says by which rule this member takes
no part. `Participant` is the service: it follows the roster, asks for its epoch, and says that it is here.
Rules: a round lies under its label until it is over, so that a role may be in several. An attempt that was left is not
entered again. A proof that starts from another checkpoint than this member's last is no offence: it says where it
stands and is told again. Leaves to others: judging a proposal, what a phase is, work (the roles); the roster
(secagg.daemon.following), the epoch (secagg.daemon.booting).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.daemon import booting, following, lies
from secagg.daemon.blobs import Blobs
from secagg.daemon.booting import Booting
from secagg.daemon.following import Follower, Own
from secagg.daemon.ledger import Ledger
from secagg.daemon.lies import Lies
from secagg.daemon.membership import Pin, Standing
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation, Refused, TryLater, VerificationFailed
from secagg.events import members as told
from secagg.events.federation import Roster as ListInForce
from secagg.events.line import place
from secagg.events.rounds import Step as StepEvent
from secagg.ids import EVERYBODY, Count, Name, RoundId
from secagg.protocol import manifest as rules
from secagg.protocol import refusals
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.asked import Stage
from secagg.protocol.round.events import Step
from secagg.protocol.round.messages import Propose, Refuse
from secagg.protocol.session import RoundHeader
from secagg.roster.boot import BOOT
from secagg.roster.messages import LIE
from secagg.transport.link import KEYSERVER, Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Scope, Signed, sign

PRESENT, LIMIT = "present", "limit"
"""Timers: the next word of presence; how the name of the one begins that ends a round."""

EVERY = 2.0
"""Seconds between two words that this member is here."""

WHOLE = 2**40
"""Limit for values that this daemon wrote itself."""

_ROUND, _REFUSAL, _SINCE = "round/", "refusal", "since"


class Round(Struct, frozen=True, forbid_unknown_fields=True):
    """A round this member is in: its engine, its phase encoded, and the first answer, to be repeated.

    A role whose phases hold secrets keeps them sealed. `manifest` is there where the work of the round is asked for
    again after a restart. `since` is when the phase began, `until` when the round ends by itself (wall time, unix
    seconds), and `lasts` how long it may take (milliseconds).
    """

    scope: Scope
    engine: Name
    phase: bytes = b""
    answer: bytes = b""
    manifest: bytes = b""
    since: Count = 0
    until: Count = 0
    lasts: Count = 0

    @property
    def label(self) -> str:
        """Return the round's label."""
        return self.scope.round.label()


class Refusal(Struct, frozen=True, forbid_unknown_fields=True):
    """A round this member left, or never entered, and by which of its rules."""

    round: RoundId
    rule: str
    cause: str
    remedy: str


def put_round(turn: Turn, kept: Round) -> None:
    """Keep a round."""
    turn.put(_ROUND + kept.label, encode(kept))


def find_round(turn: Turn, label: str) -> Round | None:
    """Return the round of this label, if this member is in it."""
    kept = turn.get(_ROUND + label)
    return decode(Round, kept, WHOLE) if kept else None


def all_rounds(turn: Turn) -> list[Round]:
    """Return every round that is not over."""
    return [decode(Round, kept, WHOLE) for _, kept in turn.scan(_ROUND)]


def drop_round(turn: Turn, kept: Round) -> None:
    """Keep a round no longer."""
    turn.delete(_ROUND + kept.label)


def put_refusal(turn: Turn, refusal: Refusal) -> None:
    """Keep the last refusal, for whoever asks this member."""
    turn.put(_REFUSAL, encode(refusal))


def find_refusal(turn: Turn) -> Refusal | None:
    """Return the last refusal."""
    kept = turn.get(_REFUSAL)
    return decode(Refusal, kept, WHOLE) if kept else None


def put_since(turn: Turn) -> None:
    """Keep that from now on this member waits for something else than before, outside of rounds."""
    turn.put(_SINCE, str(turn.now()).encode())


def find_since(turn: Turn) -> int:
    """Return since when (wall time) this member has waited for the same thing, outside of rounds; 0 before a start."""
    return int(turn.get(_SINCE) or b"0")


def tell(refusal: Refusal, turn: Turn) -> None:
    """Keep and tell what was refused and by which rule."""
    put_refusal(turn, refusal)
    turn.tell(told.Refuse(*place(refusal.round), rule=refusal.rule, cause=refusal.cause, remedy=refusal.remedy))


class Envelope:
    """What a member says to the aggregator in a round."""

    def __init__(self, name: str, key: SigningKey, follower: Follower) -> None:
        self._name, self._key, self._follower = name, key, follower

    def send(self, round_id: RoundId, kind: str, data: bytes, turn: Turn) -> None:
        """Send an encoded message of a round. Raises: TryLater while no roster names an aggregator."""
        turn.send(self._follower.aggregator(turn).name, "round", encode(RoundHeader(round_id, kind)), data)

    def refuse(self, scope: Scope, rule: str, turn: Turn) -> None:
        """Say to the aggregator that this member takes no part, and by which rule. Raises: as `send`."""
        signed = sign(self._key, "Refuse", scope, self._name, EVERYBODY, encode(Refuse(rule)))
        self.send(scope.round, "Refuse", encode(signed), turn)

    def refused(self, scope: Scope, refusal: Refused, turn: Turn) -> None:
        """Say by which rule, here and to the aggregator. Raises: as `send`."""
        tell(Refusal(scope.round, refusal.rule, refusal.cause, refusal.remedy), turn)
        self.refuse(scope, refusals.named(refusal), turn)


class Rounds(ABC):
    """The rounds that a member is in; `behind` once it needs a newer roster than it has."""

    def __init__(self, name: str, key: SigningKey, rng: Rng, follower: Follower) -> None:
        self._name, self._key, self._rng, self._follower = name, key, rng, follower
        self._envelope = Envelope(name, key, follower)
        self.behind = False

    def message(self, message: Received, turn: Turn) -> None:
        """Take a message of kind `round`; one of a round that this member is not in is old and means nothing.

        Raises: NotAuthorised for another sender than the aggregator; ProtocolViolation when it fails a check;
        VerificationFailed when a log proof does not hold.
        """
        self._follower.sender(message, turn)
        header = decode(RoundHeader, message.header)
        if header.kind == "Propose":
            self._proposed(decode(Propose, message.body, LIMIT_BULK), turn)
        elif kept := find_round(turn, header.round.label()):
            self._advance(kept, decode(Signed, message.body, LIMIT_LIST), turn)

    def overdue(self, label: str, turn: Turn) -> None:
        """End a round whose time is over: nobody may ask for its answers any more."""
        kept = find_round(turn, label)
        if kept:
            turn.tell(told.Overdue(*place(kept.scope.round)))
            self._end(kept, turn)

    def abandon(self, turn: Turn) -> None:
        """Leave every round without a word: this is an old copy."""
        for kept in all_rounds(turn):
            self._end(kept, turn)

    def _proposed(self, propose: Propose, turn: Turn) -> None:
        proposed = decode(Manifest, propose.manifest.body, LIMIT_BULK)
        scope = Scope(round=proposed.round, manifest=rules.digest(propose.manifest.body))
        kept = find_round(turn, proposed.round.label())
        if kept and kept.scope == scope:
            first = self._first(kept.engine)
            if first and Stage.JOINED in self._stage(kept):
                self._envelope.send(scope.round, first, kept.answer, turn)
        elif not self._left(scope, turn):
            self._judge(propose, proposed, scope, turn)

    def _left(self, scope: Scope, turn: Turn) -> bool:
        """Say whether this member entered exactly this attempt before and left it: it is not entered again."""
        accepted = self._ledger(turn).accepted()
        return any((entry.round, entry.manifest) == (scope.round, scope.manifest) for entry in accepted)

    def _check_roster(self, proposed: Manifest, turn: Turn) -> None:
        """Wait for a roster that the aggregator has already and this member has not. Raises: TryLater."""
        if proposed.roster_version > self._follower.roster(turn).version:
            # In memory, because this turn is rolled back: the next word of presence asks for it.
            self.behind = True
            raise TryLater(
                f"The round relies on roster version {proposed.roster_version}, which is not here yet.",
                "It is asked for; the proposal comes again.",
            )

    def _relied(self, proposed: Manifest, turn: Turn) -> Standing:
        """Return the roster that a manifest is held against. Raises: Refused when it has expired."""
        try:
            return self._follower.relied(proposed.roster_version, turn)
        except Refused:
            self.behind = True
            raise

    def _begin(self, scope: Scope, proposed: Manifest, done: Step[object], turn: Turn, manifest: bytes = b"") -> None:
        """Keep a round that this member takes part in, and its first answer; from now on its time runs."""
        answer, lasts = done.send[0][1] if done.send else b"", proposed.round_ms
        until = turn.now() + -(-lasts // 1000)
        begun = Round(scope, proposed.engine, answer=answer, manifest=manifest, until=until, lasts=lasts)
        self._keep(begun, done, turn)
        self._limit(begun, turn)

    def _keep(self, kept: Round, done: Step[object], turn: Turn) -> None:
        """Save the phase and what must be remembered, then send: both in this turn, in this order."""
        self._ledger(turn).add(done.records)
        put_round(turn, replace(kept, phase=self._seal(kept.label, encode(done.phase)), since=turn.now()))
        for kind, data in done.send:
            self._envelope.send(kept.scope.round, kind, data, turn)
            turn.tell(StepEvent(*place(kept.scope.round), step=kind, state="sent"))

    def _limit(self, kept: Round, turn: Turn) -> None:
        """Let a round end by itself; neither a restart nor a wall clock that was set makes it longer."""
        turn.after(f"{LIMIT}/{kept.label}", min(kept.lasts / 1000, max(1.0, kept.until - turn.now())))

    def _leave(self, scope: Scope, refusal: Refused, turn: Turn) -> None:
        """Take no part, and say by which rule, here and to the aggregator."""
        self._envelope.refused(scope, refusal, turn)
        kept = find_round(turn, scope.round.label())
        if kept and kept.scope == scope:
            self._end(kept, turn)

    def _end(self, kept: Round, turn: Turn) -> None:
        """End a round, of which nothing more is wanted."""
        drop_round(turn, kept)
        turn.cancel(f"{LIMIT}/{kept.label}")

    def _ledger(self, turn: Turn) -> Ledger:
        return Ledger(turn)

    def _seal(self, label: str, phase: bytes) -> bytes:
        """Return an encoded phase as it is kept."""
        return phase

    @abstractmethod
    def _first(self, engine: str) -> str:
        """Return the kind of the answer to a proposal, nothing when it is not repeated."""

    @abstractmethod
    def _stage(self, kept: Round) -> Stage:
        """Return what a round's phase means."""

    @abstractmethod
    def _judge(self, propose: Propose, proposed: Manifest, scope: Scope, turn: Turn) -> None:
        """Enter a round that is proposed, or leave it. Raises: TryLater when it cannot be judged yet."""

    @abstractmethod
    def _advance(self, kept: Round, event: object, turn: Turn) -> None:
        """Take one event in a round."""


class Participant(ABC):
    """The service of a member that takes part in rounds: a role adds what it hears, wakes for, computes and answers."""

    _rounds: Rounds

    def __init__(self, name: str, role: str, key: SigningKey, pin: Pin, rng: Rng, evidence: Blobs) -> None:
        self._name, self._pin = name, pin
        self._follower = Follower(Own(name, role, key.public), pin)
        self._booting = Booting(name, key, self._follower, rng)
        self._lies = Lies(evidence, self._follower.aggregator_key)
        self._handlers: dict[str, Callable[[Received, Turn], None]] = {
            "roster": self._roster, "round": self._round, "piece": self._piece, "aborted": self._aborted,
            LIE: self._lies.pushed, BOOT: self._boot,
        }  # fmt: skip

    def receive(self, message: Received, turn: Turn) -> None:
        """Handle a message.

        Raises: TryLater when it needs something that is still on its way. ProtocolViolation, BadSignature, WireError,
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
            self._say_where(turn)

    def wake(self, name: str, turn: Turn) -> None:
        """Handle a timer."""
        kind, _, label = name.partition("/")
        match kind:
            case "present":
                self._present(turn)
            case booting.TIMER:
                self._booting.ask(turn)
            case following.TIMER:
                self._follower.ask(turn)
            case lies.TIMER:
                self._lies.pursue(turn)
            case "limit":
                self._rounds.overdue(label, turn)

    def _listen(self, turn: Turn) -> None:
        """Begin to follow the federation; also after a restart, since a roster may have changed meanwhile."""
        if not find_since(turn):
            put_since(turn)
        self._follower.ask(turn)
        self._booting.start(turn)
        self._present(turn)

    def _round(self, message: Received, turn: Turn) -> None:
        """Take a message of a round, once it is certain that this is the newest start of this member."""
        self._booting.require(turn)
        self._rounds.message(message, turn)

    def _piece(self, message: Received, turn: Turn) -> None:
        (self._lies.piece if message.sender == KEYSERVER else self._fetched)(message, turn)

    def _roster(self, message: Received, turn: Turn) -> None:
        roster = self._follower.take(message, turn)
        if roster is not None:
            turn.tell(ListInForce(roster.version, len(roster.members)))
            self._booting.ask(turn)
            self._followed(turn)
            self._say_present(turn)

    def _boot(self, message: Received, turn: Turn) -> None:
        """Hear whether this is the newest start of this member; what is fenced leaves its rounds."""
        if not self._booting.take(message, turn):
            return
        if not booting.held(turn):
            self._rounds.abandon(turn)
        self._stand(turn)

    def _stand(self, turn: Turn) -> None:
        """From now on wait for something else than before, and say where this member stands."""
        put_since(turn)
        self._say_present(turn)

    def _present(self, turn: Turn) -> None:
        turn.after(PRESENT, EVERY)
        if self._rounds.behind:
            self._rounds.behind = False
            self._follower.ask(turn)
        self._say_present(turn)

    def _say_present(self, turn: Turn) -> None:
        # There may be no roster yet, or no aggregator in it.
        with suppress(TryLater):
            self._say_where(turn)

    @abstractmethod
    def _say_where(self, turn: Turn) -> None:
        """Tell the aggregator that this member is here, and where it stands. Raises: TryLater while there is none."""

    @abstractmethod
    def _followed(self, turn: Turn) -> None:
        """Go on with what waited for a roster."""

    @abstractmethod
    def _fetched(self, message: Received, turn: Turn) -> None:
        """Take a piece that does not come from the key server."""

    @abstractmethod
    def _aborted(self, message: Received, turn: Turn) -> None:
        """Take word that an attempt ended without a result."""
