"""Row 50: a sum and a training of one source, one member between them. A sum tells counts, and a training's lanes tell
counts: numbers of examples, and any metric of a first model that somebody chose. So the difference of a sum over five
and a round of training over four is what the fifth counts. It does not matter which came first, and who opened either.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from node.config import OwnTask
from secagg.protocol.acceptance import Policy
from secagg.rehearsal.entrusted import Entrusted, entrust
from support.bound import TORCH, closed, everyone, heedless, line, play, refused, submit
from support.entrusted import dealt
from support.entrusted_hall import EntrustedWard
from support.federation import counted_rng, job, make, names_of
from support.nodes import Ward
from support.paillier_keys import SMALL

pytestmark = pytest.mark.usefixtures("short_keys")

FIVE, FOUR, THREE = names_of(5), names_of(4), names_of(3)
WILLING = Policy(engines=("masks", "paillier"), exact_counts=True, allow_trials=True, min_key_bits=SMALL)
RULE = "ledger.source"
Ask = Callable[..., object]


def one_file(ward: Ward) -> None:
    """Give every institution one file, which one task sums and another learns from."""
    for index, node in enumerate(ward.nodes.values()):
        node.data.write_text(f"1 {3 + index}\n2 {5 + index * index}\n")
        node.tasks = {
            "sum": OwnTask("sum", f"{TORCH}:Total", node.data, {}),
            "learn": OwnTask("learn", f"{TORCH}:Line", node.data, {}),
        }


def ward_of(tmp_path: Path, **policy: object) -> Ward:
    ward = Ward(make(5, chunk_bytes=4096), tmp_path)
    for node in ward.nodes.values():
        node.policy = replace(node.policy, **policy)  # type: ignore[arg-type]
    one_file(ward)
    return ward


def summed(ward: Ward, name: str, **fields: object) -> object:
    return submit(ward, name, "sum", length=2, **fields)


def trained(ward: Ward, name: str, **fields: object) -> object:
    return submit(ward, name, "learn", model=line(), **fields)


@pytest.mark.parametrize("heeds", [True, False], ids=["heeds", "heedless"])
@pytest.mark.parametrize(("first", "again"), [(summed, trained), (trained, summed)], ids=["sum-first", "sum-last"])
def test_what_was_summed_over_five_is_not_trained_over_four(
    tmp_path: Path, first: Ask, again: Ask, heeds: bool
) -> None:
    async def script(ward: Ward) -> None:
        first(ward, "first")
        await ward.wait(8)
        again(ward, "again", members=FOUR)
        await ward.wait(30)

    ward = ward_of(tmp_path)
    if heeds:
        play(ward, script)
    else:
        with heedless():
            play(ward, script)
        assert refused(ward, "again") == everyone(FOUR, RULE)
    assert closed(ward, "first") == [list(FIVE)]
    assert closed(ward, "again") == []


def test_tasks_that_are_inputs_of_their_own_are_bound_to_training_all_the_same(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        trained(ward, "first")
        await ward.wait(8)
        summed(ward, "again", members=FOUR)
        await ward.wait(30)

    with heedless():
        ward = play(ward_of(tmp_path, static_inputs="task"), script)
    assert refused(ward, "again") == everyone(FOUR, RULE)


def test_over_the_same_members_both_run_in_either_order(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        summed(ward, "sum-1")
        await ward.wait(8)
        trained(ward, "train", rounds=2)
        await ward.wait(12)
        summed(ward, "sum-2")
        await ward.wait(8)

    ward = play(ward_of(tmp_path), script)
    assert closed(ward, "sum-1") == closed(ward, "sum-2") == [list(FIVE)]
    assert closed(ward, "train") == [list(FIVE)] * 2
    assert not any(node.named("refuse") for node in ward.nodes.values())


def test_other_data_is_bound_to_nothing_of_it(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    for node in ward.nodes.values():
        own = node.tasks["learn"]
        node.tasks["learn"] = OwnTask(own.name, own.spec, own.data, own.options, "2027")

    async def script(ward: Ward) -> None:
        summed(ward, "first")
        await ward.wait(8)
        trained(ward, "again", members=FOUR)
        await ward.wait(12)

    play(ward, script)
    assert closed(ward, "again") == [list(FOUR)]


def test_where_an_institution_wrote_that_sets_change_training_is_bound_to_no_sum(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        summed(ward, "first")
        await ward.wait(8)
        trained(ward, "again", members=FOUR)
        await ward.wait(12)

    ward = play(ward_of(tmp_path, changing_sets=True), script)
    assert closed(ward, "again") == [list(FOUR)]


# Trustees and members -------------------------------------------------------------------------------------------------


@lru_cache
def federation() -> Entrusted:
    key, shares = dealt(3, 2)
    spec = job(FOUR, purpose="sum", bits=64, scalars=())
    return entrust(FOUR, spec, key, dict(zip(key.trustees, shares, strict=True)), counted_rng(b"both"))


@pytest.mark.parametrize("entrusted", ["sum", "training", "both"])
@pytest.mark.parametrize(("first", "again"), [(summed, trained), (trained, summed)], ids=["sum-first", "sum-last"])
def test_who_opens_either_makes_no_difference(tmp_path: Path, first: Ask, again: Ask, entrusted: str) -> None:
    ward = EntrustedWard(federation(), tmp_path, WILLING)
    one_file(ward)

    async def ask(ward: Ward, which: Ask, name: str, **fields: object) -> None:
        by_trustees = entrusted in ("both", {summed: "sum", trained: "training"}[which])
        engine = {"engine": {"name": "paillier", "chunk": 4096}, "custody": tmp_path / "custody.bin"}
        which(ward, name, **(engine if by_trustees else {}), **fields)
        for _ in range(6):
            await ward.gather()
            await ward.wait(2)

    async def script(ward: Ward) -> None:
        await ask(ward, first, "first")
        await ask(ward, again, "again", members=THREE)
        await ask(ward, again, "whole")

    with heedless():
        play(ward, script)
    assert closed(ward, "first") == closed(ward, "whole") == [list(FOUR)]
    assert closed(ward, "again") == []
    assert refused(ward, "again") == everyone(THREE, RULE)
