"""Training while members, the aggregator and their disks fail at drawn moments and messages are lost or doubled. Every
job ends, and whoever took a round's result in stands at the same model. The simulator (tests/sim) plays sums only.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from node.config import OwnTask
from secagg.ids import STEPS
from secagg.learning.layout import encode_model
from secagg.protocol.acceptance import Policy
from secagg.transport.link import Received
from support.federation import make
from support.nodes import Ward
from support.simulation_clock import Chance

TORCH = Path(__file__).resolve().parents[1] / "support" / "torch_tasks.py"
JOBS = ("first", "second", "last")
FAULTS = ("kill", "step", "disk", "revive", "revive", "room", "room", "restart", "full", "nothing")


class Weather:
    """What goes wrong in one federation, by one seed, until it is calm."""

    def __init__(self, ward: Ward, seed: int) -> None:
        self._ward, self._calm = ward, False
        self._chance, self._messages = Chance(seed, "faults"), Chance(seed, "messages")
        ward.network._fate = self._fate

    def _fate(self, to: str, message: Received) -> Sequence[Received]:
        # The key server of these tests says everything once: what it says arrives.
        lasting = self._calm or message.kind in ("roster", "boot")
        copies = 1 if lasting else self._messages.choose((0, 2, *(1,) * 18))
        return [kept for _ in range(copies) for kept in self._ward._count(to, message)]

    async def blow(self) -> None:
        """Let one thing happen, or nothing."""
        name = self._chance.choose(tuple(self._ward.nodes))
        node, fault = self._ward.nodes[name], self._chance.choose(FAULTS)
        if fault == "kill" and node.alive:
            await node.kill()
        elif fault == "step" and node.alive:
            self._ward.kills[name] = self._chance.choose(STEPS)
        elif fault == "disk" and node.alive:
            node.journal.writable = False
        elif fault == "revive":
            self._revive(name)
        elif fault in ("room", "restart"):
            node.journal.writable = self._ward.journal.writable = True
        elif fault == "full":
            self._ward.journal.writable = False
        if fault == "restart":
            await self._ward.restart()
        await self._ward.wait(self._chance.choose((0.5, 1.0, 2.0)))

    def settle(self) -> None:
        """From now on nothing goes wrong, and everybody is there."""
        self._calm = self._ward.journal.writable = True
        self._ward.kills.clear()
        for name, node in self._ward.nodes.items():
            node.journal.writable = True
            self._revive(name)

    def _revive(self, name: str) -> None:
        node = self._ward.nodes[name]
        if not node.alive:
            node.journal.writable = True
            self._ward.revive(name)


def submit(ward: Ward, job: str, rounds: int, task: str = "task") -> None:
    model = ward.state / "line.safetensors"
    model.write_bytes(encode_model({"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)}))
    ward.submit(model, name=job, task=task, purpose="training", length=0, rounds=rounds)


def models(ward: Ward) -> dict[tuple[str, int], set[str]]:
    """Return the digests of the models that the aggregator and the nodes computed, by job and round."""
    found: dict[tuple[str, int], set[str]] = defaultdict(set)
    events = [*ward.named("model"), *(event for node in ward.nodes.values() for event in node.named("result"))]
    for event in events:
        found[event["job"], event["round"]].add(event["digest"])
    return found


@pytest.mark.parametrize("rate", [0.0, 0.1], ids=["still", "learning"])
@pytest.mark.parametrize("seed", range(4))
def test_every_training_job_ends_and_everybody_has_the_same_models(tmp_path: Path, seed: int, rate: float) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    for node in ward.nodes.values():
        node.data.write_text("1 3\n2 5\n")
        # Other data for the last job: what was summed in bad weather binds its own rounds for good.
        other = node.data.with_name("other.txt")
        other.write_text("1 3\n2 5\n")
        for task, data in (("task", node.data), ("other", other)):
            node.tasks[task] = OwnTask(task, f"{TORCH}:Line", data, {"rate": rate})
        node.policy = Policy(exact_counts=True, changing_sets=True, min_change=0.0)
    weather = Weather(ward, seed)

    async def script(_: object) -> None:
        await ward.start_nodes()
        submit(ward, "first", rounds=3)
        submit(ward, "second", rounds=2)
        for _ in range(60):
            await weather.blow()
        weather.settle()
        await ward.wait(120)
        submit(ward, "last", rounds=3, task="other")
        await ward.wait(40)
        await ward.stop_nodes()

    ward.play(script)
    done = {event["job"] for event in ward.named("job_done")}
    assert done | {event["job"] for event in ward.named("job_failed")} == set(JOBS)
    assert "last" in done, "with nothing in the way a job is done"
    assert {key for key, digests in models(ward).items() if len(digests) > 1} == set()
    for node in ward.nodes.values():
        assert {1, 2, 3} <= {event["round"] for event in node.named("result") if event["job"] == "last"}
