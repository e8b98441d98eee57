"""A short drill (`make drill` is the long one): every role dies at crash points of its loop, and the sum is the same.

Real processes on loopback. The points of this run are fixed, so that it says the same every time.
"""

import time
from collections.abc import Iterator

import pytest

from secagg.demo.founding import AGGREGATOR
from secagg.events.federation import Heard, Silent
from support import drills
from support.admissions import Admission
from support.drills import BROKER, KEYSERVER, Counts, Drill

pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.timeout(120)]

FIXED = {
    AGGREGATOR: ["before-save/chunk@5", "after-save/work.take@2", "after-save/work.unmask@1"],
    BROKER: ["relay/bulk@9"],
    KEYSERVER: ["after-save/timer.remind@1"],
    "node-0": ["after-save/work.mask@1"],
    "node-1": ["after-save/ack-chunk@5"],
    "node-2": ["before-save/round.Freeze@1"],
}
"""Lines of the crash table: each is met in one round, whatever the others do."""


class Planned(Drill):
    """Lets each role meet the points of the plan, one after the other."""

    def point(self, name: str) -> str:
        plan = self._queues.setdefault(name, list(FIXED.get(name, ())))
        return plan.pop(0) if plan else ""


@pytest.fixture(scope="module")
def drill() -> Iterator[Planned]:
    with drills.founded() as federation:
        found = Planned(federation, Counts(), 1)
        found._armed |= {BROKER: "", KEYSERVER: ""}
        for name in (AGGREGATOR, *drills.NODES):
            found.begin(name, found.point(name))
        for name in (BROKER, KEYSERVER):
            federation.processes.kill(name)
            found.begin(name, found.point(name))
        yield found


def test_whatever_dies_at_a_named_point_the_sum_is_that_of_the_fault_free_run(drill: Planned) -> None:
    drill.job(kills=0, again=len(drills.NODES) + 3)
    wanted = {f"{drills.role_of(name)} {point}" for name, points in FIXED.items() for point in points}
    drill.quiet()
    assert drill.counts.wrong == []
    assert set(drill.counts.points) == wanted
    assert drill.counts.kills.total() == sum(len(points) for points in FIXED.values())
    assert drills.audited(drill.federation) == ""


def test_a_frozen_member_is_noticed_within_eight_seconds_and_its_thaw_too(drill: Planned) -> None:
    """Runs on the federation of the drill before; nobody is waited for, and still the silence is said."""
    events = drill.federation.watch()
    frozen = time.monotonic()
    drill.freeze("node-3", 60.0)
    told = next(event for event in events if isinstance(event, Silent))
    assert (told.peer, time.monotonic() - frozen < 8.0) == ("node-3", True)
    assert "node-3" in drill.ask(AGGREGATOR, command="link")["silent"]
    assert drill.ask(AGGREGATOR, command="status")["members"]["node-0"]
    drill._thaw("node-3")
    assert next(event for event in events if isinstance(event, Heard)).peer == "node-3"
    events.close()


def test_a_frozen_aggregator_is_noticed_by_the_nodes_within_eight_seconds(drill: Planned) -> None:
    frozen = time.monotonic()
    drill.freeze(AGGREGATOR, 60.0)
    while "aggregator" not in drill.ask("node-0", command="link")["silent"]:
        assert time.monotonic() - frozen < 8.0
        time.sleep(0.1)
    drill._thaw(AGGREGATOR)


@pytest.mark.parametrize("point", ["before-save/enrol@1", "after-save/command.member.approve@1"])
def test_an_institution_is_enrolled_once_wherever_the_key_server_dies(drill: Planned, point: str) -> None:
    """The last ones on this federation: a round would wait for the newcomers. `make drill` dies at every point."""
    assert point in drills.ENROLMENT
    Admission(drill, f"late-{drills.ENROLMENT.index(point)}").run(point)
    assert drill.counts.points[f"{KEYSERVER} {point}"] == 1
