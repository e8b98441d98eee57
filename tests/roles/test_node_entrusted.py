"""Real nodes in jobs of engine paillier: exact sums, deaths on the way, policies that refuse, keys and ledgers."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path

import pytest

from secagg.crypto.derive import sha256
from secagg.protocol.acceptance import Policy
from secagg.protocol.binding import seats_digest
from secagg.protocol.paillier.door import public_key
from secagg.rehearsal.entrusted import Entrusted, entrust
from support.entrusted import dealt
from support.entrusted_hall import EntrustedWard
from support.federation import counted_rng, job, names_of
from support.paillier_keys import SMALL

pytestmark = pytest.mark.usefixtures("short_keys")

WILLING = Policy(engines=("masks", "paillier"), exact_counts=True, allow_trials=True, min_key_bits=SMALL)
Script = Callable[[EntrustedWard], Awaitable[None]]


@lru_cache
def federation() -> Entrusted:
    key, shares = dealt(3, 2)
    spec = job(names_of(4), purpose="sum", bits=64, scalars=())
    secrets = dict(zip(key.trustees, shares, strict=True))
    return entrust(names_of(4), spec, key, secrets, counted_rng(b"ward"))


def play(tmp_path: Path, script: Script, policy: Policy = WILLING) -> EntrustedWard:
    ward = EntrustedWard(federation(), tmp_path, policy)

    async def main(_: object) -> None:
        await ward.start_nodes()
        try:
            await script(ward)
        finally:
            await ward.stop_nodes()

    ward.play(main)
    return ward


async def one_job(ward: EntrustedWard) -> None:
    ward.submit()
    await ward.gather()
    await ward.wait(6)


def total(*absent: int) -> list[float]:
    return [float(sum(2**index for index in range(4) if index not in absent))] * 7


def test_a_sum_is_exact_and_every_node_takes_its_result_in(tmp_path: Path) -> None:
    ward = play(tmp_path, one_job)
    assert ward.result()["values"] == total()
    for node in ward.nodes.values():
        assert [event["round"] for event in node.named("result")] == [1]
        (told,) = node.named("readers")
        assert told["state"] == "trial"
        assert told["cause"].startswith("Any 2 of ana, ben, cyd together can read every single update.")
        assert "error" not in node.log.getvalue()


def test_a_node_that_dies_before_it_encrypts_comes_back_in_time(tmp_path: Path) -> None:
    async def script(ward: EntrustedWard) -> None:
        ward.kills["node-01"] = "AdvertiseKeys"
        ward.submit()
        await ward.gather()
        await ward.wait(1)
        assert not ward.nodes["node-01"].alive
        ward.revive("node-01")
        await ward.wait(6)

    ward = play(tmp_path, script)
    assert ward.result()["values"] == total()


def test_a_node_that_dies_after_its_upload_is_in_the_sum_and_takes_the_result_in_later(tmp_path: Path) -> None:
    async def script(ward: EntrustedWard) -> None:
        for trustee in ward.trustees.values():
            trustee.silent = "Witness"
        ward.submit()
        await ward.gather()
        await ward.wait(1)
        await ward.nodes["node-01"].kill()
        for trustee in ward.trustees.values():
            await trustee.release()
        await ward.wait(2)
        assert ward.named("job_done")
        ward.revive("node-01")
        await ward.wait(6)

    ward = play(tmp_path, script)
    assert ward.result()["values"] == total()
    assert [event["round"] for event in ward.nodes["node-01"].named("result")] == [1]


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (Policy(exact_counts=True, allow_trials=True), "policy.engines"),
        (Policy(exact_counts=True, engines=("paillier",)), "custody.trial"),
        (Policy(exact_counts=True, engines=("paillier",), allow_trials=True, min_key_bits=3072), "custody.bits"),
    ],
)
def test_an_institution_that_does_not_want_these_trustees_leaves_the_round(
    tmp_path: Path, policy: Policy, rule: str
) -> None:
    ward = EntrustedWard(federation(), tmp_path, WILLING)
    ward.nodes["node-02"].policy = policy

    async def main(_: object) -> None:
        await ward.start_nodes()
        try:
            await one_job(ward)
        finally:
            await ward.stop_nodes()

    ward.play(main)
    assert ward.result()["values"] == total(2)
    assert [event["rule"] for event in ward.nodes["node-02"].named("refuse")] == [rule]


def test_a_key_is_remembered_and_the_upload_is_in_the_ledger(tmp_path: Path) -> None:
    ward = play(tmp_path, one_job)
    custody = federation().custody
    modulus = public_key(custody).modulus
    with ward.nodes["node-00"].journal.transaction() as kept:
        assert kept.scan("modulus/") == [(f"modulus/{sha256(modulus).hex()}", modulus)]
    (entry,) = ward.nodes["node-00"].ledger.entries()
    assert (entry.task, entry.purpose, entry.round.job) == ("task", "sum", "job")


def test_a_sum_goes_to_other_holders_afterwards_for_the_same_set(tmp_path: Path) -> None:
    """Nodes see no freeze of trustees: they ask for it, believe a quorum's signatures, and are bound to that set."""

    async def script(ward: EntrustedWard) -> None:
        await one_job(ward)
        ward.submit(name="again", engine="masks")
        await ward.wait(12)

    ward = play(tmp_path, script)
    assert [event["job"] for event in ward.named("job_done")] == ["job", "again"]
    for node in ward.nodes.values():
        first, second = node.ledger.entries()
        assert (first.round.job, second.round.job) == ("job", "again")
        assert seats_digest(first.seats) == seats_digest(second.seats)
        assert [event["state"] for event in node.named("ended")] == ["frozen"]
