"""What an aggregator that means harm makes of its own rules: it heeds no bound input, and lies about how attempts end.

How to read it: `heedless` takes out rules of the product's aggregator, for the attempts in which the machine says so.
By these it waits for a set, freezes only what fits, and lets nothing follow an end that was not told. `FalseEnds` are
the tricks on ends. Without them honest rules of the aggregator would stand before those of members and trustees, and no
seed would try these. Leaves to others: all other tricks (simulation_adversary), which of them a seed has (there).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from aggregator import bounds, records
from aggregator.bounds import Need
from secagg.crypto.sign import SigningKey
from secagg.daemon.turn import Turn
from secagg.log.statements import Aborted, sign_statement
from secagg.protocol import fitting
from secagg.protocol.binding import Bound
from secagg.protocol.fitting import Known
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import aggregator as masks
from secagg.protocol.masks.aggregator import Turned
from secagg.protocol.paillier import aggregator as entrusted
from secagg.protocol.round import stating
from secagg.protocol.round.events import Append, Send
from secagg.protocol.round.phases import Failed
from secagg.protocol.session import AbortNotice, RoundHeader
from secagg.rehearsal.federation import AGGREGATOR
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed

UNLOGGED, TOLD_TO_ONE = "an end that is in no log", "an end told to one"
UNANSWERED, OPENED_LATE = "no answer to who asks", "open after the end"
ENDS = (UNLOGGED, TOLD_TO_ONE, UNANSWERED, OPENED_LATE)
"""Tricks on how attempts end."""

LATE = frozenset({"Agreeing", "Witnessing", "Opening"})
"""Phases in which a set is frozen and not opened yet."""


class Heedless(Protocol):
    """Whoever says in which attempts nothing is heeded."""

    def heedless(self, mark: str) -> bool:
        """Say whether bound inputs mean nothing in this attempt."""
        ...


@contextmanager
def heedless(machine: Heedless) -> Iterator[None]:
    """Freeze whoever uploaded and wait for nobody, in attempts in which this machine heeds nothing."""

    def left_out(bounds: Mapping[str, Bound], manifest: Manifest, known: Known) -> dict[str, str]:
        return {} if machine.heedless(mark_of(manifest.round)) else fitting.left_out(bounds, manifest, known)

    def unknown(job: records.Job, *given: Any) -> tuple[str, ...]:
        return () if machine.heedless(job.mark) else real(job, *given)

    real = bounds.unknown
    places: tuple[tuple[Any, str, Callable[..., object]], ...] = (
        (masks, "left_out", left_out), (entrusted, "left_out", left_out), (bounds, "unknown", unknown)
    )  # fmt: skip
    before = [getattr(module, name) for module, name, _ in places]
    try:
        for module, name, function in places:
            setattr(module, name, function)
        yield
    finally:
        for (module, name, _), function in zip(places, before, strict=True):
            setattr(module, name, function)


def mark_of(round_id: Any) -> str:
    """Return what names an attempt in the aggregator's schedule."""
    return f"{round_id.job}.{round_id.round}.{round_id.attempt}"


