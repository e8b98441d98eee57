"""Honest institutions go on: rounds in which somebody drops out, is away, or is gone for good, over real services.

Nobody here attacks. Each scene has the words that people read in it, and none needs more than one command of a person.
"""

from pathlib import Path

from support.bound import closed, line, lost, play, refused, submit
from support.federation import names_of
from support.living import Held, allow, days, revoke, shown, status, until, waits, ward_of
from support.nodes import Ward

FOUR, THREE = names_of(4), names_of(3)
GONE = "node-03"


# A drop-out between rounds --------------------------------------------------------------------------------------------


def test_who_is_away_between_rounds_is_missing_in_the_next_where_sets_may_change(tmp_path: Path) -> None:
    ward = ward_of(tmp_path, changing_sets=True, min_change=0.0)

    first, second = Held(ward, "job", 1), Held(ward, "job", 2)

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=3)
        await first.reached()
        await ward.nodes[GONE].kill()
        first.go()
        await second.reached()
        ward.revive(GONE)
        second.go()
        await until(ward, 3, "job")

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR), list(THREE), list(FOUR)]
    assert not refused(ward, "job")
    assert [event["round"] for event in ward.nodes[GONE].named("result")] == [1, 2, 3]


def test_where_sets_may_not_change_the_job_waits_for_who_is_away_and_says_why(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    told: list[dict[str, object]] = []
    first = Held(ward, "job", 1)

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=3, cohort={"rejoin_timeout": "1h"})
        await first.reached()
        await ward.nodes[GONE].kill()
        first.go()
        await ward.wait(60)
        told.append(waits(ward))
        ward.revive(GONE)
        await until(ward, 3, "job")

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR)] * 3
    (said,) = told
    assert said["for"] == [GONE]
    assert said["why"] == (
        "data in it was summed over node-00, node-01, node-02, node-03 before, and may be summed over these only"
    )
    assert not refused(ward, "job")


def test_who_drops_out_in_the_middle_of_a_bound_round_is_waited_for_too(tmp_path: Path) -> None:
    """The attempt ends before its freeze, which lifts it; the next one is over all of them."""
    ward = ward_of(tmp_path)
    lost(ward, {"DeliverShares": {GONE}}, round=2, attempt=1)

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=2)
        await until(ward, 2, "job")

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR)] * 2
    (aborted,) = ward.named("round_aborted")
    assert (aborted["step"], aborted["lost"]) == ("MaskedInput", False)
    reasons = {entry["member"]: entry["reason"] for entry in aborted["dropped"]}
    assert reasons[GONE] == "no message before the deadline"
    assert reasons["node-00"] == (
        "its data was summed over node-00, node-01, node-02, node-03 before, and may be summed over these only"
    )


# A lost round ---------------------------------------------------------------------------------------------------------


def test_after_a_lost_round_the_same_members_go_on_once_they_are_all_there(tmp_path: Path) -> None:
    """Also where sets may change: the model is the same, so the updates are, and one less would show one."""
    ward = ward_of(tmp_path, changing_sets=True)
    lost(ward, {"Unmask": set(FOUR)}, job="job", round=1)

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=3, cohort={"rejoin_timeout": "1h"})
        await ward.settle()  # everybody answered, and nobody heard it
        await ward.nodes[GONE].kill()
        await ward.wait(60)
        ward.revive(GONE)
        await until(ward, 2, "job")

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR)] * 2
    assert [event["lost"] for event in ward.named("round_aborted")] == [True]
    assert not refused(ward, "job")


def test_after_a_lost_round_a_job_without_its_members_ends_and_says_what_gets_on(tmp_path: Path) -> None:
    ward = ward_of(tmp_path, changing_sets=True)
    lost(ward, {"Unmask": set(FOUR)}, job="job", round=1)

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=3)
        await ward.settle()  # everybody answered, and nobody heard it
        await ward.nodes[GONE].kill()
        await ward.wait(30)
        ward.revive(GONE)
        await ward.wait(8)
        # One command of the analyst: its own file again.
        again = submit(ward, "job", "learn", model=line(), rounds=1)
        assert again["name"] == "job-2"
        await until(ward, 1, "job-2")

    play(ward, script)
    assert closed(ward, "job") == []
    assert closed(ward, "job-2") == [list(FOUR)]
    (failed,) = ward.named("job_failed")
    assert failed["rule"] == "input.same"
    assert failed["reason"] == (
        "Round 2 of job waited in vain for node-03: data in it was summed over node-00, node-01, node-02, node-03 "
        "before, and may be summed over these only."
    )
    assert failed["remedy"] == (
        "Submit it again when node-03 is back. To go on without for good: secagg node allow job-2 --overlap at every "
        "institution of that set, then secagg job submit FILE --without node-03."
    )
    found = shown(ward, "job")
    assert (found["rule"], found["reason"], found["remedy"]) == ("input.same", failed["reason"], failed["remedy"])


