"""An aggregator that means harm, in a share of seeds: it tries to have inputs summed over sets that overlap.

How to read it: `MaliciousAggregator` is the aggregator's machine with hands in its own service. They are on what it is
about to save (`_apply`), to send (`_do`), to take (`_message`), to propose (`_manifest`), on how a round ends
(`_ended`). Hands on its own waiting and logging are in simulation_ends. Each hand has its tricks; a seed draws which of
them it tries, and each time whether it tries now. It holds its own keys and its own log, and what members send it;
members, trustees and key server are honest.
Leaves to others: what was really released (simulation_openings), what nodes took for right (simulation_oracles).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from aggregator import records
from aggregator.schedule import Schedule
from aggregator.uploads import shell_of
from secagg.crypto.derive import hmac_sha256
from secagg.daemon.loop import Service
from secagg.daemon.turn import Turn
from secagg.log.statements import Contributors
from secagg.protocol.manifest import GroupSum, Manifest, Published, minimum_contributors, threshold
from secagg.protocol.masks import notices
from secagg.protocol.masks.aggregator import Turned
from secagg.protocol.masks.messages import Freeze
from secagg.protocol.masks.rounds import Unmasking
from secagg.protocol.paillier.messages import Freeze as EntrustedFreeze
from secagg.protocol.round import stating
from secagg.protocol.round.events import Keep, Log, Send
from secagg.protocol.round.phases import Publishing
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Signed, sign
from support.simulation_clock import Chance
from support.simulation_ends import ENDS, OPENED_LATE, TOLD_TO_ONE, UNANSWERED, UNLOGGED, FalseEnds
from support.simulation_founding import Founded
from support.simulation_plan import Plan
from support.simulation_roles import AggregatorMachine
from support.simulation_world import World

TRICKS = (
    "drop a member at the freeze", "freeze two sets", "freeze again", "hide the freeze from a member",
    "hide the opening from a member", "deaf to a member", "abort after an answer", "abort after all answers",
    "the round again", "the round again in another group", "leave a seat out", "leave who is revoked out",
    "a lie in a lane group twice", *ENDS,
)  # fmt: skip
PLOTS = (
    ("hide the freeze from a member", UNANSWERED), ("hide the freeze from a member", UNANSWERED),
    ("hide the freeze from a member", UNANSWERED), ("abort after an answer", "hide the opening from a member"),
    ("abort after all answers", UNANSWERED), ("abort after all answers", "drop a member at the freeze"),
    ("abort after all answers", "drop a member at the freeze"), ("the round again in another group",),
    (UNLOGGED, "abort after an answer"), (TOLD_TO_ONE, OPENED_LATE),
)  # fmt: skip
"""Tricks that serve one aim together."""

_FREEZE: dict[str, Any] = {"masks": Freeze, "paillier": EntrustedFreeze}
OFTEN = (0.2, 0.5, 0.9)
"""How often a trick is tried when it could be: drawn for each trick of a seed."""

HEEDLESS = 0.8
"""In how many attempts it heeds no bound input."""


class MaliciousAggregator(AggregatorMachine):
    """An aggregator with hands in its own service."""

    honest = False

    def __init__(self, world: World, name: str, root: Path, seed: int, given: Founded) -> None:
        super().__init__(world, name, root, seed, given)
        self.chances = Chance(seed, "tricks")
        self.tricks = set(self.chances.choose(PLOTS))
        if self.chances.happens(0.5):
            self.tricks = {self.chances.choose(TRICKS) for _ in range(self.chances.choose((1, 2, 3, 5)))}
        self._often = {trick: self.chances.choose(OFTEN) for trick in TRICKS}
        self._victims: dict[tuple[str, str], str] = {}
        self._ends = FalseEnds(self, self.key)
        self._heeds: dict[str, bool] = {}
        self._groups: dict[str, int] = {}
        self._others: dict[str, tuple[int, bytes]] = {}
        self._mute: dict[str, str] = {}
        self._repeats: dict[str, int] = {}
        world.note(name, f"means harm: {sorted(self.tricks)}")

    def make(self, log: Any) -> Service:
        """Make the service, and reach into it."""
        service: Any = super().make(log)
        schedule: Schedule = service._schedule
        rounds: Any = schedule.rounds
        given: Any = schedule
        self._service, self._rounds, self._schedule = service, rounds, given
        rounds._apply = self._hand(self._applied, rounds._apply)
        rounds._do = self._hand(self._done, rounds._do)
        rounds._ended = self._hand(self._ended, rounds._ended)
        rounds.message = self._hand(self._message, rounds.message)
        given._manifest = self._hand(self._proposed, given._manifest)
        self._ends.reach(service, self._hand)
        return service  # type: ignore[no-any-return]

    def _hand(self, hand: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*given: Any) -> Any:
            try:
                return hand(real, *given)
            except (TypeError, AttributeError, KeyError) as error:
                # A hand that reaches for what is not there any more: without it, nothing would be tried.
                self.world.violate("simulator", f"{hand.__name__} {error!r}")
                raise

        return act

    def heedless(self, mark: str) -> bool:
        """Say whether bound inputs mean nothing in this attempt: drawn once."""
        if mark not in self._heeds:
            self._heeds[mark] = self.chances.happens(HEEDLESS)
        return self._heeds[mark]

    def tries(self, trick: str, often: float = 0.0) -> bool:
        """Say whether this trick is tried now."""
        tried = trick in self.tricks and self.chances.happens(often or self._often[trick])
        if tried:
            self.world.note(self.name, f"tries: {trick}")
            self.world.count[f"trick: {trick}"] += 1
        return tried

    def tries_on(self, trick: str, to: str, phase: Any) -> bool:
        """Say whether this trick is tried on this member: in every attempt on one, who is drawn."""
        if trick not in self.tricks:
            return False
        place = phase.scope.round.label(), trick
        if place not in self._victims:
            names = phase.manifest.names() if self.chances.happens(self._often[trick]) else ("",)
            self._victims[place] = self.chances.choose(names)
        return self._victims[place] == to and self.tries(trick, 1.0)

    # What is saved ---------------------------------------------------------------------------------------------------

    def _applied(self, real: Callable[..., None], turned: Any, saved: Any, before: Any, turn: Turn) -> None:
        after, engine = turned.phase, saved.engine
        if _is(after, "Freezing") and not _is(before, "Freezing"):
            turned = self._frozen(turned, engine, turn)
        elif self._gives_up(before, after):
            turned = shell_of(before.manifest).failed(before, "3 of 4 members at Unmask, 4 are needed", turn.now())
        elif isinstance(after, Publishing) and not isinstance(before, Publishing):
            turned = self._published(turned, turn)
        real(self._ends.applied(turned, before, turn), saved, before, turn)

    def _gives_up(self, before: Any, after: Any) -> bool:
        """Say whether an attempt ends now, in which something was opened."""
        if _is(after, "Opening") and after.answers:
            return self.tries("abort after an answer")
        whole = isinstance(after, Unmasking) or (_is(before, "Opening") and isinstance(after, Publishing))
        return whole and self.tries("abort after all answers")

    def _frozen(self, turned: Any, engine: str, turn: Turn) -> Any:
        if not self.tries("drop a member at the freeze"):
            return turned
        listed, phase = _set(engine), turned.phase
        fewer = self._fewer(getattr(phase, listed), phase.manifest.needed)
        phase = replace(phase, **{listed: fewer})
        log = next(effect for effect in turned.effects if isinstance(effect, Log))
        effects = (Keep(fewer), *turned.effects[:-1], Log(_statement(phase, engine, turn), log.old_sizes))
        return Turned(phase, effects)

    def _fewer(self, listed: bytes, needed: int) -> bytes:
        """Return a set without some members: mostly the smallest that is opened."""
        entries = list(decode(tuple[Signed, ...], listed, LIMIT_LIST))
        spare = max(1, len(entries) - needed)
        for _ in range(self.chances.choose((spare, spare, spare, 1, 2))):
            if len(entries) > 1:
                entries.pop(self.chances.below(len(entries)))
        return encode(tuple(entries))

    def _published(self, turned: Any, turn: Turn) -> Any:
        if not self.tries("a lie in a lane group twice"):
            return turned
        phase, true = turned.phase, turned.phase.published
        lied = tuple(GroupSum(g.name, _bent(g.words) if g.name == "update" else g.words) for g in true.groups)
        groups = self.chances.choose(((*true.groups, *lied), (*lied, *true.groups), lied))
        published = Published(true.round, true.manifest, true.contributors, groups)
        digest = hmac_sha256(phase.salt, encode(published))
        statement = stating.result(phase.scope, published, digest, turn.now())
        effects = tuple(Log(statement) if isinstance(effect, Log) else effect for effect in turned.effects)
        return Turned(replace(phase, published=published), effects)

    # What is sent ----------------------------------------------------------------------------------------------------

    def _done(self, real: Callable[..., None], effect: Any, phase: Any, turn: Turn) -> None:
        match effect:
            case Log(statement, _) if isinstance(statement, Contributors):
                self._log_another(phase, turn)
                real(effect, phase, turn)
            case Send(to, "Freeze", _):
                self._freeze(real, effect, to, phase, turn)
            case Send(_, "Open", _) if self._ends.kept_back(effect, phase):
                return
            case Send(to, "Open", _) if self.tries_on("hide the opening from a member", to, phase):
                return
            case _:
                real(effect, phase, turn)

    def _log_another(self, phase: Any, turn: Turn) -> None:
        """Log another set as frozen, before the one that the round goes on with."""
        if {"freeze two sets", "freeze again"} & self.tricks:
            engine = phase.manifest.engine
            other = replace(phase, **{_set(engine): self._fewer(getattr(phase, _set(engine)), phase.manifest.needed)})
            index = self._rounds._desk.book.add(_statement(other, engine, turn), turn)
            self._others[phase.scope.round.label()] = index, getattr(other, _set(engine))

    def _freeze(self, real: Callable[..., None], effect: Send, to: str, phase: Any, turn: Turn) -> None:
        if self.tries_on("hide the freeze from a member", to, phase):
            return
        other = self._others.get(phase.scope.round.label())
        if other is None:
            real(effect, phase, turn)
            return
        first = self.tries("freeze two sets")
        if not first:
            real(effect, phase, turn)
        if first or self.tries("freeze again"):
            index, listed = other
            book, kind = self._rounds._desk.book, _FREEZE[phase.manifest.engine]
            honest = decode(kind, decode(Signed, effect.data, LIMIT_LIST).body, LIMIT_LIST)
            told = kind(listed, book.leaf(index), book.prove(index, honest.proof.old_size))
            signed = sign(self.key, "Freeze", phase.scope, AGGREGATOR, to, encode(told))
            turn.send(to, "round", encode(RoundHeader(phase.scope.round, "Freeze")), encode(signed))

    # What is taken, and how a round ends ------------------------------------------------------------------------------

    def _message(self, real: Callable[..., None], message: Received, turn: Turn) -> None:
        header = decode(RoundHeader, message.header)
        label = header.round.label()
        if "deaf to a member" in self.tricks:
            if label not in self._mute and self.tries("deaf to a member"):
                self._mute[label] = f"{message.sender} {header.kind}"
            if self._mute.get(label) == f"{message.sender} {header.kind}":
                return
        real(message, turn)

    def _ended(self, real: Callable[..., None], phase: Any, began: int, entry: int, turn: Turn) -> None:
        round_id = phase.scope.round
        job = records.get_job(turn, round_id.job)
        group = self.tries("the round again in another group")
        if self._repeats.get(round_id.job, 0) < 3 and (group or self.tries("the round again")):
            self._repeats[round_id.job] = self._repeats.get(round_id.job, 0) + 1
            self._groups[round_id.job] = round_id.group + 1 if group else round_id.group
            for member in job.spec.cohort:
                turn.withdraw(member)
            attempt = job.attempt if group else job.attempt + 1
            self._schedule._await_members(records.put_job(turn, job, state="waiting", attempt=attempt), turn)
            return
        self._groups.pop(round_id.job, None)
        real(phase, began, entry, turn)

    def _proposed(self, real: Callable[..., Manifest], job: records.Job, turn: Turn) -> Manifest:
        known = {member.name for member in self._schedule._membership.roster(turn).members}
        left = tuple(name for name in job.spec.cohort if name in known)
        if len(left) < len(job.spec.cohort) and self.tries("leave who is revoked out", 1.0):
            job = replace(job, spec=replace(job.spec, cohort=left))
        manifest = real(job, turn)
        group = self._groups.get(job.spec.name, 0)
        if group:
            manifest = replace(manifest, round=replace(manifest.round, group=group))
        if self.tries("leave a seat out") and len(manifest.members) > 3:
            seats = list(manifest.members)
            seats.pop(self.chances.below(len(seats)))
            t, k_min = threshold(len(seats), manifest.colluders), minimum_contributors(len(seats), manifest.colluders)
            manifest = replace(manifest, members=tuple(seats), threshold=t, k_min=k_min, share_threshold=t)
        return manifest


def of_revoked(plan: Plan) -> tuple[str, ...]:
    """Return what is tried whenever somebody is revoked: of fewer seats, with one more missing."""
    if not plan.revoke or (plan.enrols_again and not plan.hurried):
        return ()
    return ("leave who is revoked out", *(("drop a member at the freeze",) if plan.hurried else ()))


def _is(phase: object, name: str) -> bool:
    """Say whether this is that phase, of whatever engine."""
    return type(phase).__name__ == name


def _set(engine: str) -> str:
    return "u3" if engine == "masks" else "u"


def _statement(phase: Any, engine: str, turn: Turn) -> Contributors:
    """State the set of a phase as frozen."""
    if engine == "masks":
        return notices.contributors(phase, turn.now())
    return stating.contributors(phase.scope, stating.contributor_list(phase.u), turn.now(), u3=phase.u)


def _bent(words: bytes) -> bytes:
    """Return other sums than these: every value doubled in its lowest byte, the canary left as it is."""
    return words[:8] + bytes(byte ^ (place % 8 == 0) for place, byte in enumerate(words[8:]))
