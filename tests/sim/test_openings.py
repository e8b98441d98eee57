"""The oracle of linear algebra: what it calls isolated, and what it makes of shares and decisions."""

import random
from collections.abc import Iterable

import pytest

from support.simulation_openings import Collected, Row, Unknown, isolated


def row(where: str, members: Iterable[str], identity: str = "x", k_min: int = 3, colluders: int = 0) -> Row:
    return Row(where, frozenset(Unknown(member, identity) for member in members), k_min, colluders)


def test_repeats_and_disjoint_sets_isolate_nobody() -> None:
    rows = [row("a.1", "ABC"), row("a.2", "ABC"), row("b.1", "DEF"), row("c.1", "ABC")]
    assert isolated(rows) == []


def test_one_member_less_shows_that_member() -> None:
    assert isolated([row("a.1", "ABCD"), row("b.1", "ABC")]) == ["D (x) from a.1, b.1"]


def test_two_members_less_show_two_which_are_fewer_than_three() -> None:
    assert isolated([row("a.1", "ABCDE"), row("b.1", "ABC")]) == ["D (x), E (x) from a.1, b.1"]
    assert isolated([row("a.1", "ABCDEF"), row("b.1", "ABC")]) == []


def test_two_sums_less_a_third_show_one() -> None:
    # U1 + U2 - U3: no two of them differ by fewer than three.
    rows = [row("a.1", "ABC"), row("a.2", "DEF"), row("b.1", "ABCDE")]
    assert isolated(rows) == ["F (x) from a.1, a.2, b.1"]
    assert isolated(rows[:2]) == []


def test_a_combination_may_need_fractions() -> None:
    # (AB + AC - BC) / 2 is A, and no two of the sums differ by one input.
    assert isolated([row("1", "AB", k_min=2), row("2", "BC", k_min=2), row("3", "CA", k_min=2)]) == [
        "A (x) from 1, 2, 3"
    ]


def test_a_sum_of_too_few_is_isolated_by_itself() -> None:
    assert isolated([row("a.1", "AB")]) == ["A (x), B (x) from a.1"]


def redrawn(rounds: int) -> list[Row]:
    """Two groups of twelve members, drawn anew in every round."""
    chance, members, rows = random.Random(1), list("ABCDEFGHIJKL"), []
    for number in range(rounds):
        chance.shuffle(members)
        rows += [row(f"a.{number}.0", members[:6], k_min=6), row(f"a.{number}.1", members[6:], k_min=6)]
    return rows


def test_groups_that_are_redrawn_every_round_solve_what_repeats() -> None:
    (line,) = isolated(redrawn(11))
    assert line.partition(" from ")[0].count("(x)") == 1
    assert isolated(redrawn(1)) == []
    one_grouping = [row(f"a.{number}.{group}", part, k_min=6) for number in range(11)
                    for group, part in enumerate(("ABCDEF", "GHIJKL"))]  # fmt: skip
    assert isolated(one_grouping) == []


def test_inputs_of_different_identities_do_not_cancel() -> None:
    rows = [row("a.1", "ABCD", "model 1"), row("a.2", "ABC", "model 2"), row("a.3", "BCD", "model 3")]
    assert isolated(rows) == []


def test_a_new_edition_of_one_member_shows_only_how_it_changed() -> None:
    mixed = Row("b.1", frozenset([*(Unknown(m, "x") for m in "ABC"), Unknown("D", "y")]), 3)
    assert isolated([row("a.1", "ABCD"), mixed]) == []


def test_two_seats_under_one_name_are_two_members() -> None:
    assert isolated([row("a.1", ["A", "B", "C", "D/old"]), row("b.1", ["A", "B", "C", "D/new"])]) == [
        "D/new (x), D/old (x) from a.1, b.1"
    ]


