"""Honest institutions go on, job after job: next year's file, a second cohort, many learning rates, over real services.

Nobody here attacks. Each scene has the words that people read in it, and none needs more than one command of a person.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.config import OwnTask
from secagg.errors import BadInput
from secagg.log.statements import OverlapAllowed, parse_statement
from support.bound import TORCH, closed, line, lost, play, refused, submit
from support.federation import names_of
from support.living import allow, days, shown, status, until, waits, ward_of
from support.nodes import Ward

FIVE, FOUR, THREE = names_of(5), names_of(4), names_of(3)
GONE, NEW = "node-03", "node-04"


# The first sum over an input fixes its set ----------------------------------------------------------------------------


def test_a_first_sum_asks_before_it_leaves_anybody_out(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    answers: list[Any] = []

    async def script(ward: Ward) -> None:
        await ward.nodes[GONE].kill()
        await ward.wait(8)
        submit(ward, "job")
        await ward.wait(2)
        answers.append(waits(ward))
        await ward.wait(4)
        answers.append(submit(ward, "job", without=(GONE,)))
        await until(ward, 1, "job-2")
        with pytest.raises(BadInput, match="nobody is not in the job"):
            submit(ward, "other", without=("nobody",))

    play(ward, script)
    waiting, again = answers
    assert (waiting["for"], waiting["why"]) == ([GONE], "the first round fixes with whose data theirs is summed")
    found = shown(ward, "job")
    assert (found["state"], found["rule"]) == ("failed", "input.first")
    assert found["reason"] == (
        "job waited in vain for node-03: its first round fixes with whose data theirs is summed."
    )
    assert found["remedy"] == (
        "Submit it again when node-03 is back, or go on without: secagg job submit FILE --without node-03. "
        "From then on the data stays with node-00, node-01, node-02."
    )
    assert (again["name"], again["cohort"]) == ("job-2", list(THREE))
    assert any("this data stays with node-00, node-01, node-02" in sentence for sentence in again["told"])
    assert closed(ward, "job-2") == [list(THREE)]


def test_who_submits_is_told_whose_policy_stands_in_the_way(tmp_path: Path) -> None:
    ward = ward_of(tmp_path, changing_sets=True)
    ward.nodes["node-01"].policy = replace(ward.nodes["node-01"].policy, changing_sets=False)
    ward.nodes["node-02"].policy = replace(ward.nodes["node-02"].policy, exact_counts=False)
    told: list[Any] = []

    async def script(ward: Ward) -> None:
        await ward.wait(4)
        told.extend(submit(ward, "job", "learn", model=line(), rounds=2)["told"])

    play(ward, script)
    assert told == [
        "Every round keeps the members of the first (no changing_sets in the policy of node-01). It waits for them, "
        "and the job ends when one stays away.",
        "Ask for exact_counts in the policy of node-02: without it they refuse the job.",
    ]


# Next year's file -----------------------------------------------------------------------------------------------------


def test_next_years_file_is_another_input(tmp_path: Path) -> None:
    """One line in node.toml at each institution that has new data; here four of five give theirs."""
    ward = ward_of(tmp_path, 5)

    async def script(ward: Ward) -> None:
        submit(ward, "sums-2026")
        await until(ward, 1, "sums-2026")
        for name in FOUR:
            node = ward.nodes[name]
            await node.kill()
            own = node.tasks["task"]
            own.data.write_text(str(3 * float(own.data.read_text())))
            node.tasks["task"] = OwnTask(own.name, own.spec, own.data, own.options, "2027")
            ward.revive(name)
        await ward.nodes[NEW].kill()
        await ward.wait(8)
        submit(ward, "sums-2027", without=(NEW,))
        await until(ward, 1, "sums-2027")

    play(ward, script)
    assert closed(ward, "sums-2026") == [list(FIVE)]
    assert closed(ward, "sums-2027") == [list(FOUR)]
    assert [event["change"] for event in ward.nodes["node-00"].named("source")] == ["edition"]


def test_a_new_edition_of_the_very_same_numbers_is_the_same_input(tmp_path: Path) -> None:
    """Whoever writes an edition by mistake shows nobody anything: a sum's values are looked at as well."""
    ward = ward_of(tmp_path, 5)

    async def script(ward: Ward) -> None:
        submit(ward, "first")
        await until(ward, 1, "first")
        for name in FIVE:
            await ward.nodes[name].kill()
            own = ward.nodes[name].tasks["task"]
            ward.nodes[name].tasks["task"] = OwnTask(own.name, own.spec, own.data, own.options, "2027")
            ward.revive(name)
        await ward.wait(8)
        submit(ward, "again", members=FOUR)
        await ward.wait(30)

    play(ward, script)
    assert closed(ward, "first") == [list(FIVE)]
    assert closed(ward, "again") == []
    assert shown(ward, "again")["state"] == "failed"


