"""Jobs by each algorithm, with real nodes and a real aggregator: what the file names is what everybody computes."""

from pathlib import Path

import numpy as np
import pytest

from node.config import OwnTask
from node.task import RoundContext, load_task
from node.training import run_training
from secagg.learning.algorithm import Totals, weighted
from secagg.learning.algorithms import algorithm_of, choose
from secagg.learning.layout import Arrays, decode_model
from support.bound import TORCH, closed, line, play, refused, submit
from support.federation import make, names_of
from support.nodes import Ward

FIVE, W, ROUNDS = names_of(5), 8, 3
GONE = "node-04"


def ward_of(tmp_path: Path) -> Ward:
    ward = Ward(make(5, chunk_bytes=4096), tmp_path)
    for index, node in enumerate(ward.nodes.values()):
        node.data.write_text("".join(f"{row / 4} {1 + row * index / 4}\n" for row in range(index + 1)))
        node.tasks["line"] = OwnTask("line", f"{TORCH}:Line", node.data, {"steps": 4, "rate": 0.2})
    return ward


def run(ward: Ward, **algorithm: object) -> Arrays:
    """Run a job by an algorithm; return its last model."""

    async def script(ward: Ward) -> None:
        file = {"cohort": {"max_examples": W, "step_timeout": "6s"}, "engine": {"clip": 4.0, "bits": 24}}
        submit(ward, "job", "line", model=line(), rounds=ROUNDS, algorithm=algorithm, **file)
        for _ in range(2 * ROUNDS + 2):
            await ward.gather()
            await ward.wait(8)

    play(ward, script)
    found = ward.daemon.command({"command": "job-result", "name": "job"})
    assert isinstance(found, dict)
    return decode_model(Path(str(found["path"])).read_bytes())


def reference(ward: Ward, name: str, numbers: dict[str, float], members: tuple[str, ...]) -> Arrays:
    """Return the model that the algorithm gives over these members' updates in clear."""
    algorithm, arrays = algorithm_of(choose(name, numbers)), decode_model(line())
    state = algorithm.begin(2)
    for number in range(1, ROUNDS + 1):
        total, examples = np.zeros(2), 0
        for member in members:
            own = ward.nodes[member].tasks["line"]
            context = RoundContext("job", number, rule=algorithm.local())
            update = run_training(load_task(own.spec, own.options), arrays, own.data, context)
            total += weighted(update.delta, update.num_examples, W)
            examples += update.num_examples
        arrays, state = algorithm.step(arrays, state, Totals({"update": total}, examples, W))
    return arrays


@pytest.mark.parametrize(("name", "numbers"), [("fedavg", {}), ("fedprox", {"mu": 1.0}), ("fedadam", {"rate": 0.25})])
def test_a_job_is_computed_by_the_algorithm_that_it_names(
    tmp_path: Path, name: str, numbers: dict[str, float]
) -> None:
    ward = ward_of(tmp_path)
    model, wanted = run(ward, name=name, **numbers), reference(ward, name, numbers, FIVE)
    # A second round closes only where every member computed the model of the first as the aggregator did.
    assert closed(ward, "job") == [list(FIVE)] * ROUNDS
    for tensor, values in wanted.items():
        assert model[tensor] == pytest.approx(values, abs=1e-4)
    for node in ward.nodes.values():
        # Of what the algorithm keeps there is one file at most: m and v, eight bytes a value.
        kept = [path for path in (node.place / "blobs").rglob("*") if path.is_file() and b'"m"' in path.read_bytes()]
        assert len(kept) == (name == "fedadam")
    other = reference(ward, "fedavg", {}, FIVE)
    assert (name == "fedavg") == (np.abs(wanted["weight"] - other["weight"]).max() < 1e-2)


def test_a_task_that_the_rule_cannot_correct_gives_nothing_and_the_others_go_on(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    odd = ward.nodes[GONE]
    odd.tasks["line"] = OwnTask("line", f"{TORCH}:Turned", odd.data, {"end": 1.0})
    model = run(ward, name="fedprox", mu=1.0)
    assert closed(ward, "job")[0] == list(FIVE[:4])
    assert refused(ward, "job")[GONE] == {"task.algorithm"}
    wanted = reference(ward, "fedprox", {"mu": 1.0}, FIVE[:4])
    assert model["weight"] == pytest.approx(wanted["weight"], abs=1e-4)
