"""Row 50: one input in another encoding. What a job writes of weights, clip, bits, metrics and algorithm changes the
words of an update. So two jobs over one set that differ in it alone tell something of a single member.

Real nodes and a real aggregator. Each of five institutions has one example more than the one before it. W · sum over
min(n, W) · update is a line in W but for the members whose number of examples is W. Of three bounds in a row, the
second difference is the update of the members at the one in the middle. A node gives an input in one encoding only,
whichever engine opens it, unless a person there listed the job.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.config import OwnTask
from node.task import RoundContext, load_task
from node.training import run_training
from secagg.learning.layout import decode_model
from secagg.protocol.acceptance import Policy
from secagg.rehearsal.entrusted import Entrusted, entrust
from support.bound import TORCH, closed, everyone, line, play, refused, submit, trains
from support.entrusted import dealt
from support.entrusted_hall import EntrustedWard
from support.federation import counted_rng, job, make, names_of
from support.nodes import SUM_TASK, Ward
from support.paillier_keys import SMALL

pytestmark = pytest.mark.usefixtures("short_keys")

WILLING = Policy(engines=("masks", "paillier"), exact_counts=True, allow_trials=True, min_key_bits=SMALL)
FIVE, FOUR = names_of(5), names_of(4)
PLAIN: dict[str, Any] = {"cohort": {"max_examples": 3}}
OTHERS: dict[str, dict[str, Any]] = {
    "weights": {"cohort": {"max_examples": 4}},
    "clip": {**PLAIN, "engine": {"clip": 0.5}},
    "bits": {**PLAIN, "engine": {"bits": 15}},
    "algorithm": {**PLAIN, "algorithm": {"name": "fedprox", "mu": 1.0}},
    "metric": {**PLAIN, "metrics": [{"name": "loss", "max": 1000.0}]},
}
LOSS: dict[str, Any] = {**PLAIN, "metrics": [{"name": "loss", "max": 1000.0}]}
BOUNDS: dict[str, dict[str, Any]] = {
    "bound": {**PLAIN, "metrics": [{"name": "loss", "max": 900.0}]},
    "fraction": {**PLAIN, "metrics": [{"name": "loss", "max": 1000.0, "fraction": 2}]},
}


def ward_of(tmp_path: Path, **policy: object) -> Ward:
    ward = Ward(make(5, chunk_bytes=4096), tmp_path / "one")
    for node in ward.nodes.values():
        node.policy = replace(node.policy, **policy)  # type: ignore[arg-type]
    examples(ward)
    return ward


def examples(ward: Ward) -> None:
    """Give every institution one example more than the one before it."""
    trains(ward)
    for index, node in enumerate(ward.nodes.values()):
        node.data.write_text("".join(f"{row} {3 + index * row}\n" for row in range(1, index + 2)))


def play_jobs(ward: Ward, *jobs: dict[str, Any], listed: tuple[str, ...] = ()) -> Ward:
    """Let jobs run one after the other: `job-0`, `job-1`, …; a person everywhere allowed the `listed` ones."""

    async def script(ward: Ward) -> None:
        for number, fields in enumerate(jobs):
            name = f"job-{number}"
            if name in listed:
                for node in ward.nodes.values():
                    node.daemon.command({"command": "allow", "job": name, "overlap": False, "confirmed": True})
            submit(ward, name, model=line(), **fields)
            for _ in range(4):
                await ward.gather()
                await ward.wait(2)

    return play(ward, script)


def total(ward: Ward, name: str) -> float:
    """Return W times the sum of a job's first round, of the tensor `bias`, as anybody computes it from what is public.

    The first model is zero, and the second is the sum's W-fold by the number of examples.
    """
    shown = ward.daemon.command({"command": "job-result", "name": name})
    assert isinstance(shown, dict)
    model = decode_model(Path(str(shown["path"])).read_bytes())
    (told,) = [event for event in ward.named("model") if event["job"] == name]
    return float(model["bias"][0]) * float(told["scalars"]["examples"])


@pytest.mark.parametrize("differs", OTHERS)
@pytest.mark.parametrize("changing", [False, True], ids=["kept", "changing"])
def test_one_input_is_not_given_in_another_encoding(tmp_path: Path, differs: str, changing: bool) -> None:
    ward = play_jobs(ward_of(tmp_path, changing_sets=changing), PLAIN, OTHERS[differs])
    assert closed(ward, "job-0") == [list(FIVE)]
    assert closed(ward, "job-1") == []
    assert refused(ward, "job-1") == everyone(FIVE, "ledger.encoding")


@pytest.mark.parametrize("differs", BOUNDS)
def test_the_bounds_of_a_metric_are_part_of_it(tmp_path: Path, differs: str) -> None:
    ward = play_jobs(ward_of(tmp_path), LOSS, BOUNDS[differs])
    assert closed(ward, "job-0") == [list(FIVE)]
    assert refused(ward, "job-1") == everyone(FIVE, "ledger.encoding")


def test_what_three_bounds_tell_whom_persons_let_have_them(tmp_path: Path) -> None:
    """Which is why it needs them: the second difference is the update of the one member with three examples."""
    bounds = ({"cohort": {"max_examples": many}} for many in (2, 3, 4))
    ward = play_jobs(ward_of(tmp_path), *bounds, listed=("job-1", "job-2"))
    two, three, four = (total(ward, f"job-{number}") for number in range(3))
    own = ward.nodes["node-02"].tasks["task"]
    model = {"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    update = run_training(load_task(own.spec, own.options), model, own.data, RoundContext("job-0", 1))
    assert update.num_examples == 3
    # In the order of names: `bias` comes first.
    assert 2 * three - two - four == pytest.approx(float(update.delta[0]), abs=0.02)
    assert abs(update.delta[0]) > 0.5


def test_a_listed_job_has_its_own_and_the_next_one_has_that_of_the_first(tmp_path: Path) -> None:
    ward = play_jobs(
        ward_of(tmp_path), PLAIN, OTHERS["weights"], OTHERS["weights"], {**PLAIN, "rounds": 2}, listed=("job-1",)
    )
    assert closed(ward, "job-1") == [list(FIVE)]
    assert refused(ward, "job-2") == everyone(FIVE, "ledger.encoding")
    assert closed(ward, "job-3") == [list(FIVE)] * 2


def test_a_refusal_says_which_job_was_first_and_what_gets_on(tmp_path: Path) -> None:
    ward = play_jobs(ward_of(tmp_path), PLAIN, OTHERS["weights"])
    event = ward.nodes["node-00"].named("refuse")[-1]
    assert event["cause"] == (
        "job-1 turns the data of task into numbers in another way than job-0 did: max_examples, clip, bits or metrics "
        "differ."
    )
    assert event["remedy"] == "Give it those of job-0, or let it run as it is: secagg node allow job-1."


def test_sums_of_different_tasks_over_one_source_need_nobody(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    for node in ward.nodes.values():
        node.tasks["rows"] = OwnTask("rows", f"{TORCH}:Total", node.data, {})
        node.tasks["more"] = OwnTask("more", f"{node.place / 'task.py'}:Ones", node.data, {})
        (node.place / "task.py").write_text(SUM_TASK.replace("data.read_text()", "len(data.read_text())"))

    async def script(ward: Ward) -> None:
        for name, task, length in (("one", "rows", 2), ("two", "more", 7), ("three", "rows", 2)):
            submit(ward, name, task, length=length)
            await ward.wait(8)

    play(ward, script)
    assert [closed(ward, name) for name in ("one", "two", "three")] == [[list(FIVE)]] * 3
    assert not any(node.named("refuse") for node in ward.nodes.values())


# Trustees and members -------------------------------------------------------------------------------------------------


@lru_cache
def federation() -> Entrusted:
    key, shares = dealt(3, 2)
    spec = job(FOUR, purpose="sum", bits=64, scalars=())
    return entrust(FOUR, spec, key, dict(zip(key.trustees, shares, strict=True)), counted_rng(b"encoding"))


@pytest.mark.parametrize("engines", [("masks", "paillier"), ("paillier", "masks"), ("paillier", "paillier")])
def test_an_encoding_is_the_same_whoever_opens_the_sum(tmp_path: Path, engines: tuple[str, str]) -> None:
    """The engine is no part of it, nor is how words lie: the same goes by both, another one by neither."""
    ward = EntrustedWard(federation(), tmp_path, WILLING)
    examples(ward)

    def by(engine: str, fields: dict[str, Any]) -> dict[str, Any]:
        named = {"name": engine, "chunk": 4096, **fields.get("engine", {})}
        custody = {"custody": ward.custody} if engine == "paillier" else {}
        return {**fields, **custody, "engine": named}

    first, second = engines
    play_jobs(ward, by(first, PLAIN), by(second, PLAIN), by(second, OTHERS["weights"]), by(second, OTHERS["bits"]))
    assert closed(ward, "job-0") == closed(ward, "job-1") == [list(FOUR)]
    for name in ("job-2", "job-3"):
        assert closed(ward, name) == []
        assert refused(ward, name) == everyone(FOUR, "ledger.encoding")
