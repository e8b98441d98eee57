"""The whole federation as processes on loopback: a kill at every step, a policy that refuses, a stranger, the audit."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from secagg.cli import main
from secagg.crypto.rng import system_rng
from secagg.crypto.secret import Secret
from secagg.daemon.federation import BrokerSection
from secagg.demo.founding import AGGREGATOR, Federation
from secagg.errors import PeerUnavailable
from secagg.ids import STEPS
from secagg.log.statements import Aborted, DropOut, Refusal
from secagg.transport.link import REFUSED
from secagg.transport.zmq_link import ZmqLink
from support import brokers, federations
from support.federations import NODES

pytestmark = pytest.mark.processes
DIES = "node-1"
JOBS = {step: step.lower() for step in STEPS}


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with federations.founded(*JOBS.values(), "strict", "after") as found:
        found.start_aggregator()
        federations.start(found)
        yield found


def told(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]


@pytest.mark.parametrize("step", STEPS)
def test_a_node_killed_in_a_step_is_named_in_the_log_and_the_round_completes(
    federation: Federation, step: str, tmp_path: Path
) -> None:
    job = JOBS[step]
    federations.restart(federation, DIES, f"{step}@1@{job}")
    events = federations.run_job(federation, job)
    assert federation.processes.killed(DIES)
    (closed,) = told(events, "round_closed")
    assert closed["dropped"] == [{"member": DIES, "step": step, "reason": "no message before the deadline"}]
    early = STEPS.index(step) <= STEPS.index("MaskedInput")
    assert federations.result(federation, job) == (federations.without(DIES) if early else federations.without())
    federation.export(tmp_path / "bundle")
    logged = [s for s in federations.statements(tmp_path / "bundle") if isinstance(s, DropOut) and s.job == job]
    assert [(entry.member, entry.step) for entry in logged] == [(DIES, step)]


def test_a_policy_that_asks_for_more_nodes_refuses_and_both_sides_say_why(
    federation: Federation, tmp_path: Path
) -> None:
    federations.restart(federation, DIES)
    strict = "node-3"
    written = federation.config(strict).read_text()
    federation.configure(strict, "\n[policy]\nmin_nodes = 5\n")
    federations.restart(federation, strict)
    events = federations.run_job(federation, "strict")
    federation.config(strict).write_text(written)
    told_others = "its policy asks for more members than the job has"
    why = "This institution's policy min_nodes asks for at least 5 nodes, the job has 4."
    (refused,) = [event for event in told(events, "step") if event["state"] == "refused"]
    assert (refused["institution"], refused["rule"], refused["reason"]) == (strict, "policy.min_nodes", told_others)
    for side in (strict, AGGREGATOR):
        lines = [json.loads(line) for line in federation.processes.log(side).read_text().splitlines() if "{" in line]
        printed = [line for line in lines if line.get("rule") == "policy.min_nodes"]
        assert printed
        assert {why, told_others} & {printed[0].get("cause"), printed[0].get("reason")}
    shown = CliRunner().invoke(main, ["node", "status", "--config", str(federation.config(strict)), "--format", "json"])
    assert json.loads(shown.stdout)["refused"]["rule"] == "policy.min_nodes"
    assert federations.result(federation, "strict") == federations.without(strict)
    federation.export(tmp_path / "bundle")
    assert any(isinstance(s, Refusal) and s.member == strict for s in federations.statements(tmp_path / "bundle"))


def test_a_person_sees_what_is_bound_and_reads_what_a_word_would_tell(federation: Federation) -> None:
    config = ["--config", str(federation.config("node-2"))]
    shown = CliRunner().invoke(main, ["node", "ledger", "show", *config])
    assert shown.exit_code == 0
    assert f"{JOBS['AdvertiseKeys']}: " in shown.stdout
    assert "summed over node-0, node-2, node-3" in shown.stdout
    found = json.loads(CliRunner().invoke(main, ["node", "ledger", "show", *config, "--format", "json"]).stdout)
    assert found["entries"] >= len(STEPS)
    line = ["node", "allow", "another-job", "--overlap", *config]
    asked = CliRunner().invoke(main, line, input="n\n")
    assert asked.exit_code == 1
    assert "The difference of two sums shows" in asked.stderr
    assert json.loads(CliRunner().invoke(main, ["node", "ledger", "show", *config, "--format", "json"]).stdout) == found
    done = CliRunner().invoke(main, [*line, "--yes"])
    assert (done.exit_code, done.stdout) == (0, "another-job is allowed here, also over other members.\n")
    again = CliRunner().invoke(main, ["node", "ledger", "show", *config])
    assert "another-job of numbers: allowed at" in again.stdout


def test_a_stranger_with_a_curve_key_of_its_own_gets_no_byte_through(federation: Federation) -> None:
    places = BrokerSection(**_broker_of(federation))
    known = federation.processes.log(AGGREGATOR).stat().st_size

    async def knock() -> None:
        link = ZmqLink(places.addresses(), places.key(), Secret(system_rng(32)))
        try:
            with pytest.raises(PeerUnavailable):
                await link.send(AGGREGATOR, "present", b"", b"let me in")
            await brokers.until(lambda: link.state == REFUSED)
        finally:
            await link.close()

    brokers.run(knock())
    assert federation.processes.log(AGGREGATOR).stat().st_size == known


def test_the_federation_that_bore_all_this_passes_the_audit(federation: Federation, tmp_path: Path) -> None:
    for name in NODES:
        federations.restart(federation, name)
    federations.run_job(federation, "after")
    assert federations.result(federation, "after") == federations.without()
    federation.export(tmp_path / "bundle")
    line = ["audit", "verify", str(tmp_path / "bundle"), "--root", federation.fingerprint, "--format", "json"]
    judged = CliRunner().invoke(main, line)
    assert (judged.exit_code, json.loads(judged.stdout)["passed"]) == (0, 6)
    assert not [s for s in federations.statements(tmp_path / "bundle") if isinstance(s, Aborted)]


def _broker_of(federation: Federation) -> dict[str, str]:
    section: dict[str, str] = tomllib.loads(federation.config(DIES).read_text())["broker"]
    return section
