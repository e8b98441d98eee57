"""Which set is frozen when inputs are bound: the largest that every input in it allows, always the same one."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from secagg.crypto.derive import sha256
from secagg.protocol.binding import ANY, NOTHING, Bound, Only, seats_digest, unfit
from secagg.protocol.fitting import Known, choose, left_out
from secagg.protocol.manifest import Seat
from secagg.rehearsal.federation import propose
from support.federation import make

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


def test_one_that_claims_to_be_bound_pushes_nobody_out_who_is_free() -> None:
    """Its word is its own: a set of the same size without it holds everybody whose inputs are bound to nothing."""
    assert chosen(a=FREE, b=FREE, c=FREE, d=same("abcd"), e=FREE) == "abce"


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
    assert choose(given, SEATS, EARLIER, "abc", [*left, SEATS["d"]]) == ()
    assert choose(given, {name: SEATS[name] for name in "abc"}, EARLIER, "abc", [*left, SEATS["d"]]) == (), "left out"


def test_whose_organisation_has_another_seat_now_is_asked_there() -> None:
    """Enrolled anew, under the old name or another: the difference shows what its earlier key gave."""
    over = bound(Only("overlap", digest("abcd")))
    given, left = {name: over for name in "abc"}, [SEATS[name] for name in "abc"]
    for name in "dz":
        anew = [*left, Seat(name, "of-d", bytes([9]) * 32)]
        assert choose(given, SEATS, EARLIER, "abc", anew) == ()
        assert choose(given, SEATS, EARLIER, ("a", "b", "c", name), anew) == ("a", "b", "c")
    stranger = [*left, Seat("d", "of-somebody", bytes([9]) * 32)]
    assert choose(given, SEATS, EARLIER, "abc", stranger) == ("a", "b", "c"), "the name is nobody"


def remembering(bounds: str, *sets: str, allowed: str = "", said: Bound = FREE) -> str:
    """Return who is chosen of these when a says `said` of an input that was summed over these sets before."""
    before = {(SEATS["a"].key, bytes(32)): tuple(digest(names) for names in sets)}
    given = {name: said if name == "a" else FREE for name in bounds}
    return "".join(choose(given, SEATS, EARLIER, allowed, tuple(SEATS.values()), lambda *of: before.get(of, ())))


def test_an_input_that_was_summed_before_is_bound_whatever_its_header_says() -> None:
    assert remembering("abcd", "abcde") == "bcd"
    assert remembering("abcde", "abcde") == "abcde"
    assert remembering("abcd", "abc") == "bcd", "of two as large, the free one"
    assert remembering("abcd", "abc", said=same("abcd")) == "bcd"
    assert remembering("abcd", "abcde", said=bound(Only("overlap", digest("abcd")))) == "bcd"


def test_an_input_that_was_summed_before_may_overlap_where_everybody_says_so() -> None:
    assert remembering("abcd", "abcde", allowed="abcde") == "abcd"
    assert remembering("abcd", "abcde", allowed="abcd") == "bcd", "e is whom the difference shows"
    assert remembering("abcd", "abc", "abcde", allowed="abcd") == "bcd", "every set of before"


def test_who_repeats_an_input_is_told_why_it_is_left_out() -> None:
    manifest = propose(make(4))
    seats = tuple(manifest.members)
    bounds = {seat.name: Bound(sha256(seat.name.encode()), ANY) for seat in seats[:3]}
    all_four = seats_digest(seats)
    known = Known({all_four: seats}, (), seats, lambda key, tag: (all_four,) if key == seats[0].key else ())
    assert left_out(bounds, manifest, known) == {
        "node-00": f"its data was summed over {', '.join(manifest.names())} before, and may be summed over these only"
    }


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
