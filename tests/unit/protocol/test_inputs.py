"""To which set an input is bound, and when: the rules of the ledger, each with what it must not stop."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import Refused
from secagg.ids import NO_DIGEST, RoundId
from secagg.protocol import inputs
from secagg.protocol.binding import ANY, NOTHING, Only, seats_digest
from secagg.protocol.inputs import Allowed, Binding, Counted, Terms, Wanted, bind
from secagg.protocol.manifest import Seat

SEATS = tuple(Seat(name, name, sha256(name.encode())) for name in "abcde")
S4, S5 = SEATS[:4], SEATS
SOURCE, OTHER = b"s" * 32, b"o" * 32
HANDED = inputs.training_identity(SOURCE, NO_DIGEST)
STRICT, CHANGING = Terms(), Terms(changing_sets=True)


def training(number: int, job: str = "job", model: bytes = NO_DIGEST, **changes: object) -> Counted:
    source = changes.get("source", SOURCE)
    assert isinstance(source, bytes)
    identity = inputs.training_identity(source, model)
    entry = Counted(
        RoundId("fed", job, number), bytes([number]) * 32, "training", "task", source, identity,
        sha256(b"tag" + identity), model == NO_DIGEST, number, state="frozen", seats=S5,
    )  # fmt: skip
    return replace(entry, **changes)


def summed(number: int, job: str = "sums", **changes: object) -> Counted:
    identity = inputs.sum_identity(SOURCE, "")
    return replace(training(number, job), purpose="sum", identity=identity, handed_out=False, **changes)


def next_of(entry: Counted, **changes: object) -> Wanted:
    """What would be counted as `entry` next, but for `changes`."""
    wanted = Wanted(
        entry.round, entry.purpose, entry.source, entry.identity, entry.tag, entry.handed_out, entry.root,
        entry.manifest, entry.vector, entry.encoding,
    )  # fmt: skip
    return replace(wanted, **changes)


def allowed(job: str, before: int, overlap: bool = True) -> Allowed:
    return Allowed("fed", NO_DIGEST, job, overlap, before, 0)


def bound(past: list[Counted], wanted: Wanted, terms: Terms = STRICT, *said: Allowed) -> tuple[str, str]:
    found = bind(past, wanted, terms, said)
    return found.only.kind, found.rule


# What binds ----------------------------------------------------------------------------------------------------------


def test_a_first_input_is_free() -> None:
    assert bind([], next_of(training(1)), STRICT, ()) == Binding(ANY, training(1).tag)


@pytest.mark.parametrize("state", ["out", "lifted"])
def test_what_is_in_no_sum_binds_nothing(state: str) -> None:
    past = [training(1, state=state)]
    assert bound(past, next_of(training(1, job="another"))) == ("any", "")


def test_every_round_from_a_model_that_was_handed_out_is_one_input() -> None:
    """Another job, initial model or engine: whoever chose the model knows it."""
    found = bind([training(1)], next_of(training(1, "another")), STRICT, [allowed("another", 0, False)])
    assert (found.only, found.rule) == (Only("same", seats_digest(S5)), "ledger.input")


def test_rounds_of_a_job_keep_the_set_of_its_first_unless_the_policy_lets_sets_change() -> None:
    past = [training(1), training(2, model=b"2" * 32)]
    wanted = next_of(training(3, model=b"3" * 32))
    assert bound(past, wanted) == ("same", "ledger.job")
    assert bound(past, wanted, CHANGING) == ("any", "")


def test_the_same_model_again_is_the_same_input_even_where_sets_change() -> None:
    """A lost round, or one that left the model as it was."""
    past = [training(1), training(2, model=b"2" * 32, answered=True, seats=S4)]
    found = bind(past, next_of(training(3, model=b"2" * 32)), CHANGING, ())
    assert (found.only, found.rule) == (Only("same", seats_digest(S4)), "ledger.input")


def test_a_job_that_nobody_listed_is_bound_to_all_training_of_the_source() -> None:
    """Over one set to that set, over more than one to none: its model may be one of any round, units changed about."""
    past = [training(1, "first", seats=S4), training(2, "first", b"2" * 32, seats=S4)]
    wanted = next_of(training(2, "later", b"9" * 32))
    binding = bind(past, wanted, CHANGING, ())
    assert (binding.only, binding.rule) == (Only("same", seats_digest(S4)), "ledger.unlisted")
    more = [*past, training(3, "first", b"3" * 32)]
    binding = bind(more, wanted, CHANGING, ())
    assert (binding.only, binding.rule) == (NOTHING, "ledger.unlisted")
    assert bound(more, wanted, CHANGING, allowed("later", 3, overlap=False)) == ("any", "")
    assert bound(more, next_of(training(4, "first", b"9" * 32)), CHANGING) == ("any", "")
    assert bound(more, next_of(training(2, "later", b"9" * 32, source=OTHER)), CHANGING) == ("any", "")
    # What is in no sum is no set, and a set of whose members one is proven to be at fault is the one without it.
    lifted = [*past, training(3, "first", b"3" * 32, state="lifted")]
    assert bound(lifted, wanted, CHANGING) == ("same", "ledger.unlisted")
    assert bind(more, wanted, CHANGING, (), proven={S5[4].key}).only == Only("same", seats_digest(S4))


def test_the_rule_that_is_named_is_the_one_for_which_least_has_to_be_allowed() -> None:
    first = next_of(training(1, "later"))
    one_first_round = [training(1, "first"), training(2, "first", b"2" * 32, seats=S4)]
    assert bound(one_first_round, first, CHANGING) == ("nothing", "ledger.unlisted")
    assert bound(one_first_round, first, CHANGING, allowed("later", 2, overlap=False)) == ("same", "ledger.input")
    two_first_rounds = [training(1, "first"), training(1, "listed", seats=S4)]
    assert bound(two_first_rounds, first, CHANGING) == ("nothing", "ledger.input")


def test_a_second_federation_of_the_same_name_has_other_jobs() -> None:
    past = [training(1), training(2, model=b"2" * 32)]
    wanted = next_of(training(3, model=b"3" * 32), root=b"r" * 32)
    assert bound(past, wanted, CHANGING) == ("same", "ledger.unlisted")
    assert bound(past, wanted, CHANGING, allowed("job", 2)) == ("same", "ledger.unlisted")
    assert bound(past, next_of(past[0], root=b"r" * 32), CHANGING) == ("same", "ledger.input")


def test_sums_over_a_source_are_one_input_and_training_keeps_their_set() -> None:
    assert bound([summed(1)], next_of(summed(1, "later"))) == ("same", "ledger.input")
    for past, wanted in ((summed(1, seats=S4), training(1)), (training(1, seats=S4), summed(1))):
        found = bind([past], next_of(wanted), STRICT, ())
        assert (found.only, found.rule) == (Only("same", seats_digest(S4)), "ledger.source")
        # The tag is its own: what travels tells nobody that the two are of one source.
        assert found.tag == wanted.tag
        assert bound([past], next_of(wanted, source=OTHER)) == ("any", "")
        assert bound([replace(past, state="pending")], next_of(wanted)) == ("nothing", "ledger.source")
        assert bound([replace(past, state="out")], next_of(wanted)) == ("any", "")
        assert bound([past], next_of(wanted), CHANGING) == ("any", "")
        assert bound([past], next_of(wanted), STRICT, allowed(wanted.round.job, 1)) == ("overlap", "")
        assert bound([past], next_of(wanted), STRICT, allowed(wanted.round.job, 1, False)) == ("same", "ledger.source")


def test_what_binds_by_the_input_itself_is_named_before_a_sum_of_the_source() -> None:
    past = [summed(1), training(1), training(2, model=b"2" * 32)]
    assert bound(past, next_of(training(3, model=b"3" * 32))) == ("same", "ledger.job")
    assert bound([replace(past[0], seats=S4), *past[1:]], next_of(training(3, model=b"3" * 32))) == (
        "nothing", "ledger.source",
    )  # fmt: skip


def test_the_same_vector_is_the_same_input_under_any_name() -> None:
    past = [summed(1, vector=b"v" * 32)]
    renamed = next_of(summed(1, "later"), source=OTHER, identity=inputs.sum_identity(OTHER, "copy"), tag=b"x" * 32)
    found = bind(past, replace(renamed, vector=b"v" * 32), STRICT, ())
    assert (found.only.kind, found.rule, found.tag) == ("same", "ledger.input", past[0].tag)
    assert bind(past, replace(renamed, vector=b"w" * 32), STRICT, ()) == Binding(ANY, b"x" * 32)
    # Before a round no vector is known, and what is not known is not the same.
    assert bound([summed(1, vector=NO_DIGEST)], replace(renamed, vector=NO_DIGEST)) == ("any", "")


def test_a_tag_of_another_federation_does_not_travel() -> None:
    past = [summed(1, vector=b"v" * 32, root=b"r" * 32)]
    wanted = next_of(summed(1, "later", vector=b"v" * 32), tag=b"x" * 32)
    found = bind(past, wanted, STRICT, ())
    assert (found.only.kind, found.tag) == ("same", b"x" * 32)


def test_an_update_that_only_looks_new_is_bound_by_what_it_is_near_to() -> None:
    past = [training(1), training(2, model=b"2" * 32, seats=S4), training(3, model=b"3" * 32)]
    wanted = next_of(training(4, model=b"4" * 32))
    found = bind(past, wanted, CHANGING, (), lambda entry: entry.round.round == 2)
    assert (found.only, found.rule) == (Only("same", seats_digest(S4)), "ledger.near")
    assert bind(past, wanted, CHANGING, (), lambda entry: False).only == ANY
    # Two sets at once: no set is both.
    assert bind(past, wanted, CHANGING, (), lambda entry: entry.round.round > 1).only == NOTHING
    # The vector of a sum has a digest, and no sketch.
    assert bind([summed(1)], wanted, CHANGING, (), lambda entry: True).only == ANY


# When it binds -------------------------------------------------------------------------------------------------------


def test_a_header_whose_end_is_not_known_leaves_no_set() -> None:
    past = [training(1, state="pending")]
    found = bind(past, next_of(training(2, model=b"2" * 32)), STRICT, ())
    assert (found.only, found.by) == (NOTHING, past[0])
    assert bound(past, next_of(training(2, model=b"2" * 32)), CHANGING) == ("any", "")


def test_the_attempt_itself_binds_nothing_and_another_attempt_or_manifest_does() -> None:
    """A node died before its header left: the same attempt is taken up again."""
    entry = training(1, state="pending")
    assert bind([entry], next_of(entry), STRICT, ()).only == ANY
    assert bind([entry], next_of(entry, manifest=b"n" * 32), STRICT, ()).only == NOTHING
    assert bind([entry], next_of(entry, root=b"r" * 32), STRICT, ()).only == NOTHING
    again = replace(entry.round, attempt=2)
    assert bind([entry], next_of(entry, round=again), STRICT, ()).only == NOTHING
    lifted = inputs.lift(entry)
    assert bind([lifted], next_of(entry, round=again), STRICT, ()).only == ANY


def test_members_whose_fault_is_proven_are_in_no_set_any_more() -> None:
    wanted = next_of(training(2, model=b"2" * 32))
    found = bind([training(1)], wanted, STRICT, (), proven={S5[4].key})
    assert found.only == Only("same", seats_digest(S4))
    past = [training(1), training(2, model=b"2" * 32, seats=S4)]
    assert bind(past, next_of(training(3, model=b"3" * 32)), STRICT, ()).only == NOTHING
    after = bind(past, next_of(training(3, model=b"3" * 32)), STRICT, (), proven={S5[4].key})
    assert after.only == Only("same", seats_digest(S4))


def test_what_a_person_allows_is_excused_and_what_comes_after_is_bound_again() -> None:
    past = [training(1), training(2, model=b"2" * 32, seats=S4)]
    wanted = next_of(training(3, model=b"3" * 32))
    found = bind(past, wanted, STRICT, [allowed("job", 2)])
    assert (found.only, found.excused) == (Only("overlap", seats_digest(S4)), tuple(past))
    assert bound(past, wanted, STRICT, allowed("job", 2, overlap=False)) == ("nothing", "ledger.job")
    assert bound(past, wanted, STRICT, allowed("another", 2)) == ("nothing", "ledger.job")
    after = [*past, training(3, model=b"3" * 32, seats=SEATS[:3])]
    assert bind(after, next_of(training(4, model=b"4" * 32)), STRICT, [allowed("job", 2)]).only == Only(
        "same", seats_digest(SEATS[:3])
    )
    # A header without an end, of an aggregator that is gone: no set is known, so none is named.
    pending = [training(1, state="pending")]
    assert bind(pending, next_of(training(1, "later")), STRICT, [allowed("later", 1)]).only == Only("overlap")


# What is refused whatever the set ------------------------------------------------------------------------------------


def refused(past: list[Counted], wanted: Wanted, terms: Terms, *said: Allowed) -> str:
    try:
        inputs.admit(past, wanted, terms, said)
    except Refused as refusal:
        return refusal.rule
    return ""


def test_so_many_jobs_need_no_word_of_a_person() -> None:
    terms = Terms(unlisted_jobs=2)
    past = [training(1, job) for job in ("first", "second", "third")]
    wanted = next_of(training(1, "fourth"))
    assert refused(past[:2], wanted, terms) == ""
    assert refused(past, wanted, terms) == "ledger.unlisted"
    assert refused(past, wanted, terms, allowed("fourth", 3, overlap=False)) == ""
    assert refused(past, wanted, terms, allowed("second", 3, overlap=False)) == ""
    assert refused(past, next_of(training(2, "first", b"2" * 32)), terms) == ""
    assert refused(past, next_of(training(2, "third", b"2" * 32)), terms) == ""
    assert refused(past, next_of(summed(1, "fourth")), terms) == ""
    assert refused([inputs.lift(entry) for entry in past], wanted, terms) == ""


ONE, ANOTHER = b"1" * 32, b"2" * 32


def test_training_of_a_source_keeps_its_first_encoding_unless_the_job_is_listed() -> None:
    past = [training(1, "first", encoding=ONE), training(1, "listed", encoding=ANOTHER)]
    for model in (NO_DIGEST, b"9" * 32):
        wanted = next_of(training(1, "later", model, encoding=ONE))
        other = replace(wanted, encoding=ANOTHER)
        for terms in (STRICT, CHANGING):
            assert refused(past, wanted, terms) == ""
            assert refused(past, other, terms) == "ledger.encoding"
            assert refused(past, other, terms, allowed("later", 0, overlap=False)) == ""
            assert refused(past, other, terms, allowed("later", 2)) == ""
            assert refused(past, other, terms, allowed("listed", 2)) == "ledger.encoding"
        assert refused(past, replace(other, source=OTHER), STRICT) == ""
        assert refused(past, replace(other, root=b"r" * 32), STRICT, allowed("later", 2)) == "ledger.encoding"
        assert refused([replace(past[0], state="pending")], other, STRICT) == "ledger.encoding"
        assert refused([inputs.lift(past[0])], other, STRICT) == ""
        # A sum before it has an encoding of its own kind.
        assert refused([summed(1, encoding=b"s" * 32)], wanted, STRICT) == ""


def test_the_very_same_values_are_summed_in_one_encoding() -> None:
    past = [summed(1, vector=b"v" * 32, encoding=ONE)]
    again = next_of(summed(1, "later", vector=b"v" * 32, encoding=ONE))
    other = replace(again, encoding=ANOTHER)
    assert refused(past, again, STRICT) == ""
    assert refused(past, other, STRICT) == "ledger.encoding"
    assert refused(past, replace(other, source=OTHER), STRICT) == "ledger.encoding"
    assert refused(past, other, STRICT, allowed("later", 1, overlap=False)) == ""
    # Another task's sum over this source is other values; before a round none are known.
    assert refused(past, replace(other, vector=b"w" * 32), STRICT) == ""
    assert refused([replace(past[0], vector=NO_DIGEST)], replace(other, vector=NO_DIGEST), STRICT) == ""


@pytest.mark.parametrize("state", ["pending", "frozen"])
def test_a_budget_counts_headers_that_were_signed_answered_or_not(state: str) -> None:
    terms = Terms(max_rounds_per_source=2)
    past = [training(1, state=state), training(2, model=b"2" * 32, state=state)]
    wanted = next_of(training(3, model=b"3" * 32))
    assert refused(past[:1], wanted, terms) == ""
    assert refused(past, wanted, terms) == "policy.max_rounds_per_source"
    assert refused([past[0], replace(past[1], state="lifted")], wanted, terms) == ""
    # Attempts at one round are one round, sums have their own number, and another source too.
    assert refused(past, next_of(past[1], round=replace(past[1].round, attempt=2)), terms) == ""
    assert refused(past, next_of(summed(1)), terms) == ""
    assert refused(past, next_of(training(1, source=OTHER)), terms) == ""
    assert refused([past[0], replace(past[0], root=b"r" * 32)], wanted, terms) == "policy.max_rounds_per_source"


# What becomes of an entry --------------------------------------------------------------------------------------------


def ends(function: Callable[[], Counted]) -> str:
    with pytest.raises(Refused) as caught:
        function()
    return caught.value.rule


def test_an_entry_goes_its_way_and_never_back() -> None:
    pending = training(1, state="pending", seats=S5)
    frozen = inputs.froze(pending, S4)
    assert (frozen.state, frozen.seats) == ("frozen", S4)
    assert inputs.froze(frozen, S4) == frozen
    assert ends(lambda: inputs.froze(frozen, S5)) == "ledger.second-freeze"
    assert inputs.left_out(pending).state == "out"
    assert inputs.left_out(frozen) == frozen
    answered = inputs.answer(frozen)
    assert answered.answered
    assert inputs.lift(answered) == answered
    assert inputs.lift(frozen).state == inputs.lift(pending).state == "lifted"
    for entry in (pending, inputs.lift(frozen), inputs.left_out(pending)):
        assert ends(lambda entry=entry: inputs.answer(entry)) == "ledger.lifted"  # type: ignore[misc]


def test_an_attempt_without_an_entry_goes_no_further() -> None:
    entry = training(1)
    assert inputs.required(entry, entry.round) is entry
    with pytest.raises(Refused) as caught:
        inputs.required(None, entry.round)
    assert caught.value.rule == "ledger.lost"


def test_identities_are_of_what_is_read_and_told_apart() -> None:
    source = inputs.source_digest("/data/a.csv", "")
    assert source != inputs.source_digest("/data/a.csv", "2027")
    assert source != inputs.source_digest("/data/b.csv", "")
    training_of, sum_of = inputs.training_identity(source, NO_DIGEST), inputs.sum_identity(source, "")
    found = {training_of, sum_of, inputs.sum_identity(source, "task"), inputs.training_identity(source, b"m" * 32)}
    assert len(found) == 4