class FalseEnds:
    """The tricks on ends of one aggregator; they outlive its lives."""

    def __init__(self, machine: Any, key: SigningKey) -> None:
        self._machine, self._key = machine, key
        self._false: dict[str, str] = {}
        self._early: dict[str, tuple[Any, str, int]] = {}
        self._kept: dict[str, list[Send]] = {}

    def reach(self, service: Any, hand: Callable[..., Any]) -> None:
        """Reach into a service: into what it waits for, and into what it says of ends."""
        schedule = service._schedule
        endings, self._book, self._membership = schedule._endings, service._book, service._membership
        schedule._need = hand(self._needs, schedule._need)
        endings.waits = hand(self._waits, endings.waits)
        endings.asked = hand(self._asked, endings.asked)
        endings.published = hand(self._published, endings.published)
        endings._notice = hand(self._notice, endings._notice)
        endings._tell_members = hand(self._tell_members, endings._tell_members)

    # What is waited for ----------------------------------------------------------------------------------------------

    def _needs(self, real: Callable[..., Need], job: records.Job, turn: Turn) -> Need:
        need = real(job, turn)
        if not need.members or not self._machine.heedless(job.mark):
            return need
        known = {member.name for member in self._membership.roster(turn).members}
        # The more are in the first sum, the more there is to be gained by the second.
        return need if need.first and known.issuperset(need.members) else Need()

    def _waits(self, real: Callable[..., bool], name: str, turn: Turn) -> bool:
        return not self._machine.heedless(records.get_job(turn, name).mark) and real(name, turn)

    # What is logged --------------------------------------------------------------------------------------------------

    def applied(self, turned: Any, before: Any, turn: Turn) -> Any:
        """Take an attempt's step before it is kept: its end may go unlogged, or be logged before it has ended."""
        after = turned.phase
        label = before.scope.round.label() if before is not None else ""
        if isinstance(after, Failed) and self._machine.tries(UNLOGGED):
            self._false[label] = self._machine.chances.choose(("silent", "foreign", "forged"))
            logged = [one for one in turned.effects if isinstance(one, Append) and isinstance(one.statement, Aborted)]
            return Turned(after, tuple(one for one in turned.effects if one not in logged))
        if type(after).__name__ in LATE and label not in self._early and self._machine.tries(TOLD_TO_ONE):
            place = self._book.add(stating.aborted(after.scope, "Unmask", "nobody knows", (), turn.now()), turn)
            names = after.manifest.names()
            self._early[label] = after.scope.round, self._machine.chances.choose(names), place
        return turned

    # What is sent, and told ------------------------------------------------------------------------------------------

    def kept_back(self, effect: Send, phase: Any) -> bool:
        """Say whether an opening is kept back from a member until its attempt is over."""
        if not self._machine.tries(OPENED_LATE):
            return False
        self._kept.setdefault(phase.scope.round.label(), []).append(effect)
        return True

    def _published(self, real: Callable[..., None], turn: Turn) -> None:
        for label, (round_id, member, place) in list(self._early.items()):
            if 0 <= place < self._book.published:
                self._early[label] = round_id, member, -1
                notice = AbortNotice(round_id, self._book.leaf(place), self._prove(place, member, turn), ())
                turn.emit(member, "aborted", b"", encode(notice))
        real(turn)

    def _prove(self, place: int, member: str, turn: Turn) -> Any:
        size = records.held(turn, member)
        return self._book.prove(place, size if size <= self._book.published else 0)

    def _asked(self, real: Callable[..., None], message: Any, turn: Turn) -> None:
        if not self._machine.tries(UNANSWERED, 0.9):
            real(message, turn)

    def _notice(self, real: Callable[..., AbortNotice], outcome: Any, size: int, turn: Turn) -> AbortNotice:
        told: AbortNotice = real(outcome, size, turn)
        label = outcome.round.label()
        # Every word that some trustee ever gave, of whatever attempt.
        words = tuple(decode(Signed, word) for _, word in turn.scan("word/")) if label in self._false else told.words
        if self._false.get(label) != "forged":
            return AbortNotice(told.round, told.leaf, told.proof, words)
        of = outcome.round
        statement = Aborted(
            federation=of.federation, time=turn.now(), job=of.job, round=of.round, attempt=of.attempt,
            group=of.group, manifest=outcome.manifest.hex(), step="Unmask", reason="nobody knows", missing=(),
        )  # fmt: skip
        return AbortNotice(told.round, sign_statement(statement, AGGREGATOR, self._key), told.proof, words)

    def _tell_members(self, real: Callable[..., None], outcome: Any, job: records.Job, turn: Turn) -> None:
        label = outcome.round.label()
        if self._false.get(label) == "silent":
            turn.delete(f"untold/{label}")
            return
        real(outcome, job, turn)
        for send in self._kept.pop(label, ()):
            turn.emit(send.to, "round", encode(RoundHeader(outcome.round, send.kind)), send.data)
