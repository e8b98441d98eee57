"""A third engine in the real daemons: a folder and a line in the table are all that they need to know of it."""

from pathlib import Path

import pytest

from secagg.protocol.acceptance import Policy
from secagg.protocol.engines import ENGINES
from support.aggregating import CHUNK
from support.federation import make
from support.nodes import Ward


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "toy", "support.toy_engine")


def played(tmp_path: Path, silent: str = "") -> Ward:
    """Run one job of engine toy over real nodes, one of which may allow other engines only."""
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    for name, node in ward.nodes.items():
        node.policy = Policy(exact_counts=True, engines=("masks",) if name == silent else ("toy",))

    async def main(_: object) -> None:
        await ward.start_nodes()
        try:
            job = {"name": "job", "task": "task", "purpose": "sum", "length": 7, "rounds": 2}
            file = {"job": job, "cohort": {"step_timeout": "3s"}, "engine": {"name": "toy", "chunk": CHUNK}}
            ward.daemon.command({"command": "job-submit", "file": file, "model": "", "without": []})
            await ward.wait(12)
        finally:
            await ward.stop_nodes()

    ward.play(main)
    return ward


def test_a_job_of_a_third_engine_gives_its_sums_in_real_daemons(tmp_path: Path) -> None:
    ward = played(tmp_path)
    assert ward.named("job_done")
    assert ward.result()["values"] == [15.0] * 7
    assert "warning" not in ward.log.getvalue()
    for node in ward.nodes.values():
        assert [event["round"] for event in node.named("result")] == [1, 2]
        assert not node.named("refuse")


def test_an_institution_that_allows_other_engines_takes_no_part(tmp_path: Path) -> None:
    ward = played(tmp_path, silent="node-02")
    assert {event["rule"] for event in ward.nodes["node-02"].named("refuse")} == {"policy.engines"}
    assert ward.result()["values"] == [11.0] * 7
