"""A full disk and a failing one under the real aggregator: read-only, `retry-later`, and the same sum in the end."""

import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from secagg.daemon.admin import SOCKET, call
from secagg.demo.founding import AGGREGATOR, Federation
from secagg.errors import SecaggError
from support import disks, drills
from support.drills import NODES

pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.timeout(120)]
WANTED = [float(2 ** len(NODES) - 1)] * drills.LENGTH


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with drills.founded("drill-disks") as found:
        for name in NODES:
            found.start_node(name)
        yield found


@pytest.fixture
def mounting(tmp_path: Path) -> None:
    """A small disk takes the right to mount, which a test cannot give itself. Where it is missing, a limit on files
    (below) and the simulator's full disks, in every run of CI, hold the same rules."""
    if reason := disks.may_mount(tmp_path / "mount"):
        pytest.skip(f"{reason}, which only the machine's owner can change; full disks are simulated in tests/sim")


@pytest.fixture
def tracing() -> None:
    """Errors of a real disk take strace, which is no Python package, and the right to trace. Where one is missing, the
    simulator's failing disks and the journal's contract test hold the same rules."""
    if reason := disks.may_trace():
        pytest.skip(f"{reason}, which only the machine's owner can change; failing disks are simulated in tests/sim")


def ask(federation: Federation, **request: object) -> Any:
    return federation.ask_aggregator(dict(request))


def submit(federation: Federation, name: str, task: int) -> None:
    while ask(federation, command="status")["roster"] is None:
        time.sleep(0.05)
    cohort = {"step_timeout": "60s", "round_timeout": "200s"}
    job = {"name": name, "task": f"task-{task}", "purpose": "sum", "length": drills.LENGTH}
    ask(federation, command="job-submit", file={"job": job, "cohort": cohort, "engine": {"chunk": 4096}})


def refused(federation: Federation, name: str, task: int) -> str:
    """Return the code with which a submission is refused."""
    with pytest.raises(SecaggError) as caught:
        submit(federation, name, task)
    return caught.value.code


def await_done(federation: Federation, name: str) -> None:
    while (shown := ask(federation, command="job-show", name=name))["state"] != "done":
        assert shown["state"] != "failed", shown["reason"]
        time.sleep(0.05)


def said(federation: Federation, event: str, role: str = AGGREGATOR) -> int:
    return federation.processes.log(role).read_text().count(f'"event": "{event}"')


@pytest.mark.usefixtures("mounting")
def test_a_full_disk_stops_the_round_and_loses_nothing(federation: Federation) -> None:
    with disks.small_disk(federation, 96) as state:
        federation.start_aggregator()
        submit(federation, "before", 0)
        await_done(federation, "before")
        filler = disks.fill(state)
        assert refused(federation, "full", 1) == "E-DISK"
        while ask(federation, command="link")["read_only"] is None:
            time.sleep(0.05)
        # Read-only and alive: who asks is answered, who sends is told to come again.
        assert ask(federation, command="job-show", name="before")["state"] == "done"
        node = federation.home(NODES[0]) / "state" / SOCKET
        while call(node, {"command": "link"})["put_off"] != [AGGREGATOR]:
            time.sleep(0.05)
        filler.unlink()
        while ask(federation, command="link")["read_only"] is not None:
            time.sleep(0.05)
        submit(federation, "after", 2)
        await_done(federation, "after")
        assert ask(federation, command="job-result", name="after")["values"] == WANTED
        assert said(federation, "read_only") == said(federation, "writable") >= 1
        # Full again: the reserve lets it end cleanly, and start again with everything it knew.
        disks.fill(state)
        assert refused(federation, "full-again", 3) == "E-DISK"
        federation.processes.stop(AGGREGATOR)
        assert federation.processes.code(AGGREGATOR) == 0
        assert not (state / "reserve").exists()
        (state / "filler").unlink()
        federation.start_aggregator()
        assert [job["name"] for job in ask(federation, command="job-list")] == ["before", "after"]


def test_without_room_for_the_reserve_a_daemon_does_not_start(federation: Federation, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk where no tmpfs can be mounted."""
    line = [*drills.COMMAND, "aggregator", "serve", "--config", str(federation.config(AGGREGATOR))]
    federation.processes.environment[AGGREGATOR] = {}

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (32 * 2**20, 32 * 2**20))

    (federation.home(AGGREGATOR) / "state" / "reserve").unlink(missing_ok=True)
    tried = subprocess.run(line, preexec_fn=limit, capture_output=True, text=True, timeout=60)
    assert tried.returncode == 75
    assert "error[E-DISK]" in tried.stderr
    assert "Free space" in tried.stderr


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize(
    ("syscall", "first", "every"),
    [("fsync", 17, 97), pytest.param("fdatasync", 20, 61, marks=pytest.mark.slow)],
)
def test_errors_of_the_disk_are_no_errors_of_the_round(
    federation: Federation, tmp_path: Path, syscall: str, first: int, every: int
) -> None:
    if not federation.processes.alive(AGGREGATOR):
        federation.start_aggregator()
    log, name = tmp_path / "strace.log", f"eio-{syscall}-{first}"
    with disks.failing(federation, syscall, first, every, log):
        submit_again(federation, name, first % drills.TASKS)
        await_done(federation, name)
        assert ask(federation, command="job-result", name=name)["values"] == WANTED
    assert log.read_text().count("(INJECTED)") > 0
    assert said(federation, "read_only") > 0


@pytest.mark.usefixtures("tracing")
def test_a_node_whose_disk_fails_is_in_the_exact_sum(federation: Federation, tmp_path: Path) -> None:
    if not federation.processes.alive(AGGREGATOR):
        federation.start_aggregator()
    log, node, name = tmp_path / "strace.log", NODES[1], "eio-node"
    before = said(federation, "read_only", node)
    with disks.failing(federation, "fdatasync", 2, 9, log, node):
        submit_again(federation, name, 21)
        await_done(federation, name)
        assert ask(federation, command="job-result", name=name)["values"] == WANTED
    assert log.read_text().count("(INJECTED)") > 0
    assert said(federation, "read_only", node) > before


@pytest.mark.usefixtures("tracing")
def test_a_key_server_whose_disk_fails_decides_nothing_by_half(federation: Federation, tmp_path: Path) -> None:
    """Every other commit fails: each command is carried out whole or refused, and goes through when it is repeated."""
    log, wanted = tmp_path / "strace.log", {f"late-{number}" for number in range(6)}
    before = said(federation, "read_only", drills.KEYSERVER)
    with disks.failing(federation, "fdatasync", 1, 2, log, drills.KEYSERVER):
        for name in wanted:
            request: dict[str, object] = {"command": "token.create", "institution": name, "name": name}
            while name not in open_tokens(federation):
                with suppress(SecaggError):
                    federation.ask(request)
    assert log.read_text().count("(INJECTED)") > 0
    assert said(federation, "read_only", drills.KEYSERVER) > before
    assert sorted(open_tokens(federation)) == sorted(wanted)


def open_tokens(federation: Federation) -> list[str]:
    """Return for whom there are tokens that nobody has used."""
    while True:
        with suppress(SecaggError):
            return [one["name"] for one in federation.ask({"command": "token.list"}) if one["state"] == "open"]
        time.sleep(0.05)


def submit_again(federation: Federation, name: str, task: int) -> None:
    """Submit until it is there: the answer may have met the fault."""
    while True:
        try:
            submit(federation, name, task)
            return
        except SecaggError as error:
            if error.code == "E-JOB":
                return
            time.sleep(0.1)
