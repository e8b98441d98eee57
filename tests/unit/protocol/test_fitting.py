"""Which set is frozen when inputs are bound: the largest that every input in it allows, always the same one."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from secagg.protocol.binding import ANY, NOTHING, Bound, Only, seats_digest, unfit
from secagg.protocol.fitting import choose
from secagg.protocol.manifest import Seat

SEATS = {name: Seat(name, f"of-{name}", bytes([place]) * 32) for place, name in enumerate("abcde")}


def digest(names: str) -> bytes:
    return seats_digest(SEATS[name] for name in names)


def bound(only: Only) -> Bound:
    return Bound(bytes(32), only)


def same(names: str) -> Bound:
    return bound(Only("same", digest(names)))


EARLIER = {digest(names): tuple(SEATS[name] for name in names) for names in ("abc", "abcd", "bcde", "abcde")}
FREE, NONE = bound(ANY), bound(NOTHING)


def chosen(allowed: str = "", **bounds: Bound) -> str:
    return "".join(choose(bounds, SEATS, EARLIER, allowed, tuple(SEATS.values())))


def test_free_inputs_are_summed_over_everybody() -> None:
    assert chosen(a=FREE, b=FREE, c=FREE) == "abc"


def test_who_waits_for_word_of_an_earlier_attempt_is_left_out() -> None:
    assert chosen(a=FREE, b=NONE, c=FREE) == "ac"


def test_bound_inputs_get_their_set_and_a_newcomer_is_left_out() -> None:
    assert chosen(a=same("abc"), b=same("abc"), c=same("abc"), d=FREE) == "abc"


def test_without_one_of_their_set_bound_inputs_are_left_out() -> None:
    assert chosen(a=same("abcd"), b=same("abcd"), c=FREE, e=FREE) == "ce"
    assert chosen(a=same("abcd"), b=same("abcd"), c=same("abcd")) == ""


def test_a_set_of_another_federation_is_nobody_s() -> None:
    assert chosen(a=bound(Only("same", b"f" * 32)), b=FREE, c=FREE, d=FREE) == "bcd"


def test_an_overlap_needs_the_word_of_everybody_in_either_set() -> None:
    over = bound(Only("overlap", digest("abcd")))
    assert chosen(a=over, b=over, c=over) == ""
    assert chosen("abc", a=over, b=over, c=over) == "", "d is whom the difference shows"
    assert chosen("abcd", a=over, b=over, c=over) == "abc"
    assert chosen(a=over, b=over, c=over, d=over) == "abcd", "the same set needs nobody's word"


def test_who_has_no_seat_any_more_is_not_asked() -> None:
    over = bound(Only("overlap", digest("abcd")))
    given = {name: over for name in "abc"}
    left = [SEATS[name] for name in "abc"]
    assert choose(given, SEATS, EARLIER, "abc", left) == ("a", "b", "c")
    anew = [*left, Seat("d", "of-d", bytes([9]) * 32)]
    assert choose(given, SEATS, EARLIER, "abc", anew) == ("a", "b", "c"), "one enrolled anew is another member"
    assert choose(given, SEATS, EARLIER, "abc", [*left, SEATS["d"]]) == ()
    assert choose(given, {name: SEATS[name] for name in "abc"}, EARLIER, "abc", [*left, SEATS["d"]]) == (), "left out"


onlys = st.sampled_from([FREE, NONE, *(same(names) for names in ("abc", "abcd", "bcde"))])


@given(st.dictionaries(st.sampled_from("abcde"), onlys))
def test_nobody_is_left_out_of_a_larger_set_that_would_fit(bounds: dict[str, Bound]) -> None:
    found = choose(bounds, SEATS, EARLIER, (), tuple(SEATS.values()))
    assert not unfit({name: bounds[name] for name in found}, [SEATS[name] for name in found])
    for size in range(len(found) + 1, len(bounds) + 1):
        for names in itertools.combinations(bounds, size):
            if all(bounds[name] is FREE for name in names):
                continue  # a part of the free ones is never larger than all of them
            assert unfit({name: bounds[name] for name in names}, [SEATS[name] for name in names])
