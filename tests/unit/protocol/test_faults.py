"""What a proof of a fault is worth: each rule of `check_fault` left out would let somebody frame an honest member."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import VerificationFailed
from secagg.protocol.binding import UNKNOWN
from secagg.protocol.masks import judging
from secagg.protocol.masks.faults import (
    Point,
    Proof,
    Reported,
    TwoLists,
    WrongAnswer,
    WrongDealing,
    check_fault,
)
from secagg.protocol.masks.messages import AdvertiseKeys, Answer, MaskedInput, OwnedShare, ShareList
from secagg.rehearsal.federation import AGGREGATOR
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.dealings import Attempt, Plan, bent, company

COUNT = 5
DEALT = company(COUNT)
NAMES = DEALT.names
HOLDER, DEALER = NAMES[0], NAMES[-1]
HONEST = Attempt(DEALT, Plan())


def proof(attempt: Attempt, member: str) -> Proof:
    """Return the proof against a member that judging an attempt makes."""
    charges = (*attempt.second_lists(), *judging.judge(attempt.judging()).charges)
    return decode(Proof, next(one.proof for one in charges if one.member == member), LIMIT_BULK)


def judged(found: Proof) -> str:
    return check_fault(encode(found), HONEST.key_of).member


def nothing(fault: Any, manifest: bytes = b"") -> str:
    """Return why a fault proves nothing."""
    with pytest.raises(VerificationFailed) as caught:
        judged(Proof(manifest or DEALT.signed.body, fault))
    return caught.value.cause


def wrong(**plan: object) -> WrongAnswer:
    attempt = Attempt(DEALT, Plan(**plan))  # type: ignore[arg-type]
    fault = proof(attempt, HOLDER).fault
    assert isinstance(fault, WrongAnswer)
    return fault


def dealing(**plan: object) -> WrongDealing:
    attempt = Attempt(DEALT, Plan(**plan))  # type: ignore[arg-type]
    fault = proof(attempt, DEALER).fault
    assert isinstance(fault, WrongDealing)
    return fault


def honest_answer(**changes: object) -> Signed:
    return DEALT.sign(HOLDER, "Answer", replace(HONEST.answer(HOLDER), **changes), AGGREGATOR)


def header(**changes: object) -> Signed:
    body = decode(MaskedInput, HONEST.headers[HOLDER].body)
    return DEALT.sign(HOLDER, "MaskedInput", replace(body, **changes))


# Answers -------------------------------------------------------------------------------------------------------------


def test_an_honest_answer_proves_nothing() -> None:
    fault = wrong(wrong={HOLDER: DEALER})
    assert "the listed one" in nothing(replace(fault, answer=honest_answer()))


def test_an_answer_about_another_u2_proves_nothing() -> None:
    """The dealer has shown somebody else another list: what the holder answers is right for the list it was shown."""
    fault, shown = wrong(wrong={HOLDER: DEALER}), Attempt(DEALT, Plan(uneven={DEALER: (HOLDER,)}))
    assert "another U2" in nothing(replace(fault, answer=honest_answer(), u2=shown.u2, leaves=shown.leaves[DEALER]))


def test_leaves_with_two_places_for_the_holder_prove_nothing() -> None:
    """A dealer whose tree holds two leaves of one receiver could show it one, and the other to everybody else."""
    leaves = DEALT.dealt[DEALER]
    twice = (replace(leaves[0], seed=bytes(32)), *leaves)
    lists = {**HONEST.lists, DEALER: DEALT.list_of(DEALER, twice)}
    u2 = encode(tuple(lists.values()))
    answer = honest_answer(u2=sha256(u2))
    for given in (twice, twice[:1], leaves):
        fault = WrongAnswer(u2, answer, DEALER, given)
        assert "not those of its signed root" in nothing(fault)


def test_a_list_that_is_not_the_dealers_proves_nothing() -> None:
    fault = wrong(wrong={HOLDER: DEALER})
    assert "is not in U2 once" in nothing(replace(fault, dealer="stranger"))
    entries = list(HONEST.lists.values())
    entries[-1] = replace(entries[-1], signature=bytes(64))
    u2 = encode(tuple(entries))
    assert "signature" in nothing(WrongAnswer(u2, honest_answer(u2=sha256(u2)), DEALER, DEALT.dealt[DEALER]))


def test_an_answer_that_somebody_else_signed_proves_nothing() -> None:
    fault = wrong(wrong={HOLDER: DEALER})
    body = fault.answer.body
    forged = sign(DEALT.federation.members[DEALER], "Answer", DEALT.scope, HOLDER, AGGREGATOR, body)
    assert "signature" in nothing(replace(fault, answer=forged))
    elsewhere = Scope(replace(DEALT.scope.round, attempt=2), DEALT.scope.manifest)
    replayed = sign(DEALT.federation.members[HOLDER], "Answer", elsewhere, HOLDER, AGGREGATOR, body)
    assert "signature" in nothing(replace(fault, answer=replayed))


def test_a_missing_share_proves_nothing_without_the_header_that_did_not_report_it() -> None:
    fault = wrong(missing={HOLDER: DEALER})
    assert judged(Proof(DEALT.signed.body, fault)) == HOLDER
    assert "without the holder's header" in nothing(replace(fault, header=None))
    assert "without the holder's header" in nothing(replace(fault, header=HONEST.headers[DEALER]))
    assert f"reported {DEALER}" in nothing(replace(fault, header=header(reported=(DEALER,))))
    assert "owes no share" in nothing(replace(fault, header=header(u2=bytes(32))))
    assert "not those of its signed root" in nothing(replace(fault, own=()))


def test_a_share_of_a_dealer_that_is_no_neighbour_is_not_owed() -> None:
    """On a sparse graph a dealer could put a leaf of anybody into its tree: the holder's own list says who deals."""
    leaves = tuple(leaf for leaf in DEALT.dealt[HOLDER] if leaf.x != DEALT.manifest.index(DEALER) + 1)
    lists = {**HONEST.lists, HOLDER: DEALT.list_of(HOLDER, leaves)}
    u2 = encode(tuple(lists.values()))
    seeds = tuple(entry for entry in HONEST.answer(HOLDER).seeds if entry.owner != DEALER)
    answer = honest_answer(u2=sha256(u2), seeds=seeds)
    fault = WrongAnswer(u2, answer, DEALER, DEALT.dealt[DEALER], header(u2=sha256(u2)), leaves)
    assert "owes no share" in nothing(fault)


