"""Row 4: nothing that others can watch depends on an institution's data, so participation is all there is to join.

A federation is run twice, from the same keys and draws, over other data. Values, numbers of examples and metrics are
others, and a task fails with other words. Everything that leaves an institution or can be asked of the others is the
same both times, but for digests, ciphertext, and the sum itself. That is logs, events, answers of the admin socket,
statements, and who sent how many bytes of what to whom, in which order.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import prometheus_client
import pytest

from node.config import OwnTask
from secagg.learning.layout import encode_model
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import Received
from support.federation import make
from support.nodes import Ward

TORCH = Path(__file__).resolve().parents[1] / "support" / "torch_tasks.py"
DIGEST = re.compile(r"[0-9a-f]{32,}")
PLACE = re.compile(r"/[^\" ]*")


def masked(value: object) -> object:
    """Return what somebody sees, with digests and paths of the machine left out."""
    text = json.dumps(value, sort_keys=True, default=str)
    return json.loads(DIGEST.sub("digest", PLACE.sub("path", text)))


class Watcher:
    """Somebody who sees everything of a federation but the inside of its institutions."""

    def __init__(self, place: Path) -> None:
        self.ward = Ward(make(4, chunk_bytes=4096), place)
        self.traffic: list[tuple[str, str, str, int, int]] = []
        self.asked: list[object] = []
        self.ward.network._fate = self._see

    def _see(self, to: str, message: Received) -> tuple[Received, ...]:
        self.traffic.append((message.sender, to, message.kind, len(message.header), len(message.body)))
        return self.ward._count(to, message)

    def _ask(self) -> None:
        for request in ({"command": "status"}, {"command": "job-list"}, {"command": "job-show", "name": "job"}):
            self.asked.append(self.ward.daemon.command(dict(request)))

    def watch(self, begin: Callable[[Ward], None], seconds: float) -> "Watcher":
        """Run the federation and look at it all the time."""

        async def script(_: object) -> None:
            await self.ward.start_nodes()
            begin(self.ward)
            for _ in range(round(seconds)):
                await self.ward.wait(1)
                self._ask()
            await self.ward.stop_nodes()

        self.ward.play(script)
        return self

    def seen(self) -> dict[str, object]:
        """Return everything by where it was seen, but the sums over everybody (`scalars`), which are the result."""
        log = self.ward.rounds_log
        others = [json.loads(line) for line in self.ward.log.getvalue().splitlines()]
        for event in others:
            event.pop("timestamp", None)
        return {
            "traffic": self.traffic,
            "events": masked([{k: v for k, v in event.items() if k != "scalars"} for event in self.ward.events]),
            "log": masked(others),
            "answers": masked(self.asked),
            "statements": [masked(json.loads(log.leaf(index))) for index in range(log.size)],
        }


MODEL = encode_model({"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)})


def train(points: str) -> Callable[[Ward], None]:
    """Return the beginning of a training job in which node-03 has these points."""

    def begin(ward: Ward) -> None:
        for node in ward.nodes.values():
            node.data.write_text("1 3\n2 5\n")
            node.tasks["task"] = OwnTask("task", f"{TORCH}:Line", node.data, {})
        ward.nodes["node-03"].data.write_text(points)
        model = ward.state / "line.safetensors"
        model.write_bytes(MODEL)
        ward.submit(model, purpose="training", length=0)

    return begin


def add_up(value: str) -> Callable[[Ward], None]:
    """Return the beginning of a sum job in which node-03 has this value, or something that is none."""

    def begin(ward: Ward) -> None:
        ward.nodes["node-03"].data.write_text(value)
        ward.submit()

    return begin


PAIRS = {
    "other points": (train("1 3\n2 5\n"), train("9 1\n8 2\n7 3\n6 4\n")),
    "points far outside the clip": (train("1 3\n2 5\n"), train("900000 1\n")),
    "a training that diverges": (train("1 nan\n"), train("5 nan\n6 nan\n7 nan\n")),
    "another sum": (add_up("1.0"), add_up("-77.25")),
    "a task that fails": (add_up("patient Miller, 300 mg"), add_up("patient Smith, 12 mg, since March")),
    "a sum that is too large": (add_up("1e30"), add_up("7e29")),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_others_see_is_the_same_whatever_the_data_are(name: str, tmp_path: Path) -> None:
    one, other = PAIRS[name]
    first = Watcher(tmp_path / "one").watch(one, 4).seen()
    second = Watcher(tmp_path / "other").watch(other, 4).seen()
    for place, seen in first.items():
        assert seen == second[place], place
    events: list[dict[str, Any]] = first["events"]  # type: ignore[assignment]
    contributors = [event["contributors"] for event in events if event["event"] == "round_closed"]
    fails = any(word in name for word in ("diverges", "fails", "large"))
    assert contributors == [[f"node-{index:02d}" for index in range(3 if fails else 4)]]
    assert len(first["traffic"]) > 100  # type: ignore[arg-type]


def test_no_text_of_a_task_or_its_data_leaves_the_institution(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path)
    bodies: list[bytes] = []
    inner = watcher.ward.network._fate

    def keep(to: str, message: Received) -> tuple[Received, ...]:
        bodies.extend((message.header, message.body))
        return tuple(inner(to, message))

    watcher.ward.network._fate = keep
    seen = json.dumps(watcher.watch(add_up("patient Miller, 300 mg"), 4).seen(), default=str)
    own = watcher.ward.nodes["node-03"]
    assert "Miller" in str(own.named("refuse"))  # The institution is told; its people have to mend it.
    assert "Miller" not in seen
    assert not any(b"Miller" in body for body in bodies)
    for name, node in watcher.ward.nodes.items():
        assert name == "node-03" or "Miller" not in node.log.getvalue() + str(node.events)
    assert "task.failed" in seen
    assert "task.task" not in seen


def test_no_metric_has_an_institution_for_a_label() -> None:
    labels = {label for metric in prometheus_client.REGISTRY.collect() for s in metric.samples for label in s.labels}
    assert not labels & {"institution", "member", "node", "peer", "organisation"}


def test_what_others_are_told_is_of_a_few_known_kinds(tmp_path: Path) -> None:
    """A new field that names an institution beside a number has to be thought about here."""
    watcher = Watcher(tmp_path).watch(add_up("1.0"), 4)
    numbers = {
        key for event in watcher.ward.events if any(place in event for place in ("institution", "member", "peer"))
        for key, value in event.items() if isinstance(value, int | float)
    }  # fmt: skip
    assert numbers <= {"round", "attempt", "since", "until"}
    assert AGGREGATOR not in {event.get("institution") for event in watcher.ward.events}