# A round that leaves the model as it was ------------------------------------------------------------------------------


def test_rounds_that_leave_the_model_as_it_was_keep_their_members(tmp_path: Path) -> None:
    """Every update is the same one, so every round is bound to the first one's set, and one who is away is awaited."""
    ward = ward_of(tmp_path, rate=0.0, changing_sets=True)
    second = Held(ward, "job", 2)

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=4, cohort={"rejoin_timeout": "1h"})
        await second.reached()
        await ward.nodes[GONE].kill()
        second.go()
        await ward.wait(30)
        assert waits(ward)["for"] == [GONE]
        ward.revive(GONE)
        await until(ward, 4, "job")

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR)] * 4
    assert {event["job"] for event in ward.named("job_done")} == {"job"}


# Away for a week ------------------------------------------------------------------------------------------------------


def test_a_member_away_for_a_week_comes_back_into_a_job_of_200_rounds(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    third, last = Held(ward, "job", 3), Held(ward, "job", 8)

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=200, cohort={"rejoin_timeout": "8d"})
        await third.reached()
        await ward.nodes[GONE].kill()
        third.go()
        await ward.wait(4)
        await days(ward, 7)
        assert (shown(ward, "job")["state"], waits(ward)["for"]) == ("waiting", [GONE])
        ward.revive(GONE)
        await last.reached()

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR)] * 8
    assert not ward.named("job_failed")


def test_the_others_go_on_for_a_week_where_sets_may_change(tmp_path: Path) -> None:
    ward = ward_of(tmp_path, changing_sets=True, min_change=0.0)
    second, back, last = Held(ward, "job", 2), Held(ward, "job", 12), Held(ward, "job", 14)

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=200)
        await second.reached()
        await ward.nodes[GONE].kill()
        second.go()
        await back.reached()
        ward.revive(GONE)
        back.go()
        await last.reached()

    play(ward, script)
    sets = closed(ward, "job")
    assert sets[:2] == [list(FOUR)] * 2
    assert sets[2:12] == [list(THREE)] * 10
    assert sets[-1] == list(FOUR)
    results = [event["round"] for event in ward.nodes[GONE].named("result")]
    assert results == list(range(1, 14)), "it takes in every result that it missed"


# Gone for good --------------------------------------------------------------------------------------------------------


def test_one_that_is_gone_for_good_is_left_out_once_everybody_said_so(tmp_path: Path) -> None:
    """One command each: the operator revokes the seat, institutions allow, the analyst submits."""
    five, four, gone = names_of(5), names_of(4), "node-04"
    ward = ward_of(tmp_path, 5)
    said: list[list[str]] = []
    first = Held(ward, "job", 1)

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=3)
        await first.reached()
        await ward.nodes[gone].kill()
        first.go()
        await ward.wait(30)
        await revoke(ward, gone)
        allow(ward, "job-2", *four)
        await ward.settle()
        said.append(submit(ward, "job", "learn", model=line(), rounds=2)["told"])
        await until(ward, 2, "job-2")

    play(ward, script)
    assert closed(ward, "job") == [list(five)]
    (failed,) = [event for event in ward.named("job_failed") if event["job"] == "job"]
    assert failed["rule"] == "input.same"
    assert "secagg node allow job-2 --overlap" in failed["remedy"]
    assert closed(ward, "job-2") == [list(four)] * 2
    assert any("job ran over other members" in sentence for sentence in said[0])


def test_one_that_is_gone_and_keeps_its_seat_is_not_left_out_behind_its_back(tmp_path: Path) -> None:
    """The difference would show its data, so its own word is asked for as well, and the job says so."""
    ward = ward_of(tmp_path, 5)
    told: list[str] = []

    async def script(ward: Ward) -> None:
        submit(ward, "job")
        await until(ward, 1, "job")
        await ward.nodes["node-04"].kill()
        allow(ward, "again", *names_of(4))
        submit(ward, "again", without=("node-04",))
        await ward.wait(40)
        told.append(status(ward, "node-00")["waiting"]["what"])

    play(ward, script)
    assert closed(ward, "again") == []
    (failed,) = ward.named("job_failed")
    assert failed["rule"] == "input.same"
    assert "not all of both sets allow another one" in failed["reason"]
