"""Row 57: an aggregator that answers no spot check gets no further input; a person may accept that, which is logged."""

from pathlib import Path

import pytest

from aggregator.service import AggregatorService
from node.config import OwnTask
from node.spot import Due
from secagg.daemon.participant import WHOLE
from secagg.daemon.turn import Turn
from secagg.errors import BadInput
from secagg.log.statements import UncheckedAccepted, open_statement
from secagg.protocol.session import SpotRequest
from secagg.transport.link import Received
from secagg.wire.codec import decode
from secagg.wire.signed import Signed
from support.federation import make
from support.nodes import Institution, Ward


class SilentService(AggregatorService):
    """An aggregator that publishes sums and hands nothing out; `stated` is what members state, `asked` what they ask
    for."""

    stated: list[bytes]
    asked: dict[str, set[tuple[int, ...]]]

    def receive(self, message: Received, turn: Turn) -> None:
        """Take everything but requests for a check."""
        if message.kind == "state":
            SilentService.stated.append(message.body)
        if message.kind == "spot":
            request = decode(SpotRequest, decode(Signed, message.body).body)
            SilentService.asked.setdefault(message.sender, set()).add(request.indexes)
        else:
            super().receive(message, turn)


def kept_of(node: Institution) -> dict[str, tuple[int, ...]]:
    """Return the checks that a node still owes, with the leaves that it drew."""
    with node.journal.reopened().transaction() as turn:
        found = [decode(Due, data, WHOLE) for _, data in turn.scan("spot/")]
    return {due.name: due.indexes for due in found}


def test_members_drop_out_of_step_2_say_why_and_a_person_gets_on(tmp_path: Path) -> None:
    ward, SilentService.stated = Ward(make(4, chunk_bytes=4096), tmp_path, SilentService), []
    SilentService.asked = {}

    async def main(_: object) -> None:
        await ward.start_nodes()
        ward.submit(rounds=2, cohort={"step_timeout": "20s"})
        await ward.wait(2)
        # Everybody stands before the next round, trained, and is in its steps 0 and 1: they wait with the header.
        assert [event["round"] for event in ward.named("round_closed")] == [1]
        for node in ward.nodes.values():
            status = node.status()
            assert (status["phase"], status["unchecked"], status["chunks_stored"]) == ("Masking", ["job.1"], None)
            assert status["waiting"]["for"] == "aggregator"
            assert "the check of job.1 needs" in status["waiting"]["what"]
            assert "secagg node unchecked accept job.1" in status["waiting"]["what"]
        await ward.wait(30)
        # Late is an ordinary drop-out of step 2; nobody has told more than once, and nobody gave up.
        assert [event["round"] for event in ward.named("round_closed")] == [1]
        assert {event["step"] for event in ward.named("round_aborted")} == {"MaskedInput"}
        for node in ward.nodes.values():
            assert [event["round"] for event in node.named("unchecked")] == [1]
            assert node.named("spot") == []
            with pytest.raises(BadInput, match=r"No check of job\.2 waits"):
                node.daemon.command({"command": "unchecked-accept", "round": "job.2"})
            node.daemon.command({"command": "unchecked-accept", "round": "job.1"})
        await ward.wait(20)
        await ward.stop_nodes()

    ward.play(main)
    assert [event["round"] for event in ward.named("round_closed")] == [1, 2]
    for node in ward.nodes.values():
        assert [event["round"] for event in node.named("unchecked_accepted")] == [1]
        assert list(kept_of(node)) == ["job.2"]
    keys = {name: key.public for name, key in ward.federation.members.items()}
    signers = []
    for leaf in SilentService.stated:
        said, signer = open_statement(leaf, keys.__getitem__)
        assert isinstance(said, UncheckedAccepted)
        assert (said.job, said.round, said.member) == ("job", 1, signer)
        signers.append(signer)
    assert sorted(signers) == list(ward.nodes)


def test_a_restart_draws_nothing_anew_and_signs_nothing_either(tmp_path: Path) -> None:
    """Who could have a check drawn again would wait for a draw that misses its lie."""
    ward = Ward(make(4, parameters=100_000, chunk_bytes=65_536), tmp_path, SilentService)
    SilentService.asked, SilentService.stated = {}, []
    for node in ward.nodes.values():
        node.tasks = {"task": OwnTask("task", f"{node.place / 'task.py'}:Ones", node.data, {"length": 100_000})}

    async def main(_: object) -> None:
        await ward.start_nodes()
        ward.submit(rounds=2, length=100_000)
        await ward.wait(4)
        before = {name: kept_of(node)["job.1"] for name, node in ward.nodes.items()}
        assert all(len(drawn) in (5, 6) for drawn in before.values())
        assert len(set(before.values())) == 4
        await ward.nodes["node-01"].kill()
        ward.revive("node-01")
        await ward.wait(20)
        assert {name: kept_of(node)["job.1"] for name, node in ward.nodes.items()} == before
        assert SilentService.asked == {name: {indexes} for name, indexes in before.items()}
        await ward.stop_nodes()

    ward.play(main)
    assert len(ward.named("round_closed")) == 1