# Standardise, then train ----------------------------------------------------------------------------------------------


def test_one_drops_out_of_the_standardising_and_trains_all_the_same(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    for node in ward.nodes.values():
        node.tasks["learn"] = OwnTask("learn", f"{TORCH}:Prepared", node.tasks["learn"].data, {})
    lost(ward, {"DeliverShares": {GONE}}, job="offset")

    async def script(ward: Ward) -> None:
        submit(ward, "offset")
        await until(ward, 1, "offset")
        submit(ward, "job", "learn", model=line(), rounds=2, uses=("offset",))
        await until(ward, 2, "job")

    play(ward, script)
    assert closed(ward, "offset") == [list(THREE)]
    assert closed(ward, "job") == [list(FOUR)] * 2
    assert not refused(ward, "job")
    assert ward.nodes[GONE].ledger.entries()[0].state != "pending", "it asked, or never signed"


@pytest.mark.parametrize(
    ("changing", "said", "trained"), [(False, False, THREE), (False, True, FOUR), (True, False, FOUR)],
    ids=["nobody says anything", "one command of each", "sets may change"],
)  # fmt: skip
def test_who_dropped_out_of_the_standardising_of_the_very_same_file_trains_once_persons_say_so(
    tmp_path: Path, changing: bool, said: bool, trained: tuple[str, ...]
) -> None:
    """The sum and the training count the same rows, so the two keep one set, unless an institution lets sets change."""
    ward = ward_of(tmp_path, changing_sets=changing)
    for node in ward.nodes.values():
        data = node.tasks["learn"].data
        node.tasks = {
            "offset": OwnTask("offset", f"{TORCH}:Total", data, {}),
            "learn": OwnTask("learn", f"{TORCH}:Prepared", data, {}),
        }
    lost(ward, {"DeliverShares": {GONE}}, job="offset")

    async def script(ward: Ward) -> None:
        submit(ward, "offset", "offset", length=2)
        await until(ward, 1, "offset")
        if said:
            allow(ward, "job", *FOUR)
            await ward.settle()
        submit(ward, "job", "learn", model=line(), rounds=2, uses=("offset",))
        await until(ward, 2, "job")

    play(ward, script)
    assert closed(ward, "offset") == [list(THREE)]
    assert closed(ward, "job") == [list(trained)] * 2
    assert not refused(ward, "job")
    out = {(entry["member"], entry["reason"]) for event in ward.named("round_closed") for entry in event["dropped"]}
    why = (GONE, "its data may be summed, and not together with that of the others")
    assert (why in out) == (trained == THREE)


def test_a_sum_is_asked_for_again_over_the_set_that_it_had(tmp_path: Path) -> None:
    """Who was left out of the first stays out of the second, and reads why; the others wait for nobody."""
    ward = ward_of(tmp_path)
    lost(ward, {"DeliverShares": {GONE}}, job="first")

    async def script(ward: Ward) -> None:
        submit(ward, "first")
        await until(ward, 1, "first")
        submit(ward, "second")
        await until(ward, 1, "second")

    play(ward, script)
    assert closed(ward, "first") == closed(ward, "second") == [list(THREE)]
    (event,) = [event for event in ward.named("round_closed") if event["job"] == "second"]
    assert [(entry["member"], entry["reason"]) for entry in event["dropped"]] == [
        (GONE, "its data may be summed, and not together with that of the others")
    ]


# One member more ------------------------------------------------------------------------------------------------------


def test_a_second_job_with_one_member_more_runs_once_each_institution_allowed_it(tmp_path: Path) -> None:
    ward = ward_of(tmp_path, 5)
    answers: list[Any] = []

    async def script(ward: Ward) -> None:
        submit(ward, "march", members=FOUR)
        await until(ward, 1, "march")
        for name in FIVE:
            read = ward.nodes[name].daemon.command({"command": "allow", "job": "april", "overlap": True})
            answers.append(read)
            allow(ward, "april", name)
        await ward.settle()
        answers.append(submit(ward, "april"))
        await until(ward, 1, "april")

    play(ward, script)
    assert closed(ward, "march") == [list(FOUR)]
    assert closed(ward, "april") == [list(FIVE)]
    assert "So far this institution's data was summed over: node-00, node-01, node-02, node-03." in answers[0]["tells"]
    assert any("secagg node allow april --overlap" in sentence for sentence in answers[-1]["told"])
    logged = [parse_statement(ward.rounds_log.leaf(index)) for index in range(ward.rounds_log.size)]
    said = [(signer, found.member, found.job) for found, signer, *_ in logged if isinstance(found, OverlapAllowed)]
    assert sorted(said) == [(name, name, "april") for name in FIVE]


def test_without_the_word_of_one_of_them_the_old_members_go_on_and_the_new_one_reads_why(tmp_path: Path) -> None:
    ward = ward_of(tmp_path, 5)

    async def script(ward: Ward) -> None:
        submit(ward, "march", members=FOUR)
        await until(ward, 1, "march")
        submit(ward, "april")
        await until(ward, 1, "april")

    play(ward, script)
    assert closed(ward, "april") == [list(FOUR)]


def test_a_job_that_its_members_cannot_run_waits_for_persons_and_says_what_to_type(tmp_path: Path) -> None:
    """It stands while institutions decide: the last word lets it run, without another command of the analyst."""
    ward = ward_of(tmp_path, 5)
    told: list[Any] = []

    async def script(ward: Ward) -> None:
        submit(ward, "march")
        await until(ward, 1, "march")
        submit(ward, "april", members=FOUR, cohort={"rejoin_timeout": "3d"})
        await ward.wait(8)
        told.extend((waits(ward), status(ward, "node-00")["waiting"]))
        allow(ward, "april", *FIVE)
        await until(ward, 1, "april")

    play(ward, script)
    aggregators, own = told
    assert aggregators["why"] == (
        "data in it was summed over node-00, node-01, node-02, node-03, node-04 before, and may be summed over these "
        "only"
    )
    assert own["for"] == "people"
    assert own["what"] == (
        "round 1 of april. The data of task was summed in round 1 of march with node-04, not in this round. "
        "Run the job over the same members, or at every institution: secagg node allow april --overlap."
    )
    assert closed(ward, "april") == [list(FOUR)]
    assert not refused(ward, "april")


# Jobs that an institution lists --------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["clip", "sets"])
def test_a_job_that_persons_have_to_list_stands_until_they_did(tmp_path: Path, why: str) -> None:
    """Another clip than the first training had; or a second training after one whose members changed."""
    changing = why == "sets"
    ward = ward_of(tmp_path, changing_sets=changing, min_change=0.0)
    told: list[Any] = []
    if changing:
        lost(ward, {"DeliverShares": {GONE}}, job="first", round=2)
    other = {} if changing else {"engine": {"clip": 8.0}}

    async def script(ward: Ward) -> None:
        submit(ward, "first", "learn", model=line(), rounds=2)
        await until(ward, 2, "first")
        submit(ward, "second", "learn", model=line(1.0), rounds=2, cohort={"rejoin_timeout": "3d"}, **other)
        await ward.wait(8)
        told.append(status(ward, "node-00")["waiting"])
        for node in ward.nodes.values():
            node.daemon.command({"command": "allow", "job": "second", "overlap": False, "confirmed": True})
        await until(ward, 2, "second")

    play(ward, script)
    assert told[0]["for"] == "people"
    assert "secagg node allow second." in told[0]["what"]
    assert closed(ward, "second") == [list(FOUR)] * 2
    assert not refused(ward, "second")


def test_whom_nobody_listed_reads_at_the_end_what_to_type(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)

    async def script(ward: Ward) -> None:
        submit(ward, "first", "learn", model=line())
        await until(ward, 1, "first")
        submit(ward, "second", "learn", model=line(), engine={"clip": 8.0})
        await until(ward, 1, "second")
        for node in ward.nodes.values():
            node.daemon.command({"command": "allow", "job": "second-2", "overlap": False, "confirmed": True})
        assert submit(ward, "second", "learn", model=line(), engine={"clip": 8.0})["name"] == "second-2"
        await until(ward, 1, "second-2")

    play(ward, script)
    found = shown(ward, "second")
    assert found["rule"] == "ledger.encoding"
    assert found["reason"].endswith(
        "node-00: its data was turned into numbers in another way before, and a person there has to allow that"
    )
    assert found["remedy"] == f"secagg node allow second-2, at {', '.join(FOUR)}; then submit it again."
    assert closed(ward, "second-2") == [list(FOUR)]


# Ten learning rates ---------------------------------------------------------------------------------------------------


def test_ten_learning_rates_need_nobody(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    rates = [f"rate-{number}" for number in range(10)]
    for node in ward.nodes.values():
        data = node.tasks["learn"].data
        options = {name: {"rate": 0.02 * (1 + at)} for at, name in enumerate(rates)}
        node.tasks |= {name: OwnTask(name, f"{TORCH}:Line", data, options[name]) for name in rates}

    async def script(ward: Ward) -> None:
        for name in rates:
            submit(ward, name, name, model=line(), rounds=2)
        for name in rates:
            await until(ward, 2, name)

    play(ward, script)
    for name in rates:
        assert closed(ward, name) == [list(FOUR)] * 2
        assert not refused(ward, name)


def test_a_demonstration_runs_twice_over_the_same_files(tmp_path: Path) -> None:
    """Each run has a directory, keys and ledgers of its own, so the second is bound to nothing of the first."""
    files: dict[str, Path] = {}
    for run, gone in (("first", ""), ("second", GONE)):
        ward = ward_of(tmp_path / run)
        for name, node in ward.nodes.items():
            data = files.setdefault(name, node.data)
            node.tasks["task"] = OwnTask("task", node.tasks["task"].spec, data, {})
        if gone:
            lost(ward, {"DeliverShares": {gone}}, job="moments")

        async def script(ward: Ward) -> None:
            submit(ward, "moments")
            await until(ward, 1, "moments")
            submit(ward, "risk", "learn", model=line(), rounds=2)
            await until(ward, 2, "risk")

        play(ward, script)
        assert closed(ward, "moments") == [list(THREE if gone else FOUR)]
        assert closed(ward, "risk") == [list(FOUR)] * 2
        assert not refused(ward, "risk")


def test_a_lost_aggregator_is_the_one_thing_that_needs_a_person_and_the_node_says_so(tmp_path: Path) -> None:
    """Nobody tells how the first attempt ended: its data waits for that, and the status says for whom and what."""
    ward = ward_of(tmp_path)
    lost(ward, {"Freeze": set(FOUR)}, job="first")
    whole = ward.network._fate
    ward.network._fate = lambda to, message: () if message.kind in ("aborted", "frozen") else whole(to, message)
    told: list[Any] = []

    async def script(ward: Ward) -> None:
        submit(ward, "first")
        await ward.wait(4)
        await days(ward, 0.25)
        told.append(status(ward, "node-00")["waiting"])

    play(ward, script)
    assert told[0]["for"] == "aggregator"
    assert "may be in round 1 of first, and how that ended is not known here" in told[0]["what"]
    assert "secagg node allow first --overlap" in told[0]["what"]
