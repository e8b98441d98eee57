"""What those who watch are told about a round: who did what in which step, who is waited for, who dropped.

Rules: plain JSON values; participation is for members and auditors, never with anything that depends on data.
Leaves to others: when something is told (aggregator.rounds, aggregator.schedule).
"""

import msgspec

from secagg.daemon.turn import Turn
from secagg.ids import RoundId
from secagg.protocol.round.phases import Out

PRESENCE = "presence"
"""The wait before a round: for members to say that they are here."""


def where(found: RoundId) -> dict[str, object]:
    """Return the fields that name a round in every event."""
    return {"job": found.job, "round": found.round, "attempt": found.attempt}


def step_of(found: RoundId, step: str, member: str, state: str, reason: str = "") -> dict[str, object]:
    """Return the event of a member in a step; `state` is sent, dropped or refused."""
    return {"event": "step", **where(found), "step": step, "institution": member, "state": state, "reason": reason}


def tell_wait(values: dict[str, object], turn: Turn) -> None:
    """Say who is waited for, since when and until when; it is kept, so that `status` can say it again."""
    turn.event({"event": "waiting", **values})
    turn.put("waiting", msgspec.json.encode(values))


def last_wait(step: str, turn: Turn) -> dict[str, object] | None:
    """Return what was said of the wait that goes on in this step, None when none was told."""
    kept = turn.get("waiting")
    values: dict[str, object] = msgspec.json.decode(kept) if kept else {}
    return values if values.get("step") == step else None


def dropped(out: tuple[Out, ...]) -> list[dict[str, str]]:
    """Return who dropped, in which step and why."""
    return [{"member": entry.member, "step": entry.step, "reason": entry.reason} for entry in out]
