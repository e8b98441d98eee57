"""Trustees as real processes: a ceremony of files, enough that open while the others are dead, and the audit."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from secagg.auditor.verify import verify
from secagg.crypto.paillier.threshold import ThresholdKey
from secagg.demo.entrusting import (
    ask_trustee,
    entrust,
    kill_trustee,
    publish_key,
    start_trustee,
    trustee_config,
)
from secagg.demo.founding import AGGREGATOR, Federation
from secagg.events.line import OfJob
from secagg.events.rounds import JobDone, JobFailed
from secagg.log.statements import Opening
from secagg.protocol.manifest import Custody
from secagg.wire.codec import decode
from support import federations
from support.federations import NODES

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]
SLOW = pytest.mark.slow
CASES = [
    pytest.param((2048, 2, 3), marks=pytest.mark.long),
    pytest.param((3072, 2, 3), marks=SLOW),
    pytest.param((3072, 3, 5), marks=SLOW),
]
"""Bits of the key, how many trustees open, of how many."""

NAMES = ("ana", "ben", "cyd", "dan", "eve")
POLICY = '[policy]\nengines = ["paillier"]\nallow_trials = true\n'


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Iterator[tuple[Federation, tuple[str, ...], int]]:
    """A federation, its trustees, and how many of them open a sum."""
    bits, threshold, count = request.param
    names = NAMES[:count]
    with federations.founded("all", "some") as found:
        for name in NODES:
            found.configure(name, POLICY)
        found.start_aggregator()
        custody = decode(Custody, entrust(found, names, threshold, bits).read_bytes())
        assert (custody.names(), custody.threshold, len(custody.acceptances)) == (names, threshold, count)
        assert decode(ThresholdKey, custody.key).public.bits == bits
        federations.start(found)
        for name in names:
            start_trustee(found, name)
        yield found, names, threshold


def run_job(federation: Federation, task: str) -> list[dict[str, object]]:
    """Run a sum job that trustees open to its end and return what the aggregator told of it."""
    events = federation.watch()
    job = f'[job]\nname = "{task}"\ntask = "{task}"\npurpose = "sum"\nlength = 8\n[engine]\nname = "paillier"\n'
    job += '[cohort]\nstep_timeout = "20s"\n'
    file = federation.home(AGGREGATOR) / "job.toml"
    file.write_text(job)
    config = ("--config", str(federation.config(AGGREGATOR)))
    federation.run("job", "submit", str(file), "--custody", str(federation.place / "custody.bin"), *config)
    told = []
    for event in events:
        if isinstance(event, OfJob) and event.job == task:
            told.append(event.shown())
            if isinstance(event, JobDone | JobFailed):
                return told
    raise AssertionError("the aggregator stopped")


def test_enough_trustees_open_a_sum_while_the_others_are_dead(
    case: tuple[Federation, tuple[str, ...], int], tmp_path: Path
) -> None:
    federation, names, threshold = case
    run_job(federation, "all")
    assert federations.result(federation, "all") == federations.without()
    alive = {*names[:1], *names[1 + len(names) - threshold :]}
    for name in set(names) - alive:
        kill_trustee(federation, name)
        assert federation.processes.killed(name)
    run_job(federation, "some")
    assert federations.result(federation, "some") == federations.without()

    federation.export(tmp_path / "before")
    reasons = [line.detail for line in verify(tmp_path / "before").checks if line.status != "pass"]
    assert len(reasons) == 1
    assert reasons[0].endswith("its key is of no ceremony of these trustees and numbers in the directory.")
    publish_key(federation)
    federation.export(tmp_path / "bundle")
    assert {line.status for line in verify(tmp_path / "bundle").checks} == {"pass"}
    openings = [said for said in federations.statements(tmp_path / "bundle") if isinstance(said, Opening)]
    assert [(said.job, len(said.answers)) for said in openings] == [("all", threshold), ("some", threshold)]
    assert {answer.member for answer in openings[1].answers} == alive
    assert ask_trustee(federation, names[0])["opened"] == 2
    asked = ("trustee", "status", "--config", str(trustee_config(federation, names[-1])), "--format", "json")
    assert json.loads(federation.run(*asked))["opened"] == 2
