"""Whole rounds through the aggregator's real service, shell, journal and log, against members in process."""

from pathlib import Path

import pytest

from secagg.ids import STEPS
from support.aggregating import Hall
from support.federation import make


def hall(tmp_path: Path, members: int = 4) -> Hall:
    return Hall(make(members, chunk_bytes=4096), tmp_path / "state")


async def begin(stage: Hall, **fields: object) -> None:
    await stage.push()
    stage.submit(**fields)
    await stage.settle()
    await stage.gather()


def expected(stage: Hall, *absent: str) -> list[float]:
    return [float(sum(2**m.index for m in stage.members.values() if m.name not in absent))] * 7


def test_a_sum_is_exact_and_every_member_gets_it(tmp_path: Path) -> None:
    stage = hall(tmp_path).play(begin)
    assert stage.log.getvalue() == ""
    assert [event["event"] for event in stage.events if event["event"].startswith("job")] == ["job_done"]
    assert stage.result()["values"] == expected(stage)
    assert all(len(member.results) == 1 for member in stage.members.values())


@pytest.mark.parametrize("step", STEPS)
def test_a_member_that_falls_silent_before_a_step_is_named_and_the_round_goes_on(tmp_path: Path, step: str) -> None:
    stage = hall(tmp_path)
    stage.members["node-01"].silent = step

    async def script(stage: Hall) -> None:
        await begin(stage)
        await stage.wait(4)

    stage.play(script)
    (closed,) = stage.named("round_closed")
    assert closed["dropped"] == [{"member": "node-01", "step": step, "reason": "no message before the deadline"}]
    early = STEPS.index(step) <= STEPS.index("MaskedInput")
    assert stage.result()["values"] == (expected(stage, "node-01") if early else expected(stage))
    assert stage.named("job_done")


@pytest.mark.parametrize("step", STEPS)
def test_a_restart_within_a_step_ends_in_the_same_sum(tmp_path: Path, step: str) -> None:
    stage = hall(tmp_path)
    late = stage.members["node-02"]
    late.silent = step

    async def script(stage: Hall) -> None:
        await begin(stage)
        assert stage.result_step() == step
        late.silent = ""
        await stage.restart()
        await stage.wait(4)

    stage.play(script)
    assert stage.named("round_closed")
    early = STEPS.index(step) <= STEPS.index("MaskedInput")
    assert stage.result()["values"] == (expected(stage, "node-02") if early else expected(stage))


@pytest.mark.parametrize("step", STEPS)
def test_too_few_members_abort_and_nothing_is_released(tmp_path: Path, step: str) -> None:
    stage = hall(tmp_path)
    gone = [stage.members["node-01"], stage.members["node-03"]]
    for member in gone:
        member.silent = step

    async def script(stage: Hall) -> None:
        await begin(stage)
        await stage.wait(4)

    stage.play(script)
    aborted = stage.named("round_aborted")[0]
    assert (aborted["step"], aborted["lost"]) == (step, step == "Unmask")
    assert {entry["member"] for entry in aborted["dropped"]} == {"node-01", "node-03"}
    assert not stage.named("round_closed")
    assert stage.members["node-00"].aborted[0].missing == ("node-01", "node-03")


def test_an_attempt_that_opened_nothing_is_repeated_and_succeeds(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    gone = [stage.members["node-01"], stage.members["node-03"]]
    for member in gone:
        member.silent = "ShareKeys"

    async def script(stage: Hall) -> None:
        await begin(stage)
        await stage.wait(3)
        for member in gone:
            member.silent = ""
        await stage.wait(6)

    stage.play(script)
    assert [event["attempt"] for event in stage.named("round_started")] == [1, 2, 3]
    assert stage.result()["values"] == expected(stage)


def test_three_failed_attempts_fail_the_job(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    for name in ("node-01", "node-03"):
        stage.members[name].silent = "ShareKeys"

    async def script(stage: Hall) -> None:
        await begin(stage)
        await stage.wait(30)

    stage.play(script)
    assert len(stage.named("round_aborted")) == 3
    (failed,) = stage.named("job_failed")
    assert "failed 3 times" in failed["reason"]
    assert not list((stage.state / "keys").glob("*.key"))