def test_proven_cheaters_stand_aside() -> None:
    rows = [row("a.1", "ABCD", k_min=3, colluders=1), row("a.2", "ABC", k_min=3, colluders=1)]
    assert isolated(rows, frozenset("D")) == []
    assert isolated(rows) == ["D (x) from a.1, a.2"]
    # The cheater's input is known: what is left of a sum with it has to be K_min - c honest ones.
    assert isolated([row("a.1", "ABD", k_min=3, colluders=1)], frozenset("D")) == []
    assert isolated([row("a.1", "AD", k_min=3, colluders=1)], frozenset("D")) == ["A (x) from a.1"]


def test_what_persons_allowed_stands_aside_and_nothing_else_does() -> None:
    rows = [row("a.1", "ABCD"), row("b.1", "ABC")]

    def allowed(one: Row, other: Row) -> bool:
        return {one.where, other.where} == {"a.1", "b.1"}

    assert isolated(rows, excused=allowed) == []
    assert isolated([*rows, row("c.1", "BCD")], excused=allowed) != []
    assert isolated([*rows, row("b.2", "ABCE")], excused=allowed) != []
    assert isolated([*rows, row("c.1", "ABC")], excused=allowed) == ["D (x) from a.1, c.1"]


@pytest.fixture
def released() -> Collected:
    """Four members masked over one U2 of four, D dropped; three answers make a secret, one member colludes."""
    collected = Collected()
    collected.attempt("a.1.1", 3, 3, 1)
    collected.masked_over("a.1.1", b"u2", "ABCD")
    for seat in "ABC":
        collected.upload("a.1.1", b"u2", seat, Unknown(seat, "x"))
    return collected


def answer(collected: Collected, holder: str, seeds: str, keys: str, label: str = "a.1.1") -> None:
    for owner in seeds:
        collected.share(label, "seed", owner, holder)
    for owner in keys:
        collected.share(label, "key", owner, holder)


def test_answers_open_once_colluders_make_them_enough(released: Collected) -> None:
    answer(released, "A", "ABC", "D")
    assert released.rows() == []
    answer(released, "A", "ABC", "D")
    assert released.rows() == []
    answer(released, "B", "ABC", "D")
    assert released.rows() == [row("a.1.1", "ABC", k_min=3, colluders=1)]


def test_the_pair_masks_of_a_member_without_an_upload_must_be_gone(released: Collected) -> None:
    for holder in "ABC":
        answer(released, holder, "ABC", "")
    assert released.rows() == []


def test_both_secrets_of_one_member_show_its_input(released: Collected) -> None:
    for holder in "AB":
        answer(released, holder, "ABC", "CD")
    assert released.rows() == [row("a.1.1", "C", colluders=1), row("a.1.1", "AB", colluders=1)]
    assert isolated(released.rows()) == ["C (x) from a.1.1", "A (x), B (x) from a.1.1"]


def test_shares_of_two_attempts_do_not_add_up(released: Collected) -> None:
    released.attempt("a.1.2", 3, 3, 1)
    answer(released, "A", "ABC", "D")
    answer(released, "B", "ABC", "D", "a.1.2")
    assert released.rows() == []


def test_uploads_over_another_u2_do_not_open_with_it(released: Collected) -> None:
    released.masked_over("a.1.1", b"other", "ABC")
    for holder in "ABC":
        answer(released, holder, "ABC", "D")
    assert released.rows() == [row("a.1.1", "ABC", colluders=1)]


def test_trustees_open_when_enough_decided_on_one_set() -> None:
    collected = Collected()
    collected.attempt("a.1.1", 2, 3, 1)
    unknowns = [Unknown(seat, "x") for seat in "ABCD"]
    collected.decided("a.1.1", "ana", unknowns)
    collected.decided("a.1.1", "ben", unknowns[:3])
    assert collected.rows() == []
    collected.decided("a.1.1", "cyd", unknowns)
    assert collected.rows() == [row("a.1.1", "ABCD", colluders=1)]
