"""The demonstrations as programs: the aggregator that cheats is found out, and Ctrl-C leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from secagg.cli import main
from secagg.demo.founding import AGGREGATOR, Federation
from support import federations

pytestmark = pytest.mark.processes
DEADLINE = 30.0


def test_an_aggregator_that_cheats_is_found_by_every_node_and_by_the_auditor(tmp_path: Path) -> None:
    with federations.founded("sum") as federation:
        federation.start_aggregator(cheat=True)
        federations.start(federation)
        federations.run_job(federation, "sum")
        published = federations.result(federation, "sum")
        federation.export(tmp_path / "bundle")
        fingerprint = federation.fingerprint
        # Canaries, log and digest agree with the lie; the drawn leaves do not.
        end = time.monotonic() + DEADLINE
        for name in federations.NODES:
            while "spot.sum" not in federation.processes.log(name).read_text():
                assert time.monotonic() < end
        # Over real sockets too: whoever found it first brought the evidence to the key server, which states it.
        while "LieReported" not in (told := CliRunner().invoke(main, ["audit", "log", str(stated(federation))]).output):
            assert time.monotonic() < end
        assert told.count("LieReported") == 1
    assert published != federations.without()
    line = ["audit", "verify", str(tmp_path / "bundle"), "--root", fingerprint]
    judged = CliRunner().invoke(main, [*line, "--format", "json"])
    report = json.loads(judged.stdout)
    assert (judged.exit_code, report["verdict"]) == (65, "FAIL")
    assert [check["number"] for check in report["checks"] if check["status"] != "pass"] == [7]
    assert "(Result, signed by aggregator)" in judged.stderr


def stated(federation: Federation) -> Path:
    """Export what the federation's logs hold by now."""
    place = Path(tempfile.mkdtemp(prefix="stated", dir=federation.home(AGGREGATOR))) / "bundle"
    federation.export(place)
    return place


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_demonstration_leaves_no_process_and_no_file(tmp_path: Path, number: int) -> None:
    # Not below tmp_path: the path of an admin socket must fit 107 bytes.
    place = Path(tempfile.mkdtemp(prefix="t"))
    line = [sys.executable, "-m", "secagg.cli", "demo", "heart", "--bundle", str(tmp_path / "bundle")]
    with subprocess.Popen(line, stderr=subprocess.PIPE, env=os.environ | {"TMPDIR": str(place)}, text=True) as demo:
        assert demo.stderr is not None
        for said in demo.stderr:
            if "enrolled" in said:
                break
        assert running(place)
        demo.send_signal(number)
        assert demo.wait(DEADLINE) != 0
    end = time.monotonic() + DEADLINE
    while running(place):
        assert time.monotonic() < end
    place.rmdir()  # fails unless it is empty
    assert not (tmp_path / "bundle").exists()


def running(place: Path) -> list[str]:
    """Return the command lines of processes that name a path in `place`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if os.fsencode(place) in command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


@pytest.mark.slow
def test_the_demonstration_with_trustees_passes_although_one_is_killed(tmp_path: Path) -> None:
    line = ["demo", "heart", "--engine", "paillier", "--rounds", "4", "--bundle", str(tmp_path / "bundle")]
    done = subprocess.run(
        [sys.executable, "-m", "secagg.cli", *line, "--format", "json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["engine"], told["rounds"], told["audit"]) == ("paillier", 4, "PASS")
    assert told["killed"] == ["registry@Decrypt"]
    assert told["auc"]["federated"].keys() == told["auc"]["alone"].keys()
    assert "registry is started again" in done.stderr
