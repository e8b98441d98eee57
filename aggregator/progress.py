"""What those who watch are told of a running round, and when: nothing that tells how long one institution worked.

Rules: who sent what in a step that touches no data is told at once. Of uploads only their number is told while they
come, and names at the end of the step, in the order of the roster. So is who left, because a task that fails does so
after a time of its own, and so is the log's statement of it. Who is waited for is told as it was when the step began.
Leaves to others: what happens in a round (aggregator.rounds), the events themselves (aggregator.telling).
"""

from aggregator.logbook import LogBook
from aggregator.records import Phase
from aggregator.telling import dropped, step_of, tell_wait
from aggregator.uploads import shell_of, stage_of
from secagg.daemon.turn import Turn
from secagg.events import rounds as told
from secagg.events.line import place
from secagg.log.statements import Refusal
from secagg.protocol.manifest import Manifest
from secagg.protocol.refusals import sentence
from secagg.protocol.round import stating
from secagg.protocol.round.asked import Stage
from secagg.protocol.round.events import FromNode
from secagg.protocol.round.messages import Refuse
from secagg.protocol.round.phases import Common, Out
from secagg.wire.codec import decode
from secagg.wire.signed import Signed

_SENT, _REFUSED = "sent/", "refused/"

REFUSED = "refused"
"""How the reason begins of one that left by a rule of its own."""


class Progress:
    """The running round, for those who watch."""

    def __init__(self, book: LogBook) -> None:
        self._book = book

    def sent(self, manifest: Manifest, event: FromNode, turn: Turn) -> None:
        """Tell that a member's message counts; of an upload, how many do."""
        if event.kind == "Refuse":
            return
        if event.kind != shell_of(manifest).UPLOAD:
            turn.tell(step_of(manifest.round, event.kind, event.sender, "sent"))
            return
        turn.put(f"{_SENT}{event.sender}", b"")
        count, total = len(turn.scan(_SENT)), len(manifest.members)
        turn.tell(told.Progress(*place(manifest.round), step=event.kind, count=count, total=total))

    def leaves(self, event: FromNode, turn: Turn) -> None:
        """Remember by which rule a member leaves, the first it names; it is stated and told when the step is over."""
        key = f"{_REFUSED}{event.sender}"
        if turn.get(key) is None:
            turn.put(key, decode(Refuse, decode(Signed, event.data).body).rule.encode())

    def changed(self, before: Phase | None, after: Phase, turn: Turn) -> None:
        """Tell who dropped, and at the end of a step who uploaded and who left, in the order of the roster."""
        if not isinstance(before, Common):
            return
        if type(before) is not type(after):
            self._ended(before, turn)
        for entry in after.out:
            if entry not in before.out and not entry.reason.startswith(REFUSED):
                turn.tell(step_of(before.manifest.round, entry.step, entry.member, "dropped", entry.reason))

    def _ended(self, before: Common, turn: Turn) -> None:
        manifest, shell = before.manifest, shell_of(before.manifest)
        step = shell.step_of(before) if Stage.WAITS in shell.stage(before) else ""
        for name in parties(manifest):
            if turn.get(f"{_SENT}{name}") is not None:
                turn.delete(f"{_SENT}{name}")
                turn.tell(step_of(manifest.round, shell.UPLOAD, name, "sent"))
            if rule := (turn.get(f"{_REFUSED}{name}") or b"").decode():
                turn.put(f"{_REFUSED}{name}", b"")
                said = stating.where(before.scope, turn.now())
                self._book.add(Refusal(**said, member=name, rule=rule), turn)
                turn.tell(step_of(manifest.round, step, name, "refused", sentence(rule), rule))

    def waits(self, phase: Common, turn: Turn) -> None:
        """Tell that a step has begun, or goes on after a restart."""
        step, seconds = shell_of(phase.manifest).step_of(phase), round(phase.manifest.step_ms / 1000)
        time = (turn.now(), turn.now() + seconds)
        counts = (missing(phase), phase.manifest.needed)
        tell_wait(told.Waiting(*place(phase.manifest.round), step, awaited(phase), *counts, *time), turn)

    def over(self, turn: Turn) -> None:
        """Forget what was remembered of a round that is over."""
        for key, _ in [*turn.scan(_SENT), *turn.scan(_REFUSED)]:
            turn.delete(key)


def parties(manifest: Manifest) -> tuple[str, ...]:
    """Return everybody who has a part in a round, in the order of the roster."""
    trustees = manifest.custody.names() if manifest.custody else ()
    return (*manifest.names(), *(name for name in trustees if name not in manifest.names()))


def awaited(phase: Common) -> tuple[str, ...]:
    """Return whom a step waits for; of one in which data is worked on, as it was when the step began."""
    shell = shell_of(phase.manifest)
    names = {*shell.waiting_for(phase), *(entry.member for entry in phase.out if _untold(phase, entry))}
    if Stage.GATHERS in shell.stage(phase):
        names |= set(shell.uploaded(phase))
    return tuple(name for name in parties(phase.manifest) if name in names)


def missing(phase: Common) -> int:
    """Return how many messages a step still waits for."""
    return len(shell_of(phase.manifest).waiting_for(phase))


def told_out(phase: Phase) -> tuple[told.Dropped, ...]:
    """Return who is out, as far as the end of a step has told it."""
    running = isinstance(phase, Common) and Stage.WAITS in stage_of(phase)
    return dropped(tuple(entry for entry in phase.out if not (running and _untold(phase, entry))))


def _untold(phase: Phase, entry: Out) -> bool:
    """Say whether somebody left in the step that is running, by a rule of its own."""
    here = isinstance(phase, Common) and entry.step == shell_of(phase.manifest).step_of(phase)
    return here and entry.reason.startswith(REFUSED)
