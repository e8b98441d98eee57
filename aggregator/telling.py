"""What those who watch are told about a round: who did what in which step, who is waited for, who dropped.

Rules: participation is for members and auditors, never with anything that depends on data.
Leaves to others: when something is told (aggregator.rounds, aggregator.schedule).
"""

import msgspec
from msgspec import UNSET

from secagg.daemon.turn import Turn
from secagg.events.fields import Sent
from secagg.events.line import place
from secagg.events.rounds import Dropped, Step, Waiting
from secagg.ids import RoundId
from secagg.protocol.round.phases import Out

PRESENCE = "presence"
"""The wait before a round: for members to say that they are here."""


def step_of(found: RoundId, step: str, member: str, state: Sent, reason: str = "", rule: str = "") -> Step:
    """Return the event of a member in a step; who was refused left by `rule`."""
    return Step(*place(found), step=step, state=state, institution=member, reason=reason, rule=rule or UNSET)


def tell_wait(waiting: Waiting, turn: Turn) -> None:
    """Say who is waited for, since when and until when; it is kept, so that `status` can say it again."""
    turn.tell(waiting)
    turn.put("waiting", msgspec.json.encode(waiting))


def last_wait(step: str, turn: Turn) -> Waiting | None:
    """Return what was said of the wait that goes on in this step, None when none was told."""
    kept = turn.get("waiting")
    waiting = msgspec.json.decode(kept, type=Waiting) if kept else None
    return waiting if waiting and waiting.step == step else None


def dropped(out: tuple[Out, ...]) -> tuple[Dropped, ...]:
    """Return who dropped, in which step and why."""
    return tuple(Dropped(entry.member, entry.step, entry.reason) for entry in out)
