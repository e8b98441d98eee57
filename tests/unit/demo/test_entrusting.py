"""A trustee of the demonstration dies once, before the step it should, and comes back after a round without it."""

import pytest

from secagg.demo.entrusting import STEPS, Fate
from secagg.demo.show import TRUSTEES, parse_kill
from secagg.errors import UsageError
from secagg.events.fields import Sent
from secagg.events.line import Event
from secagg.events.rounds import RoundClosed, RoundStarted, Step


def started(round: int = 2, job: str = "job") -> Event:
    """Return word that a round began."""
    return RoundStarted(job, round, 1, ("ana", "ben"))


def closed(round: int = 2) -> Event:
    """Return word that a round has a result."""
    return RoundClosed("job", round, 1, ("ana",), (), seconds=1)


def sent(step: str, round: int = 2, name: str = "ana", state: Sent = "sent") -> Event:
    """Return word that a trustee's message came."""
    return Step("job", round, 1, step, state, name)


@pytest.mark.parametrize(
    ("step", "when"), [("Attend", started()), ("Witness", sent("Attend")), ("Decrypt", sent("Witness"))]
)
def test_it_dies_once_when_the_step_before_has_happened(step: str, when: Event) -> None:
    fate = Fate("ana", step, "job", 2)
    others = [None, started(1), started(job="other"), sent("Attend", 1), sent("Witness", 3), closed(3)]
    others += [sent(name, name="ben") for name in STEPS]
    others += [sent("Attend", state="dropped")]
    assert [fate.due(other) for other in others] == [""] * len(others)
    assert [fate.due(when), fate.due(when), fate.due(closed())] == ["die", "", ""]
    assert [fate.due(closed(number)) for number in (3, 4)] == ["return", ""]


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
