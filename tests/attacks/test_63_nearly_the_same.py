"""Row 63: rounds whose updates hardly differ, one drop-out between them: the difference is the drop-out's update.

The demo's own hospitals and task, at real nodes. At a tiny rate a later round's update is that of the first but for a
part in a thousand. So one member less shows that member's within that error: an input that only looks new. At an
ordinary rate rounds differ more, and a difference shows less; the members of a job may change only where institutions
wrote that down.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.config import OwnTask
from node.local import write_model
from support.bound import closed, everyone, heedless, lost, play, refused, submit
from support.federation import make, names_of
from support.nodes import Ward

SITE = Path(__file__).resolve().parents[2] / "secagg" / "demo" / "sites" / "heart"
HOSPITALS = ("cleveland", "hungary", "long-beach", "switzerland")
FOUR, THREE = names_of(4), names_of(3)
MOMENTS, RISK = "heart-moments", "heart-risk"


@pytest.fixture(autouse=True)
def lies() -> Iterator[None]:
    """The aggregator of these scenes waits for no set and freezes whoever uploaded."""
    with heedless():
        yield


def hospitals(tmp_path: Path, rate: str, *, changing: bool, least: float = 1 / 256) -> Ward:
    """Return four hospitals whose own copies of the demo's task learn at this rate."""
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    for node, hospital in zip(ward.nodes.values(), HOSPITALS, strict=True):
        code = (SITE / "task.py").read_text()
        assert code.count("\nLEARNING_RATE = 0.5") == 1
        own = node.place / "heart.py"
        own.write_text(code.replace("\nLEARNING_RATE = 0.5", f"\nLEARNING_RATE = {rate}"))
        data = node.place / f"{hospital}.csv"
        data.write_bytes((SITE / f"{hospital}.csv").read_bytes())
        node.tasks = {
            MOMENTS: OwnTask(MOMENTS, f"{own}:MomentsTask", data, {}),
            RISK: OwnTask(RISK, f"{own}:HeartRisk", data, {}),
        }
        node.policy = replace(node.policy, changing_sets=changing, min_change=least)
    return ward


def two_rounds(ward: Ward, without: str) -> Ward:
    """Run the demo's two jobs; in the second round of the training one member is left out."""
    model = ward.state / "first.safetensors"
    write_model(ward.nodes["node-00"].tasks[RISK].spec, model)
    if without:
        lost(ward, {"DeliverShares": {without}}, job=RISK, round=2)

    async def script(ward: Ward) -> None:
        submit(ward, MOMENTS, MOMENTS, length=150)
        await ward.wait(8)
        submit(ward, RISK, RISK, model=model.read_bytes(), rounds=2, uses=(MOMENTS,), cohort={"max_examples": 212})
        await ward.wait(40)

    return play(ward, script)


def rules(ward: Ward) -> set[str]:
    """Return by which rules inputs of the training's second round were bound."""
    told = [event for node in ward.nodes.values() for event in node.named("bound")]
    return {event["rule"] for event in told if (event["job"], event["round"]) == (RISK, 2)}


def test_at_a_tiny_rate_the_second_update_is_bound_as_the_first(tmp_path: Path) -> None:
    ward = two_rounds(hospitals(tmp_path, "1e-3", changing=True), "node-03")
    assert rules(ward) == {"ledger.near"}
    assert closed(ward, RISK) == [list(FOUR)]
    assert refused(ward, RISK) == everyone(THREE, "ledger.only")


@pytest.mark.parametrize("least", [1 / 256, 1 / 4096], ids=["default", "lower"])
def test_how_near_is_the_institutions_own_number(tmp_path: Path, least: float) -> None:
    """One hospital that takes a part in 1,500 for a change binds nothing; the others still leave the round."""
    ward = hospitals(tmp_path, "1e-3", changing=True)
    ward.nodes["node-00"].policy = replace(ward.nodes["node-00"].policy, min_change=least)
    two_rounds(ward, "node-03")
    bound = [event["rule"] for event in ward.nodes["node-00"].named("bound") if event["round"] == 2]
    assert bool(bound) == (least > 1 / 1000)
    assert closed(ward, RISK) == [list(FOUR)]


def test_at_an_ordinary_rate_a_drop_out_is_refused_unless_sets_may_change(tmp_path: Path) -> None:
    strict = two_rounds(hospitals(tmp_path / "strict", "0.1", changing=False), "node-03")
    assert rules(strict) == {"ledger.job"}
    assert closed(strict, RISK) == [list(FOUR)]
    assert refused(strict, RISK) == everyone(THREE, "ledger.only")
    changing = two_rounds(hospitals(tmp_path / "changing", "0.1", changing=True), "node-03")
    assert rules(changing) == set()
    assert closed(changing, RISK) == [list(FOUR), list(THREE)]
    assert not refused(changing, RISK)


def test_with_everybody_there_nothing_is_refused(tmp_path: Path) -> None:
    ward = two_rounds(hospitals(tmp_path, "1e-3", changing=False), "")
    assert closed(ward, RISK) == [list(FOUR)] * 2
    assert not refused(ward, RISK)