def test_a_holder_to_whom_nothing_was_dealt_owes_nothing() -> None:
    lists = {**HONEST.lists, DEALER: DEALT.list_of(DEALER, DEALT.dealt[DEALER][1:])}
    u2 = encode(tuple(lists.values()))
    seeds = tuple(entry for entry in HONEST.answer(HOLDER).seeds if entry.owner != DEALER)
    answer = honest_answer(u2=sha256(u2), seeds=seeds)
    fault = WrongAnswer(
        u2, answer, DEALER, DEALT.dealt[DEALER][1:], header(u2=sha256(u2)), DEALT.dealt[HOLDER]
    )  # fmt: skip
    assert "dealt node-00 nothing" in nothing(fault)


def test_a_share_of_the_other_kind_is_held_against_its_own_digest() -> None:
    b, sk = DEALT.shares[DEALER][0]
    for kinds in ({"seeds": (OwnedShare(DEALER, b),), "keys": ()}, {"seeds": (), "keys": (OwnedShare(DEALER, sk),)}):
        answer = DEALT.sign(HOLDER, "Answer", Answer(sha256(HONEST.u2), sha256(HONEST.u3), **kinds), AGGREGATOR)
        assert "the listed one" in nothing(WrongAnswer(HONEST.u2, answer, DEALER, DEALT.dealt[DEALER]))


# Dealers -------------------------------------------------------------------------------------------------------------


def points(count: int, part: int = 0) -> tuple[Point, ...]:
    return tuple(Point(x, DEALT.shares[DEALER][x - 1][part]) for x in range(1, count + 1))


def listed(**changes: object) -> WrongDealing:
    fault = WrongDealing(DEALT.lists[DEALER], DEALT.dealt[DEALER], "seed", points(DEALT.t))
    return replace(fault, **changes)


@pytest.mark.parametrize("many", [0, 1])
def test_shares_of_an_honest_dealer_prove_nothing(many: int) -> None:
    assert "what node-04 committed to" in nothing(listed(points=points(DEALT.t + many)))
    advertised = DEALT.advertised[-1]
    key = listed(part="key", points=points(DEALT.t + many, part=1), advertised=advertised)
    assert "what node-04 committed to" in nothing(key)


def test_shares_that_the_dealer_did_not_list_prove_nothing() -> None:
    first, *others = points(DEALT.t)
    other = replace(first, share=bent(first.share))
    assert "is not one that node-04 listed" in nothing(listed(points=(other, *others)))
    assert "is not one that node-04 listed" in nothing(listed(points=(replace(first, x=9), *others)))
    assert "not those of its signed root" in nothing(listed(leaves=DEALT.dealt[HOLDER]))
    assert "is not one that node-04 listed" in nothing(listed(part="key"))


def test_too_few_or_repeated_shares_prove_nothing() -> None:
    few = points(DEALT.t - 1)
    for given in (few, (*few, few[0]), points(COUNT) + points(1)):
        assert "shares of different holders are needed" in nothing(listed(points=given))


