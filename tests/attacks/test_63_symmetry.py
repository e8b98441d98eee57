"""Row 63: hidden units of a network in another order. A model that was published is handed out by another job, its
units changed about. Every update is the one that it was, and no sketch says so. Where the members of a job changed
between its rounds, such a job repeats a round over other members. So nobody gives it anything unless a person listed
it, which says what that tells.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.config import OwnTask
from node.task import RoundContext, load_task
from node.training import run_training
from secagg.learning.layout import Arrays, decode_model, encode_model
from support.bound import TORCH, closed, everyone, lost, play, refused, submit
from support.federation import make, names_of
from support.living import Held, status, until
from support.nodes import Ward

FIVE, FOUR = names_of(5), names_of(4)
GONE = "node-04"
WHOLE = {"max_examples": 2}
ORDER = (2, 0, 1)
RULE = "ledger.unlisted"
FIRST: Arrays = {
    "0.weight": np.array([[0.5], [-1.0], [1.5]], np.float32), "0.bias": np.array([0.1, 0.2, -0.3], np.float32),
    "2.weight": np.array([[0.7, -0.4, 1.1]], np.float32), "2.bias": np.zeros(1, np.float32),
}  # fmt: skip


def ward_of(tmp_path: Path) -> Ward:
    ward = Ward(make(5, chunk_bytes=4096), tmp_path)
    for index, node in enumerate(ward.nodes.values()):
        node.data.write_text(f"1 {2 + index}\n2 {3 - index}\n")
        node.tasks["curve"] = OwnTask("curve", f"{TORCH}:Hidden", node.data, {})
        node.policy = replace(node.policy, changing_sets=True)
    return ward


def changed_about(model: Arrays, order: tuple[int, ...] = ORDER) -> Arrays:
    """Return the same function of its input: hidden units in another order."""
    places = list(order)
    return {
        "0.weight": model["0.weight"][places], "0.bias": model["0.bias"][places],
        "2.weight": model["2.weight"][:, places], "2.bias": model["2.bias"],
    }  # fmt: skip


def model_of(ward: Ward, name: str) -> Arrays:
    found = ward.daemon.command({"command": "job-result", "name": name})
    assert isinstance(found, dict)
    return decode_model(Path(str(found["path"])).read_bytes())


def curve(ward: Ward, name: str, model: Arrays, rounds: int = 1) -> None:
    submit(ward, name, "curve", model=encode_model(model), rounds=rounds, cohort=WHOLE)


async def two_rounds(ward: Ward, without: str = "") -> Arrays:
    """Train over all five, then without one of them; return the model between the two."""
    held = Held(ward, "first", 1)
    if without:
        lost(ward, {"DeliverShares": {without}}, job="first", round=2)
    curve(ward, "first", FIRST, rounds=2)
    await held.reached()
    between = model_of(ward, "first")
    held.go()
    await until(ward, 2, "first")
    return between


def test_a_published_model_with_its_units_changed_about_gets_no_update(tmp_path: Path) -> None:
    told: list[object] = []

    async def script(ward: Ward) -> None:
        between = await two_rounds(ward, GONE)
        curve(ward, "again", changed_about(between))
        await ward.wait(2)
        told.append(status(ward, "node-00")["waiting"]["what"])
        await ward.wait(40)

    ward = play(ward_of(tmp_path), script)
    assert closed(ward, "first") == [list(FIVE), list(FOUR)]
    assert closed(ward, "again") == []
    assert refused(ward, "again") == everyone(FOUR, RULE)
    assert told == [
        "round 1 of again. The data of curve was trained on over more than one set before, and nobody here listed "
        "again. At every institution: secagg node allow again."
    ]


def test_what_a_person_lets_such_a_job_have_is_that_members_update(tmp_path: Path) -> None:
    """Which is why `secagg node allow` says so: sketches do not see it, and no set would have stopped it."""
    models: dict[str, Arrays] = {}

    async def script(ward: Ward) -> None:
        models["between"] = await two_rounds(ward, GONE)
        models["first"] = model_of(ward, "first")
        tells = ""
        for node in ward.nodes.values():
            asked = {"command": "allow", "job": "again", "overlap": False}
            tells = "\n".join(node.daemon.command(asked)["tells"])  # type: ignore[index]  # an object
            node.daemon.command(asked | {"confirmed": True})
        assert "also with hidden units in another order, they show it exactly" in tells
        curve(ward, "again", changed_about(models["between"]))
        await until(ward, 1, "again")
        models["again"] = model_of(ward, "again")

    ward = play(ward_of(tmp_path), script)
    assert closed(ward, "again") == [list(FIVE)]
    own = ward.nodes[GONE].tasks["curve"]
    trained = run_training(load_task(own.spec, own.options), models["between"], own.data, RoundContext("again", 1))
    back = changed_about(models["again"], tuple(int(place) for place in np.argsort(ORDER)))
    # Two examples each, and W = 2: sums are 10 and 8 halves.
    whole = {name: 5 * (back[name] - models["between"][name]) for name in FIRST}
    less = {name: 4 * (models["first"][name] - models["between"][name]) for name in FIRST}
    found = np.concatenate([(whole[name] - less[name]).ravel() for name in sorted(FIRST)])
    assert np.abs(trained.delta).max() > 0.1
    assert found == pytest.approx(trained.delta, abs=5e-3)


def test_over_one_set_it_is_given_to_that_set_only(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        between = await two_rounds(ward)
        lost(ward, {"DeliverShares": {GONE}}, job="less")
        curve(ward, "again", changed_about(between), rounds=2)
        await until(ward, 2, "again")
        curve(ward, "less", changed_about(between))
        await ward.wait(40)

    ward = play(ward_of(tmp_path), script)
    assert closed(ward, "first") == closed(ward, "again") == [list(FIVE)] * 2
    assert closed(ward, "less") == []
