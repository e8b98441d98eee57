"""Row 56: who was never asked to unmask, or never saw the freeze, still knows that its input may be in a sum.

A round needs the answers of t members. The aggregator leaves the others out of everything after their headers, so that
they would count nothing. Then a second cohort, two smaller, is made of them and of as few others as it takes.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from secagg.protocol.acceptance import Policy
from secagg.rehearsal.federation import propose
from support.bound import closed, heedless, lost, play, refused, submit
from support.federation import make, names_of
from support.nodes import Ward


@pytest.fixture(autouse=True)
def lies() -> Iterator[None]:
    """The aggregator of these scenes waits for no set and freezes whoever uploaded."""
    with heedless():
        yield


@pytest.mark.parametrize("count", [6, 7, 9, 10, 12])
def test_a_second_cohort_of_members_that_were_never_asked_gets_no_sum(tmp_path: Path, count: int) -> None:
    federation = make(count, chunk_bytes=4096)
    names = names_of(count)
    unasked = names[propose(federation).needed :]
    assert unasked
    ward = Ward(federation, tmp_path)
    lost(ward, {"Freeze": set(unasked), "Open": set(unasked)}, job="first")
    second = names[2:]
    assert set(unasked) <= set(second)

    async def script(ward: Ward) -> None:
        submit(ward, "first")
        await ward.wait(20)
        submit(ward, "again", members=second)
        await ward.wait(40)

    play(ward, script)
    assert closed(ward, "first") == [list(names)]
    assert closed(ward, "again") == []
    rules = refused(ward, "again")
    assert set(rules) == set(second)
    assert set.union(*rules.values()) == {"ledger.input"}
    for name in unasked:
        (entry,) = ward.nodes[name].ledger.entries()
        assert (entry.state in ("pending", "frozen"), entry.answered) == (True, False)


def test_a_budget_counts_rounds_whose_freeze_a_member_never_saw(tmp_path: Path) -> None:
    ward = Ward(make(6, chunk_bytes=4096), tmp_path)
    for node in ward.nodes.values():
        node.policy = replaced(node.policy)
    lost(ward, {"Freeze": {"node-05"}, "Open": {"node-05"}})

    async def script(ward: Ward) -> None:
        for name in ("first", "second", "again"):
            submit(ward, name, task=name)
            await ward.wait(20)

    for node in ward.nodes.values():
        own = node.tasks["task"]
        node.tasks |= {
            name: type(own)(name, own.spec, own.data, {"value": value})
            for name, value in (("first", 1.0), ("second", 2.0), ("again", 4.0))
        }
    play(ward, script)
    assert refused(ward, "again")["node-05"] == {"policy.max_rounds_per_source"}
    assert all(not entry.answered for entry in ward.nodes["node-05"].ledger.entries())


def replaced(policy: Policy) -> Policy:
    return replace(policy, max_rounds_per_source=2, static_inputs="task")