def test_a_key_that_the_dealer_did_not_advertise_proves_nothing() -> None:
    """Somebody else's signed key, or a forged one, makes right shares look wrong."""
    key = listed(part="key", points=points(DEALT.t, part=1))
    assert "advertised key is missing" in nothing(key)
    assert "advertised key is missing" in nothing(replace(key, advertised=DEALT.advertised[0]))
    body = encode(AdvertiseKeys(bytes(1216), bytes(32), 0))
    forged = sign(DEALT.federation.members[HOLDER], "AdvertiseKeys", DEALT.scope, DEALER, "*", body)
    assert "signature" in nothing(replace(key, advertised=forged))


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("plan", [{"uneven": {DEALER: (NAMES[1],)}}, {"other": frozenset({DEALER})}])
def test_a_bad_dealing_is_one_for_whoever_has_the_keys(plan: dict[str, object], gone: bool) -> None:
    fault = dealing(**plan, gone=frozenset({DEALER} if gone else ()))
    assert fault.part == ("key" if gone else "seed")
    assert judged(Proof(DEALT.signed.body, fault)) == DEALER


def test_one_list_twice_proves_nothing() -> None:
    own = DEALT.lists[DEALER]
    assert "no two lists" in nothing(TwoLists(own, own))
    assert "no two lists" in nothing(TwoLists(own, DEALT.lists[HOLDER]))


def test_two_lists_of_two_attempts_prove_nothing() -> None:
    body = encode(replace(decode(ShareList, DEALT.lists[DEALER].body), u1=bytes(32)))
    later = Scope(replace(DEALT.scope.round, attempt=2), DEALT.scope.manifest)
    other = sign(DEALT.federation.members[DEALER], "ShareKeys", later, DEALER, "*", body)
    assert "signature" in nothing(TwoLists(DEALT.lists[DEALER], other))


def reports(*members: str) -> tuple[Signed, ...]:
    body = decode(MaskedInput, HONEST.headers[HOLDER].body)
    return tuple(DEALT.sign(name, "MaskedInput", replace(body, reported=(DEALER,))) for name in members)


def test_as_many_reports_as_may_collude_prove_nothing() -> None:
    own, c = DEALT.lists[DEALER], DEALT.manifest.colluders
    assert judged(Proof(DEALT.signed.body, Reported(own, reports(*NAMES[: c + 1])))) == DEALER
    assert "no more than 1" in nothing(Reported(own, reports(*NAMES[:c])))
    assert "no more than 1" in nothing(Reported(own, reports(*NAMES[:c], *NAMES[:c])))
    assert "does not report" in nothing(Reported(own, (*reports(NAMES[0]), HONEST.headers[NAMES[1]])))
    assert "does not report" in nothing(Reported(own, reports(NAMES[0], DEALER)))


def test_reports_under_a_manifest_that_the_dealer_never_saw_prove_nothing() -> None:
    """Colluders may sign anything under a manifest with c = 0; the dealer's own list is of another one."""
    lying = encode(replace(DEALT.manifest, colluders=0))
    scope = Scope(DEALT.scope.round, sha256(lying))
    body = encode(MaskedInput(bytes(32), 0, bytes(32), (DEALER,), UNKNOWN))
    header = sign(DEALT.federation.members[HOLDER], "MaskedInput", scope, HOLDER, "*", body)
    assert "signature" in nothing(Reported(DEALT.lists[DEALER], (header,)), lying)


# Anything ------------------------------------------------------------------------------------------------------------


def test_a_manifest_with_another_key_of_the_member_proves_nothing() -> None:
    """Whoever makes the manifest could sign for a member with a key of its own."""
    key = DEALT.federation.aggregator
    seats = tuple(replace(seat, key=key.public) if seat.name == DEALER else seat for seat in DEALT.manifest.members)
    lying = encode(replace(DEALT.manifest, members=seats))
    scope = Scope(DEALT.scope.round, sha256(lying))
    lists = (sign(key, "ShareKeys", scope, DEALER, "*", encode(ShareList(bytes(32), bytes(32), end))) for end in ENDS)
    assert "another key than node-04 has" in nothing(TwoLists(*lists), lying)


ENDS = (bytes(32), sha256(b"another"))


@pytest.mark.parametrize("change", [lambda data: b"", lambda data: data[:-1], lambda data: data + b"\0"])
def test_what_is_no_proof_proves_nothing(change: Callable[[bytes], bytes]) -> None:
    data = encode(Proof(DEALT.signed.body, TwoLists(DEALT.lists[DEALER], DEALT.lists[HOLDER])))
    with pytest.raises(VerificationFailed):
        check_fault(change(data), HONEST.key_of)


def test_a_member_that_is_known_to_nobody_is_not_named() -> None:
    fault = wrong(wrong={HOLDER: DEALER})
    with pytest.raises(VerificationFailed):
        check_fault(encode(Proof(DEALT.signed.body, fault)), lambda name: {}[name])  # type: ignore[index]
