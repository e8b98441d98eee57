"""Trustees that die at crash points of their loop, all of them in one round: each decides once, the sum is exact.

Real processes, a key of 2048 bits, two of three open. Whoever died is started again without a point.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from secagg.auditor.verify import verify
from secagg.daemon.drill import VARIABLE
from secagg.demo.entrusting import ask_trustee, entrust, publish_key, start_trustee
from secagg.demo.founding import AGGREGATOR, Federation
from secagg.log.statements import Opening
from support import federations
from support.federations import NODES

pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.timeout(300)]

NAMES = ("ana", "ben", "cyd")
POLICY = '[policy]\nengines = ["paillier"]\nallow_trials = true\n'
POINTS = {
    "first": ("before-save/round.Freeze@1", "after-save/work.multiply@2", "before-save/work.decrypt@1"),
    "second": ("after-save/round.Freeze@1", "after-save/work.decrypt@1", "before-save/round.Open@1"),
    "third": ("after-save/round.Propose@1", "before-save/round.Propose@1", "after-save/round.Open@1"),
}
"""Job, and where each trustee dies in it: around its witness, its decision, and its answer."""


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with federations.founded(*POINTS, name="drill-trustees") as found:
        for name in NODES:
            found.configure(name, POLICY)
        found.start_aggregator()
        entrust(found, NAMES, 2, 2048)
        federations.start(found)
        yield found


def begin(federation: Federation, name: str, point: str = "") -> None:
    if federation.processes.alive(name):
        federation.processes.stop(name)
    federation.processes.environment[name] = {VARIABLE: point} if point else {}
    start_trustee(federation, name)


def submit(federation: Federation, task: str) -> None:
    job = f'[job]\nname = "{task}"\ntask = "{task}"\npurpose = "sum"\nlength = 8\n[engine]\nname = "paillier"\n'
    federation.submit(job + '[cohort]\nstep_timeout = "30s"\n', custody=federation.place / "custody.bin")


@pytest.mark.parametrize("task", POINTS)
def test_a_sum_is_opened_once_although_every_trustee_dies(federation: Federation, task: str) -> None:
    armed = dict(zip(NAMES, POINTS[task], strict=True))
    for name, point in armed.items():
        begin(federation, name, point)
    submit(federation, task)
    died: set[str] = set()
    request: dict[str, object] = {"command": "job-show", "name": task}
    while (shown := federation.ask_aggregator(request))["state"] not in ("done", "failed") or len(died) < len(NAMES):
        for name in NAMES:
            if not federation.processes.alive(name):
                assert federation.processes.code(name) == -signal.SIGKILL, federation.processes.failure(name)
                died.add(name)
                begin(federation, name)
    assert [len(ended["contributors"]) for ended in shown["ended"] if not ended["lost"]] == [len(NODES)]
    assert federations.result(federation, task) == federations.without()


def test_everything_that_was_opened_is_audited(federation: Federation, tmp_path: Path) -> None:
    publish_key(federation)
    federation.export(tmp_path / "bundle")
    assert {line.status for line in verify(tmp_path / "bundle").checks} == {"pass"}
    openings = [said for said in federations.statements(tmp_path / "bundle") if isinstance(said, Opening)]
    assert [said.job for said in openings] == list(POINTS)
    assert all(ask_trustee(federation, name)["opened"] <= len(POINTS) for name in NAMES)
    assert AGGREGATOR not in {answer.member for said in openings for answer in said.answers}
