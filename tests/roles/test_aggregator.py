"""Whole rounds through the aggregator's real service, shell, journal and log, against members in process."""

from pathlib import Path

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
