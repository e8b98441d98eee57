"""A drill names one moment, and no other."""

import pytest

from node.drill import Drill, parse
from secagg.errors import UsageError
from secagg.ids import STEPS, RoundId
from secagg.protocol.masks.messages import ANSWERED_BY
from secagg.protocol.session import RoundHeader


@pytest.mark.parametrize("step", STEPS)
def test_it_is_due_at_the_messages_that_its_step_answers(step: str) -> None:
    drill = parse(f"{step}@2")
    kinds = {kind for kind in ANSWERED_BY if drill.due(RoundHeader(RoundId("fed", "job", 2), kind), "masks")}
    assert kinds == {kind for kind, answer in ANSWERED_BY.items() if answer == step}
    assert kinds
    assert not any(drill.due(RoundHeader(RoundId("fed", "job", 1), kind), "masks") for kind in ANSWERED_BY)


def test_it_may_be_for_one_job_only() -> None:
    (kind,) = (kind for kind, step in ANSWERED_BY.items() if step == "Unmask")
    drill = parse("Unmask@1@heart-risk")
    assert drill == Drill("Unmask", 1, "heart-risk")
    assert drill.due(RoundHeader(RoundId("fed", "heart-risk", 1), kind), "masks")
    assert not drill.due(RoundHeader(RoundId("fed", "other", 1), kind), "masks")
    assert not drill.due(RoundHeader(RoundId("fed", "heart-risk", 1), "Whatever"), "masks")


@pytest.mark.parametrize(
    "text", ["", "Unmask", "Unmask@", "Unmask@0", "Unmask@-1", "unmask@1", "Unmask@1@", "Unmask@1@Job", "Unmask@1\n"]
)
def test_anything_else_is_no_drill(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert all(step in caught.value.remedy for step in STEPS)
