"""Row 50: a second sum of one input over one member less, under every other name that somebody could give it.

Real nodes and a real aggregator. Five institutions give to one sum; then four of them are asked again. Whatever else is
new, the difference of the two sums would be what the fifth gave. So each of the four refuses and names its rule.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.config import OwnTask
from support.bound import another, closed, everyone, heedless, line, lost, play, refused, sharing, submit, trains
from support.federation import make, names_of
from support.nodes import SUM_TASK, Ward

FIVE, FOUR = names_of(5), names_of(4)
Ask = Callable[[Ward], None]


@pytest.fixture(autouse=True)
def lies() -> Iterator[None]:
    """The aggregator of these scenes waits for no set and freezes whoever uploaded."""
    with heedless():
        yield


def ward_of(tmp_path: Path, **policy: object) -> Ward:
    ward = Ward(make(5, chunk_bytes=4096), tmp_path / "one")
    for node in ward.nodes.values():
        node.policy = replace(node.policy, **policy)  # type: ignore[arg-type]
    return ward


def task(ward: Ward, name: str, copy: bool = False, code: str = "task.py:Ones", edition: str = "") -> None:
    """Give every node another task: over its data, or over a copy of it under another path."""
    for node in ward.nodes.values():
        data = node.data
        if copy:
            data = node.place / f"{name}.txt"
            data.write_bytes(node.data.read_bytes())
        node.tasks[name] = OwnTask(name, f"{node.place / code}", data, {}, edition)


def asked_again(ward: Ward, ask: Ask, first: Ask = lambda ward: submit(ward, "first")) -> dict[str, set[str]]:
    """Let the first job run over five; ask again over four; return by which rules the four refused."""

    async def script(ward: Ward) -> None:
        first(ward)
        await ward.wait(6)
        ask(ward)
        await ward.wait(20)

    play(ward, script)
    assert closed(ward, "first")[-1] == list(FIVE)
    assert closed(ward, "again") == []
    return refused(ward, "again")


def again(ward: Ward, task: str = "task", **fields: object) -> None:
    submit(ward, "again", task, members=FOUR, **fields)


def test_the_same_data_in_another_job(tmp_path: Path) -> None:
    assert asked_again(ward_of(tmp_path), again) == everyone(FOUR, "ledger.input")


def test_the_same_data_under_another_tasks_name(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    task(ward, "renamed")
    assert asked_again(ward, lambda ward: again(ward, "renamed")) == everyone(FOUR, "ledger.input")


@pytest.mark.parametrize("copy", [False, True], ids=["task", "copied file"])
def test_the_same_vector_from_what_counts_as_other_data(tmp_path: Path, copy: bool) -> None:
    """The institution itself says that tasks are inputs of their own, or copied its file: the values are the same."""
    ward = ward_of(tmp_path, static_inputs="task")
    task(ward, "renamed", copy)
    assert asked_again(ward, lambda ward: again(ward, "renamed")) == everyone(FOUR, "ledger.input")


def test_zeros_with_another_sign(tmp_path: Path) -> None:
    ward = ward_of(tmp_path, static_inputs="task")
    for node in ward.nodes.values():
        signed = SUM_TASK.replace("class Ones", "class Signed").replace(
            "return np.full(self.length, float(data.read_text()) * self.value)",
            "return np.append(np.full(self.length - 1, float(data.read_text())), 0.0 * self.value)",
        )
        (node.place / "signed.py").write_text(signed)
        own = f"{node.place / 'signed.py'}:Signed"
        node.tasks |= {
            "task": OwnTask("task", own, node.data, {"value": 1.0}),
            "minus": OwnTask("minus", own, node.data, {"value": -1.0}),
        }
    assert asked_again(ward, lambda ward: again(ward, "minus")) == everyone(FOUR, "ledger.input")


def test_a_link_to_the_same_file(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    task(ward, "linked")
    for node in ward.nodes.values():
        link = node.place / "link.txt"
        link.symlink_to(node.data)
        node.tasks["linked"] = replace_data(node.tasks["linked"], link)
    assert asked_again(ward, lambda ward: again(ward, "linked")) == everyone(FOUR, "ledger.input")


def replace_data(own: OwnTask, data: Path) -> OwnTask:
    return OwnTask(own.name, own.spec, data, own.options, own.edition)


@pytest.mark.parametrize("bias", [0.0, -0.0, 1e-7, 1.0], ids=["the same", "minus zero", "one ulp", "another"])
def test_another_training_job_from_any_first_model(tmp_path: Path, bias: float) -> None:
    """Whoever hands a model out knows it, so all rounds from such models are one input; also where sets may change."""
    ward = ward_of(tmp_path, changing_sets=True)
    trains(ward)
    found = asked_again(
        ward, lambda ward: again(ward, model=line(bias)), lambda ward: submit(ward, "first", model=line())
    )
    assert found == everyone(FOUR, "ledger.input")


def test_another_training_job_whose_first_round_is_over_the_same_set_is_bound_in_the_next(tmp_path: Path) -> None:
    """One input less in a later round of a job that nobody listed: its model was not handed out, its set is bound."""
    ward = ward_of(tmp_path, changing_sets=True, min_change=0.0)
    trains(ward)

    async def script(ward: Ward) -> None:
        submit(ward, "first", model=line())
        await ward.wait(6)
        lost(ward, {"DeliverShares": {"node-04"}}, job="again", round=2)
        submit(ward, "again", model=line(1.0), rounds=2)
        await ward.wait(30)

    play(ward, script)
    assert closed(ward, "again") == [list(FIVE)]
    bound = [event for event in ward.nodes["node-00"].named("bound") if event["job"] == "again" and event["round"] == 2]
    assert {event["rule"] for event in bound} == {"ledger.unlisted"}
    assert refused(ward, "again") == everyone(FOUR, "ledger.only")


def test_another_federation_with_the_same_institutions(tmp_path: Path) -> None:
    first = ward_of(tmp_path)

    async def one(ward: Ward) -> None:
        submit(ward, "first")
        await ward.wait(6)

    play(first, one)
    assert closed(first, "first") == [list(FIVE)]
    for name in ("fed", "other"):
        # Of the same name, or of another: keys and root are others either way.
        ward = sharing(Ward(another(5, seed=b"x", name=name), tmp_path / name), first)

        async def two(ward: Ward) -> None:
            submit(ward, "again", members=FOUR)
            await ward.wait(20)

        play(ward, two)
        assert closed(ward, "again") == []
        assert refused(ward, "again") == everyone(FOUR, "ledger.input")


def test_a_member_that_was_enrolled_anew_under_its_old_name(tmp_path: Path) -> None:
    """All five names again, but one seat has another key: its new owner could give zeros, and take the difference."""
    first = ward_of(tmp_path)

    async def one(ward: Ward) -> None:
        submit(ward, "first")
        await ward.wait(6)

    async def two(ward: Ward) -> None:
        submit(ward, "again")
        await ward.wait(20)

    play(first, one)
    federation = another(5, stranger="node-04")
    assert [seat.key for seat in federation.seats[:4]] == [seat.key for seat in first.federation.seats[:4]]
    ward = play(sharing(Ward(federation, tmp_path / "two"), first), two)
    assert closed(ward, "again") == []
    rules = refused(ward, "again")
    assert {name: rules[name] for name in FOUR} == everyone(FOUR, "ledger.input")


# What must go on -----------------------------------------------------------------------------------------------------


def test_the_same_set_again_other_data_and_a_new_edition_are_summed(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    task(ward, "next-year", edition="2027")
    for node in ward.nodes.values():
        own = node.tasks["next-year"]
        node.tasks["next-year"] = OwnTask(own.name, own.spec, own.data, {"value": 2.0}, own.edition)

    async def script(ward: Ward) -> None:
        submit(ward, "first")
        await ward.wait(6)
        submit(ward, "again")
        await ward.wait(6)
        submit(ward, "later", "next-year", members=FOUR)
        await ward.wait(10)

    play(ward, script)
    assert closed(ward, "first") == closed(ward, "again") == [list(FIVE)]
    assert closed(ward, "later") == [list(FOUR)]


def test_ten_learning_rates_over_the_same_set_run(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    names = [f"rate-{number}" for number in range(10)]
    trains(ward, 0.01, names)

    async def script(ward: Ward) -> None:
        for name in names:
            submit(ward, name, name, model=line(), rounds=2)
            await ward.wait(12)

    play(ward, script)
    assert all(closed(ward, name) == [list(FIVE)] * 2 for name in names)
    assert not any(node.named("refuse") for node in ward.nodes.values())


def test_training_jobs_beyond_those_that_need_no_word_are_refused_by_name(tmp_path: Path) -> None:
    ward = ward_of(tmp_path, unlisted_jobs=1)
    trains(ward)

    async def script(ward: Ward) -> None:
        for name in ("first", "second", "again"):
            submit(ward, name, model=line())
            await ward.wait(8)

    play(ward, script)
    assert closed(ward, "second") == [list(FIVE)]
    assert refused(ward, "again") == everyone(FIVE, "ledger.unlisted")
