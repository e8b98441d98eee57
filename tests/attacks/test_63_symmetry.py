"""Row 63: hidden units of a network in another order. A model that was published is handed out by another job, its
units changed about. Every update is the one that it was, and no sketch says so. Where the members of a job changed
between its rounds, such a job repeats a round over other members. So nobody gives it anything unless a person listed
it, which says what that tells. What a node was given is in one ledger, so the rule holds whoever opens the sums, and
between members who open them and trustees.
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
from secagg.learning.layout import Arrays, decode_model, encode_model
from secagg.protocol.acceptance import Policy
from secagg.rehearsal.entrusted import Entrusted, entrust
from support.bound import TORCH, closed, everyone, lost, play, refused, submit
from support.entrusted import dealt
from support.entrusted_hall import EntrustedWard
from support.federation import counted_rng, job, make, names_of
from support.living import Held, status, until
from support.nodes import Ward
from support.paillier_keys import SMALL

pytestmark = pytest.mark.usefixtures("short_keys")

FIVE, FOUR = names_of(5), names_of(4)
GONE = "node-04"
WHOLE = {"max_examples": 2}
ORDER = (2, 0, 1)
RULE = "ledger.unlisted"
WILLING = Policy(
    engines=("masks", "paillier"), exact_counts=True, allow_trials=True, min_key_bits=SMALL, changing_sets=True
)
UNHEARD = {"masks": "DeliverShares", "paillier": "EncryptedInput"}
"""What is lost of a member that is to be missing in a set, by engine."""
FIRST: Arrays = {
    "0.weight": np.array([[0.5], [-1.0], [1.5]], np.float32), "0.bias": np.array([0.1, 0.2, -0.3], np.float32),
    "2.weight": np.array([[0.7, -0.4, 1.1]], np.float32), "2.bias": np.zeros(1, np.float32),
}  # fmt: skip


def ward_of(tmp_path: Path) -> Ward:
    return given_data(Ward(make(5, chunk_bytes=4096), tmp_path))


@lru_cache
def federation() -> Entrusted:
    key, shares = dealt(3, 2)
    spec = job(FIVE, purpose="sum", bits=64, scalars=())
    return entrust(FIVE, spec, key, dict(zip(key.trustees, shares, strict=True)), counted_rng(b"symmetry"))


def entrusted_ward_of(tmp_path: Path) -> EntrustedWard:
    """Return the same institutions with trustees, whose policy lets both of them open sums."""
    ward = EntrustedWard(federation(), tmp_path, WILLING)
    given_data(ward)
    return ward


def given_data(ward: Ward) -> Ward:
    """Give every institution two points, and a task with hidden units over them."""
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


def curve(ward: Ward, name: str, model: Arrays, rounds: int = 1, engine: str = "masks") -> None:
    more: dict[str, Any] = {"engine": {"name": engine}}
    if isinstance(ward, EntrustedWard) and engine == "paillier":
        more["custody"] = ward.custody
    submit(ward, name, "curve", model=encode_model(model), rounds=rounds, cohort=WHOLE, **more)


async def reached(ward: EntrustedWard, count: int, job: str, seconds: int = 60) -> None:
    """Let time pass, trustees being here, until a job has closed so many rounds or is over; or no longer than that."""
    for _ in range(2 * seconds):
        over = [event for event in (*ward.named("job_done"), *ward.named("job_failed")) if event["job"] == job]
        if over or len(closed(ward, job)) >= count:
            return
        await ward.gather()
        await ward.wait(0.5)


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


# Whoever opens the sums -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now"), [("paillier", "paillier"), ("masks", "paillier"), ("paillier", "masks")],
    ids=["trustees", "members then trustees", "trustees then members"],
)  # fmt: skip
@pytest.mark.parametrize("changed", [True, False], ids=["two sets", "one set"])
def test_it_is_the_same_whoever_opens_the_sums(tmp_path: Path, before: str, now: str, changed: bool) -> None:
    """After two sets no set will do; after one, that set does, and no other."""

    async def script(_: Ward) -> None:
        held = Held(ward, "first", 1)
        if changed:
            lost(ward, {UNHEARD[before]: {GONE}}, job="first", round=2)
        curve(ward, "first", FIRST, 2, before)
        await reached(ward, 1, "first")
        between = model_of(ward, "first")
        held.go()
        await reached(ward, 2, "first")
        curve(ward, "again", changed_about(between), 1, now)
        await reached(ward, 1, "again")
        lost(ward, {UNHEARD[now]: {GONE}}, job="less")
        curve(ward, "less", changed_about(between, (1, 2, 0)), 1, now)
        await reached(ward, 1, "less")

    ward = entrusted_ward_of(tmp_path)
    play(ward, script)
    assert closed(ward, "first") == [list(FIVE), list(FOUR if changed else FIVE)]
    assert closed(ward, "again") == ([] if changed else [list(FIVE)])
    assert closed(ward, "less") == []
    if changed:
        found = refused(ward, "again")
        assert {name: found[name] for name in FOUR} == everyone(FOUR, RULE)
