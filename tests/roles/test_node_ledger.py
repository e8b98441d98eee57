"""What people see of the ledger of inputs: what is bound and how that ends, what a word tells, what the log is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.answers import LedgerShown
from node.config import OwnTask
from node.showing import lines
from secagg.daemon.answers import read
from secagg.errors import BadInput
from secagg.log.statements import OverlapAllowed, SourceChanged, parse_statement
from secagg.transport.link import Received
from support.bound import closed, heedless, line, lost, play, refused, submit, trains
from support.federation import make, names_of
from support.nodes import Institution, Ward

FOUR, THREE = names_of(4), names_of(3)


def ward_of(tmp_path: Path) -> Ward:
    return Ward(make(4, chunk_bytes=4096), tmp_path)


def ask(node: Institution, **request: object) -> Any:
    return node.daemon.command(request)


def ledger(node: Institution) -> LedgerShown:
    return read(ask(node, command="ledger"), LedgerShown)


def stated(ward: Ward) -> list[Any]:
    """Return, as they come, the statements that members sign themselves."""
    found: list[Any] = []
    whole = ward.network._fate

    def fate(to: str, message: Received) -> Any:
        if message.kind == "state":
            found.append((message.sender, parse_statement(message.body)[0]))
        return whole(to, message)

    ward.network._fate = fate
    return found


def test_what_is_bound_is_shown_with_names_and_with_what_gets_on(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    shown: list[LedgerShown] = []

    async def script(ward: Ward) -> None:
        node = ward.nodes["node-00"]
        shown.append(ledger(node))
        submit(ward, "sums")
        await ward.wait(8)
        trains(ward)
        submit(ward, "learn", model=line(), rounds=2)
        await ward.wait(8)
        shown.append(ledger(node))

    play(ward, script)
    assert list(lines(shown[0])) == ["This institution has given nothing to a sum yet."]
    text = "\n".join(lines(shown[1]))
    data = ward.nodes["node-00"].data
    assert f"task: {data}, for sums" in text
    assert f"task: {data}, for training" in text
    assert "given in 1 rounds of sums since 2023-11-14 22:13 UTC" in text
    assert "given in 2 rounds of learn since" in text
    assert text.count(f"summed over {', '.join(FOUR)}") == 2
    assert "bound by ledger.input, ledger.job, ledger.source, ledger.unlisted, ledger.near, ledger.encoding" in text
    assert "secagg node allow JOB" in text
    assert "Sums over this data keep these members, and training on it too." in text


def test_a_header_without_an_end_is_shown_and_asked_for(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    lost(ward, {"Freeze": {"node-03"}, "Open": {"node-03"}})
    asked: list[str] = []
    shown: list[LedgerShown] = []
    whole = ward.network._fate

    def fate(to: str, message: Received) -> Any:
        if message.kind == "ask-round":
            asked.append(message.sender)
        # Its answer stays away too: what is shown here is an end that nobody told.
        return () if message.kind == "frozen" else whole(to, message)

    ward.network._fate = fate

    async def script(ward: Ward) -> None:
        submit(ward, "sums")
        await ward.wait(20)
        shown.append(ledger(ward.nodes["node-03"]))

    play(ward, script)
    assert closed(ward, "sums") == [list(FOUR)]
    assert set(asked) == {"node-03"}
    text = "\n".join(lines(shown[0]))
    assert "task: round sums.1.1.0 of fed, signed for at" in text or "task: round sums.1.1 of fed" in text
    assert "How this ended is not known here" in text
    assert "secagg node allow JOB --overlap" in text


def test_who_allows_a_job_reads_first_what_that_tells_and_to_whom(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    said = stated(ward)
    tells: list[Any] = []

    async def script(ward: Ward) -> None:
        node = ward.nodes["node-01"]
        submit(ward, "sums")
        await ward.wait(8)
        for overlap in (False, True):
            tells.append(ask(node, command="allow", job="again", overlap=overlap)["tells"])
        assert node.ledger.allowed() == ()
        await ward.settle()
        assert said == []
        ask(node, command="allow", job="again", overlap=True, confirmed=True)
        await ward.settle()
        with pytest.raises(BadInput):
            ask(node, command="allow", job="A gain", overlap=False)

    play(ward, script)
    (plain, overlap) = ("\n".join(sentences) for sentences in tells)
    assert f"summed over: {', '.join(FOUR)}." in overlap
    assert "Whoever runs the aggregator sees both sums" in overlap
    assert "With this, again may train, over these members." in plain
    for text in (plain, overlap):
        assert "It may also turn this data into numbers in a way of its own: max_examples, clip, bits, metrics." in text
    (allowed,) = ward.nodes["node-01"].ledger.allowed()
    assert (allowed.job, allowed.overlap, allowed.before) == ("again", True, 1)
    assert {(sender, type(found), found.job, found.member) for sender, found in said} == {
        ("node-01", OverlapAllowed, "again", "node-01")
    }


def test_a_job_that_a_person_allowed_trains_over_members_of_its_own_after_its_first_round(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    trains(ward)
    for node in ward.nodes.values():
        node.policy = replace(node.policy, changing_sets=True, min_change=0.0)
    lost(ward, {"DeliverShares": {"node-03"}}, job="again", round=2)

    async def script(ward: Ward) -> None:
        submit(ward, "first", model=line())
        await ward.wait(8)
        for node in ward.nodes.values():
            ask(node, command="allow", job="again", overlap=False, confirmed=True)
        submit(ward, "again", model=line(1.0), rounds=2)
        await ward.wait(30)

    play(ward, script)
    assert closed(ward, "again") == [list(FOUR), list(THREE)]


def test_another_path_or_edition_is_told_and_stated_and_only_then(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    said = stated(ward)

    async def script(ward: Ward) -> None:
        node = ward.nodes["node-02"]
        own = node.tasks["task"]
        moved = node.place / "moved.txt"
        moved.write_text("4.0")
        for task in (own, own, OwnTask("task", own.spec, moved, {}), OwnTask("task", own.spec, moved, {}, "2027")):
            await node.kill()
            node.tasks["task"] = task
            ward.revive("node-02")
            await ward.wait(4)

    play(ward, script)
    node = ward.nodes["node-02"]
    assert [(event["task"], event["change"]) for event in node.named("source")] == [
        ("task", "path"), ("task", "edition"),
    ]  # fmt: skip
    stated_once = {(sender, found.task, found.change) for sender, found in said if isinstance(found, SourceChanged)}
    assert stated_once == {("node-02", "task", "path"), ("node-02", "task", "edition")}
    assert str(node.place) not in str(said)


def test_a_refusal_says_over_whom_data_was_summed_and_what_gets_on(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)

    async def script(ward: Ward) -> None:
        submit(ward, "sums")
        await ward.wait(8)
        submit(ward, "again", members=THREE)
        await ward.wait(8)

    with heedless():
        play(ward, script)
    assert set(refused(ward, "again")) == set(THREE)
    event = ward.nodes["node-00"].named("refuse")[-1]
    assert event["cause"] == "The data of task was summed in round 1 of sums with node-03, not in this round."
    assert event["remedy"] == (
        "Run the job over the same members, or at every institution: secagg node allow again --overlap."
    )
