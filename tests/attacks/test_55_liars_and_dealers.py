"""Row 55: one liar among the answers, or one bad dealer, loses every round and nobody is named; or an honest one is.

Every number of liars that a round survives, at every size. Dealers that bend one share, commit to something else or
sign two lists. Members that report honest dealers. All together, in drawn mixes: no honest member is ever named, and
whoever changed something is. Real keys, shares, signatures and lists; no vectors, which nobody here looks at.
"""

import time
from collections import Counter

import pytest

from secagg.protocol.masks import judging
from support.dealings import Attempt, Company, End, Plan, company
from support.simulation_clock import Chance

SIZES = (4, 5, 10, 20, 50, 100)
OFTEN = (*(4,) * 8, *(5,) * 8, *(10,) * 8, *(20,) * 8, *(50,) * 3, 100)
"""How often each size is drawn among the mixes: one of a hundred members costs as much as a hundred small ones."""

MANY, FEW = 10_000, 360


def play(count: int, **plan: object) -> tuple[Attempt, End]:
    attempt = Attempt(company(count), Plan(**plan))  # type: ignore[arg-type]
    return attempt, attempt.play()


def others(dealt: Company, *taken: str) -> list[str]:
    return [name for name in dealt.names if name not in taken]


@pytest.mark.parametrize("count", SIZES)
def test_every_number_of_liars_that_leaves_enough_is_survived_and_every_one_named(count: int) -> None:
    dealt = company(count)
    most = count - dealt.t
    for liars in range(most + 1) if count <= 20 else (0, 1, most // 2, most - 1, most):
        names = dealt.names[:liars]
        _, end = play(count, wrong={name: dealt.names[-1] for name in names})
        assert (dict(end.named), end.opened) == (dict.fromkeys(names, "answer"), True)
        _, end = play(count, missing={name: dealt.names[-1] for name in names})
        assert (dict(end.named), end.opened) == (dict.fromkeys(names, "answer"), True)


@pytest.mark.parametrize("count", SIZES)
def test_one_liar_more_loses_the_round_and_all_are_named(count: int) -> None:
    dealt = company(count)
    names = dealt.names[: count - dealt.t + 1]
    _, end = play(count, wrong={name: dealt.names[-1] for name in names})
    assert (dict(end.named), end.opened) == (dict.fromkeys(names, "answer"), False)


@pytest.mark.parametrize("count", SIZES)
def test_one_liar_about_who_dropped_is_named(count: int) -> None:
    dealt = company(count)
    gone, liar = dealt.names[-1], dealt.names[0]
    if count - 1 > dealt.t:
        _, end = play(count, gone=frozenset({gone}), wrong={liar: gone})
        assert (dict(end.named), end.opened) == ({liar: "answer"}, True)
    _, end = play(count, gone=frozenset({gone}), missing={liar: gone})
    assert dict(end.named) == {liar: "answer"}


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("at", [0, -1])
def test_a_dealer_that_bends_one_share_is_named_wherever_it_is(count: int, at: int) -> None:
    dealt = company(count)
    dealer = dealt.names[1]
    receiver = others(dealt, dealer)[at]
    for gone in (frozenset(), frozenset({dealer})):
        attempt, end = play(count, uneven={dealer: (receiver,)}, gone=gone)
        assert attempt.visible() == set(end.named)
        assert end.named == {dealer: "dealing"}


@pytest.mark.parametrize("count", SIZES)
def test_a_dealer_of_something_else_is_named(count: int) -> None:
    dealer = company(count).names[1]
    for gone in (frozenset(), frozenset({dealer})):
        for plan in ({"other": frozenset({dealer})}, {"outside": frozenset({dealer})}):
            _, end = play(count, gone=gone, **plan)
            assert (dict(end.named), end.opened) == ({dealer: "dealing"}, False)


@pytest.mark.parametrize("count", SIZES)
def test_a_dealer_with_two_lists_is_named_and_the_round_goes_on(count: int) -> None:
    dealer = company(count).names[1]
    _, end = play(count, twice=frozenset({dealer}))
    assert (dict(end.named), end.opened) == ({dealer: "two-lists"}, True)


@pytest.mark.parametrize("count", SIZES)
def test_liars_do_not_frame_an_honest_dealer(count: int) -> None:
    """As many as the round survives bend the shares of one honest dealer, all alike or each otherwise."""
    dealt = company(count)
    liars, victim = dealt.names[: count - dealt.t], dealt.names[-1]
    _, end = play(count, wrong=dict.fromkeys(liars, victim))
    assert victim not in end.named
    assert set(end.named) == set(liars)


@pytest.mark.parametrize("count", SIZES)
def test_a_bad_dealer_does_not_frame_an_honest_holder(count: int) -> None:
    """What it bent it listed, so that the holder's share is the listed one; what it did not list is reported."""
    dealt = company(count)
    dealer, victim = dealt.names[0], dealt.names[2]
    for plan in ({"uneven": {dealer: (victim,)}}, {"rubbish": {dealer: (victim,)}}, {"other": frozenset({dealer})}):
        _, end = play(count, **plan)
        assert set(end.named) <= {dealer}


@pytest.mark.parametrize("count", SIZES)
def test_c_reports_name_nobody_and_one_more_does(count: int) -> None:
    dealt = company(count)
    c, victim = dealt.manifest.colluders, dealt.names[-1]
    _, end = play(count, framed={name: (victim,) for name in dealt.names[:c]})
    assert (dict(end.named), end.opened) == ({}, True)
    _, end = play(count, rubbish={victim: dealt.names[: c + 1]})
    assert (dict(end.named), end.opened) == ({victim: "reported"}, None)


def test_one_report_and_one_drop_out_stop_four_and_name_nobody() -> None:
    """As one more drop-out than a round bears does: the next attempt begins with everybody."""
    first, *_, last = company(4).names
    _, end = play(4, gone=frozenset({last}), framed={first: (company(4).names[1],)})
    assert (dict(end.named), end.opened) == ({}, None)


def drawn(count: int, chance: Chance) -> Plan:
    """Return a plan: drop-outs that the round bears, up to r − t liars, up to c dealers of each kind, c reporters."""
    dealt = company(count)
    c, needed = dealt.manifest.colluders, dealt.manifest.needed
    names = sorted(dealt.names, key=lambda _: chance.fraction())
    gone = names[: chance.below(count - needed + 1)] if chance.happens(0.5) else []
    silent = names[len(gone) : len(gone) + chance.below(count - len(gone) - dealt.t + 1)]
    answering = names[len(gone) + len(silent) :]
    lying = answering[: chance.below(len(answering) - dealt.t + 1)]

    def some(most: int) -> list[str]:
        return sorted(names, key=lambda _: chance.fraction())[: chance.below(most + 1)]

    wrong = {name: chance.choose(names) for name in lying if chance.happens(0.6)}
    missing = {name: chance.choose(names) for name in lying if name not in wrong}
    other, outside = frozenset(some(1)), frozenset(some(1))
    uneven = {name: tuple(some(count)) for name in some(c) if name not in other | outside}
    rubbish = {name: tuple(one for one in some(2 * c + 2) if one != name) for name in some(1)}
    framed = {name: tuple(some(3)) for name in some(c)} if chance.happens(0.3) else {}
    return Plan(
        frozenset(gone), frozenset(silent), wrong, missing, uneven, outside - other, other, frozenset(some(c)),
        rubbish if chance.happens(0.3) else {}, framed,
    )  # fmt: skip


def test_no_honest_member_is_named_in_drawn_mixes_and_everybody_who_changed_something_is() -> None:
    check(range(FEW))


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_drawn_mixes(part: int) -> None:
    check(range(part * MANY // 10, (part + 1) * MANY // 10))


def check(seeds: range) -> None:
    seen: Counter[str] = Counter()
    for seed in seeds:
        chance = Chance(seed, "mixes")
        count = chance.choose(OFTEN)
        attempt = Attempt(company(count), drawn(count, chance))
        end = attempt.play()
        assert set(end.named) <= attempt.plan.bad, f"seed {seed} names somebody honest"
        assert set(end.named) == attempt.visible(), f"seed {seed}"
        seen.update({f"n={count}": 1, f"opened {end.opened}": 1, "named": len(end.named)})
        seen.update(end.named.values())
    assert all(seen[kind] > len(seeds) / 50 for kind in ("answer", "dealing", "two-lists", "reported"))
    assert all(seen[f"opened {how}"] > len(seeds) / 50 for how in (True, False, None))


def test_fifty_members_with_sixteen_bad_dealers_take_no_time() -> None:
    dealt = company(50)
    attempt = Attempt(dealt, Plan(uneven={name: dealt.names[20:30] for name in dealt.names[:16]}))
    phase = attempt.judging()
    began = time.process_time()
    judged = judging.judge(phase)
    took = time.process_time() - began
    assert {charge.member for charge in judged.charges} == set(dealt.names[:16])
    assert took < 0.2, f"{took:.3f} s"
