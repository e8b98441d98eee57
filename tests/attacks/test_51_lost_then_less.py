"""Row 51: a round is said to be lost after everybody answered, and then comes again over one member less.

Real nodes and a real aggregator whose wire loses what the attacker does not want to have heard. An input that was
answered stays counted whatever is said of the round. The next one over it keeps the set, or is summed by nobody.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from secagg.protocol.inputs import Counted
from support.bound import closed, everyone, heedless, line, lost, play, refused, submit, trains
from support.federation import make, names_of
from support.memory import MemoryInputs, MemoryJournal
from support.nodes import Ward

FOUR, THREE = names_of(4), names_of(3)


@pytest.fixture(autouse=True)
def lies() -> Iterator[None]:
    """The aggregator of these scenes waits for no set and freezes whoever uploaded."""
    with heedless():
        yield


def ward_of(tmp_path: Path, changing: bool = False) -> Ward:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    trains(ward)
    for node in ward.nodes.values():
        node.policy = replace(node.policy, changing_sets=changing, min_change=0.0)
    return ward


@pytest.mark.parametrize("changing", [False, True], ids=["strict", "changing sets"])
def test_a_round_lost_after_the_answers_comes_again_over_the_same_members_or_not_at_all(
    tmp_path: Path, changing: bool
) -> None:
    """The model stays as it was, so the update would be the same one: its difference would be node-03's."""
    ward = ward_of(tmp_path, changing)
    lost(ward, {"Unmask": set(FOUR)}, round=1)
    lost(ward, {"DeliverShares": {"node-03"}}, round=2)

    async def script(ward: Ward) -> None:
        submit(ward, "job", model=line(), rounds=2)
        await ward.wait(60)

    play(ward, script)
    assert closed(ward, "job") == []
    assert refused(ward, "job") == everyone(THREE, "ledger.only")
    for node in ward.nodes.values():
        first = node.ledger.entries()[0]
        assert (first.round.round, first.state, first.answered) == (1, "frozen", True)
        assert [seat.name for seat in first.seats] == list(FOUR)


def test_after_a_lost_round_the_same_members_go_on(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    lost(ward, {"Unmask": set(FOUR)}, round=1)

    async def script(ward: Ward) -> None:
        submit(ward, "job", model=line(), rounds=3)
        await ward.wait(60)

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR)] * 2
    assert not refused(ward, "job")


def test_an_attempt_that_ended_before_anybody_answered_binds_nothing(tmp_path: Path) -> None:
    """The first attempt fails before its freeze; the second is over three, and that is no second sum of anything."""
    ward = ward_of(tmp_path)
    lost(ward, {"ConsistencyCheck": set(FOUR)}, attempt=1)
    lost(ward, {"DeliverShares": {"node-03"}}, attempt=2)

    async def script(ward: Ward) -> None:
        submit(ward, "job", model=line())
        await ward.wait(60)

    play(ward, script)
    assert closed(ward, "job") == [list(THREE)]
    states = [(entry.round.attempt, entry.state) for entry in ward.nodes["node-00"].ledger.entries()]
    assert states == [(1, "lifted"), (2, "frozen")]


# Killed between the two files ----------------------------------------------------------------------------------------


class Dying(MemoryInputs):
    """A ledger whose node dies as soon as it has written a header: its journal keeps nothing of that turn."""

    def __init__(self, key: bytes, journal: Callable[[], MemoryJournal]) -> None:
        super().__init__(key)
        self._journal, self.left = journal, 1

    def count(self, entry: Counted) -> None:
        """Write the entry; the journal behind it takes nothing any more."""
        super().count(entry)
        if self.left:
            self.left -= 1
            self._journal().writable = False


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "disk full"])
def test_a_header_that_was_written_and_never_left_is_taken_up_again(tmp_path: Path, kill: bool) -> None:
    ward = ward_of(tmp_path)
    node = ward.nodes["node-02"]
    ledger = node.ledger = Dying(bytes(32), lambda: node.journal)

    async def script(ward: Ward) -> None:
        submit(ward, "job", model=line())
        while not ledger.entries():
            await ward.wait(0.5)
        assert not ward.named("round_closed")
        if kill:
            await node.kill()
        node.journal.writable = True
        if kill:
            ward.revive("node-02")
        await ward.wait(12)

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR)]
    assert [(entry.state, entry.answered) for entry in ledger.entries()] == [("frozen", True)]


def test_a_node_does_not_start_over_a_ledger_that_forgot(tmp_path: Path) -> None:
    """Yesterday's copy of the file, today's journal: what was given since is in no entry."""
    ward = ward_of(tmp_path)
    node = ward.nodes["node-02"]
    found: list[BaseException | None] = []

    async def script(ward: Ward) -> None:
        submit(ward, "job", model=line())
        await ward.wait(8)
        await node.kill()
        node.ledger = MemoryInputs(bytes(32))
        ward.revive("node-02")
        await ward.settle()
        found.append(node.serving.exception() if node.serving.done() else None)
        node.alive = False

    play(ward, script)
    assert "The ledger of inputs is an old one" in str(found[0])


