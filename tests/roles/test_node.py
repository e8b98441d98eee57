"""Whole jobs through real node services: sums, drop-outs at every step, restarts, refusals, training."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from secagg.ids import STEPS
from support.federation import make
from support.nodes import Ward

Script = Callable[[Ward], Awaitable[None]]


def play(tmp_path: Path, script: Script, members: int = 4, prepare: Callable[[Ward], None] = lambda ward: None) -> Ward:
    """Run a federation of real nodes while `script` makes things happen."""
    ward = Ward(make(members, chunk_bytes=4096), tmp_path)
    prepare(ward)

    async def main(_: object) -> None:
        await ward.start_nodes()
        try:
            await script(ward)
        finally:
            await ward.stop_nodes()

    ward.play(main)
    return ward


def expected(ward: Ward, *absent: str) -> list[float]:
    return [float(sum(2.0**i for i, name in enumerate(ward.nodes) if name not in absent))] * 7


async def one_job(ward: Ward) -> None:
    ward.submit()
    await ward.wait(6)


def test_a_sum_over_real_nodes_is_exact_and_every_node_takes_its_result_in(tmp_path: Path) -> None:
    ward = play(tmp_path, one_job)
    assert "warning" not in ward.log.getvalue()
    assert ward.named("job_done")
    assert ward.result()["values"] == expected(ward)
    for node in ward.nodes.values():
        assert [event["round"] for event in node.named("result")] == [1]
        assert "warning" not in node.log.getvalue()
        assert "error" not in node.log.getvalue()


@pytest.mark.parametrize("step", STEPS)
def test_a_node_that_dies_in_a_step_is_named_and_its_input_is_in_the_sum_or_not(tmp_path: Path, step: str) -> None:
    async def script(ward: Ward) -> None:
        ward.kills["node-01"] = step
        ward.submit()
        await ward.wait(5)
        assert not ward.nodes["node-01"].alive
        ward.revive("node-01")
        await ward.wait(4)

    ward = play(tmp_path, script)
    (closed,) = ward.named("round_closed")
    assert closed["dropped"] == [{"member": "node-01", "step": step, "reason": "no message before the deadline"}]
    early = STEPS.index(step) <= STEPS.index("MaskedInput")
    assert ward.result()["values"] == (expected(ward, "node-01") if early else expected(ward))
    assert [event["round"] for event in ward.nodes["node-01"].named("result")] == [1]
    assert list((ward.nodes["node-01"].place / "rounds").iterdir()) == []


def test_a_node_that_comes_back_into_a_running_round_takes_part_in_it(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        ward.kills["node-01"] = "MaskedInput"
        ward.submit()
        while ward.nodes["node-01"].alive:
            await ward.wait(0.5)
        ward.revive("node-01")
        await ward.wait(6)

    ward = play(tmp_path, script)
    (closed,) = ward.named("round_closed")
    assert (closed["dropped"], ward.result()["values"]) == ([], expected(ward))


def test_an_input_is_summed_over_the_same_set_again_and_who_was_not_in_it_is_told_why(tmp_path: Path) -> None:

    async def script(ward: Ward) -> None:
        ward.kills["node-01"] = "ShareKeys"
        ward.submit(rounds=2)
        await ward.wait(4)
        ward.revive("node-01")
        await ward.wait(20)

    ward = play(tmp_path, script)
    assert ward.named("round_closed")[0]["contributors"] == ["node-00", "node-02", "node-03"]
    assert not [event for node in ward.nodes.values() for event in node.named("refuse")]
    again = ward.named("round_closed")[1]
    assert again["contributors"] == ["node-00", "node-02", "node-03"]
    ((member, _, why),) = [tuple(entry.values()) for entry in again["dropped"]]
    assert (member, "may be summed" in why) == ("node-01", True)


def test_a_round_that_nobody_ends_is_over_after_its_time_and_its_keys_are_gone(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        ward.kills["node-01"] = "Unmask"
        ward.submit()
        while ward.nodes["node-01"].alive:
            await ward.wait(0.5)
        assert list((ward.nodes["node-01"].place / "rounds").glob("*.key"))
        ward.network.revoke("aggregator")
        ward.revive("node-01")
        await ward.settle()
        # Jobs of these tests have a round_timeout of two hours; virtual time costs nothing.
        ward.nodes["node-01"].timers.pass_time(7199)
        await ward.settle()
        assert ward.nodes["node-01"].status()["phase"] == "Agreed"
        ward.nodes["node-01"].timers.pass_time(2)
        await ward.settle()
        assert ward.nodes["node-01"].status()["phase"] is None

    ward = play(tmp_path, script)
    assert [event["round"] for event in ward.nodes["node-01"].named("overdue")] == [1]
    assert list((ward.nodes["node-01"].place / "rounds").glob("*.key")) == []
