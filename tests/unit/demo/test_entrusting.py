"""A trustee of the demonstration dies once, before the step it should, and comes back after a round without it."""

from typing import Any

import pytest

from secagg.demo.entrusting import STEPS, Fate
from secagg.demo.show import TRUSTEES, parse_kill
from secagg.errors import UsageError


def event(kind: str, round: int = 2, job: str = "job", **values: str) -> dict[str, Any]:
    """Return an event of the aggregator."""
    return {"event": kind, "job": job, "round": round, **values}


def sent(step: str, round: int = 2, name: str = "ana") -> dict[str, Any]:
    """Return word that a trustee's message came."""
    return event("step", round, institution=name, step=step, state="sent")


@pytest.mark.parametrize(
    ("step", "when"), [("Attend", event("round_started")), ("Witness", sent("Attend")), ("Decrypt", sent("Witness"))]
)
def test_it_dies_once_when_the_step_before_has_happened(step: str, when: dict[str, Any]) -> None:
    fate = Fate("ana", step, "job", 2)
    others = [event("round_started", 1), event("round_started", job="other"), sent("Attend", 1), sent("Witness", 3)]
    others += [sent(name, name="ben") for name in STEPS]
    others += [event("round_closed", 3), {"event": "tick"}, {**sent("Attend"), "state": "dropped"}]
    assert [fate.due(other) for other in others] == [""] * len(others)
    assert [fate.due(when), fate.due(when), fate.due(event("round_closed"))] == ["die", "", ""]
    assert [fate.due(event("round_closed", number)) for number in (3, 4)] == ["return", ""]


def test_who_dies_is_a_hospital_or_a_trustee_by_engine() -> None:
    assert parse_kill(None, "masks") == ("hungary", "MaskedInput")
    assert parse_kill(None, "paillier") == ("registry", "Decrypt")
    assert parse_kill("ethics@Attend", "paillier") == ("ethics", "Attend")
    for wrong in ("hungary@Decrypt", "ethics@MaskedInput", "ethics", "@"):
        with pytest.raises(UsageError):
            parse_kill(wrong, "paillier")
    with pytest.raises(UsageError):
        parse_kill("ethics@Decrypt", "masks")
    assert len(TRUSTEES) == 3
