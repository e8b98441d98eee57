"""Trustees as real processes: a ceremony of files, two of three that open while the third is dead, and the audit."""

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
from secagg.log.statements import Opening
from secagg.protocol.manifest import Custody
from secagg.wire.codec import decode
from support import federations
from support.federations import NODES

pytestmark = pytest.mark.processes
TRUSTEES = ("ana", "ben", "cyd")
POLICY = '[policy]\nengines = ["paillier"]\nallow_trials = true\n'


@pytest.fixture(scope="module", params=[2048, pytest.param(3072, marks=pytest.mark.slow)])
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """A federation whose trustees hold shares of a key of so many bits."""
    with federations.founded("all", "two") as found:
        for name in NODES:
            found.configure(name, POLICY)
        found.start_aggregator()
        custody = entrust(found, TRUSTEES, 2, request.param)
        key = decode(Custody, custody.read_bytes())
        assert (key.names(), key.threshold, len(key.acceptances)) == (TRUSTEES, 2, 3)
        assert decode(ThresholdKey, key.key).public.bits == request.param
        federations.start(found)
        for name in TRUSTEES:
            start_trustee(found, name)
        yield found


def run_job(federation: Federation, task: str) -> list[dict[str, object]]:
    """Run a sum job that trustees open to its end and return what the aggregator told of it."""
    events = federation.watch()
    job = f'[job]\nname = "{task}"\ntask = "{task}"\npurpose = "sum"\nlength = 7\n[engine]\nname = "paillier"\n'
    job += '[cohort]\nstep_timeout = "20s"\n'
    file = federation.home(AGGREGATOR) / "job.toml"
    file.write_text(job)
    config = ("--config", str(federation.config(AGGREGATOR)))
    federation.run("job", "submit", str(file), "--custody", str(federation.place / "custody.bin"), *config)
    told = []
    for event in events:
        if event.get("job") == task:
            told.append(event)
            if event["event"] in ("job_done", "job_failed"):
                return told
    raise AssertionError("the aggregator stopped")


def test_two_of_three_open_a_sum_while_one_is_dead(federation: Federation, tmp_path: Path) -> None:
    run_job(federation, "all")
    assert federations.result(federation, "all") == federations.without()
    kill_trustee(federation, "ben")
    assert federation.processes.killed("ben")
    run_job(federation, "two")
    assert federations.result(federation, "two") == federations.without()

    federation.export(tmp_path / "before")
    reasons = [line.detail for line in verify(tmp_path / "before").checks if line.status != "pass"]
    assert len(reasons) == 1
    assert reasons[0].endswith("its key is of no ceremony of these trustees and numbers in the directory.")
    publish_key(federation)
    federation.export(tmp_path / "bundle")
    assert {line.status for line in verify(tmp_path / "bundle").checks} == {"pass"}
    openings = [said for said in federations.statements(tmp_path / "bundle") if isinstance(said, Opening)]
    assert [said.job for said in openings] == ["all", "two"]
    assert {answer.member for answer in openings[1].answers} == {"ana", "cyd"}
    assert ask_trustee(federation, "ana")["opened"] == 2
    asked = ("trustee", "status", "--config", str(trustee_config(federation, "cyd")), "--format", "json")
    assert json.loads(federation.run(*asked))["opened"] == 2
