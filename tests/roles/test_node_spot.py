"""Spot checks between real nodes and a real aggregator, honest and not."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aggregator.service import AggregatorService
from secagg.demo.cheat import CheatingService
from secagg.protocol.masks import spot
from secagg.protocol.round import spots
from secagg.protocol.round.lie import Lie, check_lie
from secagg.protocol.round.lists import senders
from secagg.transport.link import Received
from secagg.wire.codec import decode
from support.federation import make
from support.nodes import Ward


def play(
    tmp_path: Path, service: type[AggregatorService] = AggregatorService,
    script: Callable[[Ward], Awaitable[None]] | None = None, rounds: int = 2, seconds: float = 16,
    after: Callable[[Ward], Awaitable[None]] | None = None,
) -> Ward:  # fmt: skip
    ward = Ward(make(4, chunk_bytes=4096), tmp_path, service)

    async def main(_: object) -> None:
        await ward.start_nodes()
        if script:
            await script(ward)
        ward.submit(rounds=rounds)
        await ward.wait(seconds)
        if after:
            await after(ward)
        await ward.stop_nodes()

    ward.play(main)
    return ward


def test_every_node_checks_every_round_and_says_what_it_cost(tmp_path: Path) -> None:
    ward = play(tmp_path)
    assert ward.named("job_done")
    for node in ward.nodes.values():
        checked = node.named("spot")
        assert [(e["round"], e["state"], e["count"]) for e in checked] == [(n, "holds", 2) for n in (1, 2)]
        assert all(0 < event["bytes"] < 30_000 for event in checked)


def test_a_lie_is_found_in_its_round_and_nobody_goes_on(tmp_path: Path) -> None:
    ward = play(tmp_path, CheatingService)
    assert len(ward.named("round_closed")) == 1
    (failed,) = ward.named("job_failed")
    assert "0 of 4 members at AdvertiseKeys" in failed["reason"]
    for node in ward.nodes.values():
        (lie,) = node.named("lie")
        assert lie["rule"] == "spot.sum"
        assert "is not the sum of the uploads" in str(lie["cause"])
        assert {event["rule"] for event in node.named("refuse")} == {"spot.sum"}
        data = Path(str(lie["path"])).read_bytes()
        proven = check_lie(data, ward.federation.aggregator.public)
        assert (proven.aggregator, proven.round.round) == ("aggregator", 1)
        assert senders(spot.listed(bytes(decode(Lie, data, 2**26).transcript))) == tuple(ward.nodes)


def test_what_is_handed_out_is_sealed_and_what_is_bent_on_the_way_accuses_nobody(tmp_path: Path) -> None:
    seen: list[bytes] = []
    bending = [True]

    async def bend(ward: Ward) -> None:
        count = ward.network._fate

        def fate(to: str, message: Received) -> list[Received]:
            if message.kind != "spot-part" or to != "node-01" or not bending[0]:
                return list(count(to, message))
            seen.append(message.body)
            body = message.body[:-1] + bytes([message.body[-1] ^ 1])
            bent = Received(message.sender, message.kind, message.id, message.header, body)
            return list(count(to, bent))

        ward.network._fate = fate

    async def straighten(ward: Ward) -> None:
        # It asked in vain after 2, 6 and 14 seconds, and said so; it never stops asking.
        node = ward.nodes["node-01"]
        assert (node.named("spot"), node.named("lie")) == ([], [])
        (told,) = node.named("unchecked")
        assert (told["round"], "secagg node unchecked accept job.1" in told["remedy"]) == (1, True)
        assert node.status()["unchecked"] == ["job.1"]
        bending[0] = False
        await ward.wait(40)

    ward = play(tmp_path, script=bend, rounds=1, seconds=40, after=straighten)
    assert ward.named("job_done")
    node = ward.nodes["node-01"]
    assert [(event["round"], event["state"]) for event in node.named("spot")] == [(1, "holds")]
    assert node.status()["unchecked"] == []
    assert len(seen) > 3
    # Opening material of the round is in the transcript; nothing of it travels in the clear.
    assert not any(name.encode() in body for body in seen for name in ward.nodes)
    assert ward.nodes["node-00"].named("spot")


def test_a_round_without_a_result_is_not_handed_out(tmp_path: Path) -> None:
    ward = play(tmp_path, rounds=1)
    label = next(key for key in ("spot/job.1.1.0",))
    with ward.journal.reopened().transaction() as kept:
        assert kept.get(label) is not None
        assert kept.get("spot/job.2.1.0") is None


@pytest.mark.parametrize("leaves", [0])
def test_checks_can_be_turned_off_by_policy(tmp_path: Path, leaves: int) -> None:
    from node.policy import PolicySection

    assert PolicySection(spot_leaves=leaves).spot_leaves == 0
    assert PolicySection().spot_leaves == spots.LEAVES
