"""What the death of the broker costs: at most one chunk per node is sent again beyond those without a receipt.

Real processes on loopback; nodes whose link writes down what it sends (support.tally). The broker is killed in the
middle of an upload, stays away for a while, and is started again.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secagg.daemon.outbox import WINDOW
from secagg.demo.founding import AGGREGATOR
from secagg.transport.link import CONNECTED
from support import drills, tally
from support.drills import BROKER, NODES, Counts, Drill
from support.tally import Tally

pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.timeout(120)]

LENGTH = 100_000
"""Values of a vector: at least 65 chunks of 4 KiB."""


class Tallied(Drill):
    """Runs nodes that write down what they send."""

    def begin(self, name: str, point: str = "") -> None:
        self._armed[name] = point
        command = (sys.executable, tally.__file__, str(self.file(name))) if name in NODES else drills.COMMAND
        self.federation.processes.start(name, *self._line(name), command=command)

    def file(self, name: str) -> Path:
        return self.federation.place / f"{name}.tally"

    def tallies(self, job: str) -> dict[str, Tally]:
        return {name: tally.tally(self.file(name), job) for name in NODES}

    def submit(self, job: str) -> None:
        file = {
            "job": {"name": job, "task": job, "purpose": "sum", "length": LENGTH},
            "cohort": {"step_timeout": "60s", "round_timeout": "100s"},
            "engine": {"chunk": 4096},
        }
        self.ask(AGGREGATOR, command="job-submit", file=file)

    def until_done(self, job: str) -> None:
        shown: dict[str, Any] = {"state": ""}
        while shown["state"] not in ("done", "failed"):
            time.sleep(0.05)
            shown = self.ask(AGGREGATOR, command="job-show", name=job) or shown
        assert [sorted(ended["contributors"]) for ended in shown["ended"] if not ended["lost"]] == [list(NODES)]
        values = self.ask(AGGREGATOR, command="job-result", name=job)["values"]
        assert values == [float(2 ** len(NODES) - 1)] * LENGTH


@pytest.fixture(scope="module")
def drill() -> Iterator[Tallied]:
    with drills.founded(length=LENGTH) as federation:
        found = Tallied(federation, Counts(), 1)
        found._armed |= {BROKER: "", drills.KEYSERVER: ""}
        for name in (AGGREGATOR, *NODES):
            found.begin(name)
        found.quiet()
        # Members see each other over control; chunks need bulk as well.
        while not all(
            (found.ask(name, command="link") or {}).get("link") == CONNECTED for name in (AGGREGATOR, *NODES)
        ):
            time.sleep(0.05)
        yield found


def test_without_faults_every_chunk_is_sent_once(drill: Tallied) -> None:
    drill.submit("task-0")
    drill.until_done("task-0")
    for name, found in drill.tallies("task-0").items():
        assert len(found.sent) >= 65, name
        assert found.resent == 0, name


@pytest.mark.parametrize(("task", "after", "away"), [("task-1", 10, 0.5), ("task-2", 60, 2.5), ("task-3", 150, 5.0)])
def test_a_broker_that_dies_costs_at_most_one_chunk_beyond_those_without_a_receipt(
    drill: Tallied, task: str, after: int, away: float
) -> None:
    drill.submit(task)
    while sum(len(tally.sent) for tally in drill.tallies(task).values()) < after:
        time.sleep(0.002)
    drill.federation.processes.kill(BROKER)
    time.sleep(away)
    # Until then a node could hand chunks to a connection that it did not know to be dead.
    back = time.monotonic()
    drill.begin(BROKER)
    drill.until_done(task)
    for name, found in drill.tallies(task).items():
        lost = found.unacknowledged(back)
        sys.stdout.write(f"{task} {name}: {len(found.sent)} sent, {found.resent} again, {len(lost)} without receipt\n")
        assert len(lost) <= WINDOW, name
        assert found.resent <= len(lost) + 1, name
