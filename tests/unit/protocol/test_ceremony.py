"""The ceremony: what is dealt is accepted and opens sums; whatever is changed on the way is refused with its reason."""

import json
from collections.abc import Callable
from dataclasses import replace as changed
from typing import Any

import pytest
from gmpy2 import mpz
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.encrypt import encrypt, obfuscate
from secagg.crypto.paillier.keys import Profile, PublicKey
from secagg.crypto.paillier.partial import Opening, decrypt_partially
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table
from secagg.crypto.paillier.threshold import Share, ThresholdKey
from secagg.crypto.seal import seal
from secagg.errors import ProtocolViolation, Refused, SecaggError
from secagg.log.statements import canonical
from secagg.protocol.ceremony.accepting import assemble, check_key, modulus_of, receive
from secagg.protocol.ceremony.dealing import Plan, check_cards, check_plan, hold, largest_collusion
from secagg.protocol.ceremony.files import (
    Card,
    SealedShare,
    SignedCard,
    open_card,
    read_transcript,
    share_info,
    sign_card,
    spoken,
)
from secagg.protocol.custody import key_digest
from secagg.protocol.manifest import Acceptance
from secagg.wire.codec import decode, encode
from support.ceremonies import FEDERATION, ROOT, Ceremony, Trustee, held, trustee_of
from support.opened_vectors import open_vector
from support.paillier_keys import SMALL, seeded

DEALT = held()
OTHER = held(seed="other")


def test_two_of_three_who_accepted_open_a_sum() -> None:
    custody = DEALT.custody(0, 2)
    key = decode(ThresholdKey, custody.key)
    ring, rng = Ring(key.public), seeded("sum")
    words = [mpz(5), ring.n - 1]
    products = encrypt(ring, words, obfuscate(Table.build(ring, 2**16), 2, rng))
    opening = Opening(bytes(32), ("north",))
    answers = {
        name: decrypt_partially(key, Share(index + 1, DEALT.secret(index)), opening, products, rng)
        for index, name in ((0, "ana"), (2, "cyd"))
    }
    assert open_vector(key, opening, products, answers).words == words
    assert (custody.names(), custody.threshold, custody.colluders) == (("ana", "ben", "cyd"), 2, 0)
    assert key_digest(custody.key) == sha256(DEALT.dealt.key)


@pytest.mark.parametrize("profile", ["provable", "fast"])
def test_a_single_holder_gets_the_whole_key(profile: Profile) -> None:
    single = held(1, 1, 0, profile)
    private = PrivateKey.from_private_bytes(single.secret(0), weak=True)
    assert private.public == decode(PublicKey, single.dealt.key)
    assert single.custody(0, s=2).s == 2
    assert modulus_of(single.dealt.key) == private.public.modulus


def test_the_transcript_says_what_was_done_and_nothing_secret() -> None:
    told = read_transcript(DEALT.dealt.transcript)
    assert [place.name for place in told.trustees] == ["ana", "ben", "cyd"]
    assert [place.sealed for place in told.trustees] == [
        sha256(decode(SealedShare, DEALT.share(index)).sealed).hex() for index in range(3)
    ]
    assert [place.card for place in told.trustees] == [sha256(one.card).hex() for one in DEALT.trustees]
    assert [step.what.split()[0] for step in told.steps] == ["opened", "made", "sealed"]
    for index in range(3):
        secret = DEALT.secret(index).reveal()
        assert secret not in b"".join((*DEALT.dealt[:2], *(share for _, share in DEALT.dealt.shares)))
        assert secret.hex().encode() not in DEALT.dealt.transcript


def test_words_of_two_transcripts_differ_and_are_eight() -> None:
    assert len(spoken(DEALT.dealt.transcript)) == 8
    assert spoken(DEALT.dealt.transcript) != spoken(OTHER.dealt.transcript)


def test_whoever_watches_is_told_every_stage_in_order() -> None:
    told: list[str] = []
    cards = [one.card for one in DEALT.trustees]

    def watch(what: str, done: float) -> None:
        if what not in told:
            told.append(what)

    hold(Plan(2, 0, SMALL), cards, seeded("watched"), lambda: 0, watch, weak=True)
    assert told == ["prime", "statement", "commitments", "checks"]


def test_seconds_count_from_the_beginning_and_never_go_back() -> None:
    clock = iter((100, 103, 90, 150))
    dealt = hold(Plan(2, 0, SMALL), [one.card for one in DEALT.trustees], seeded("t"), lambda: next(clock), weak=True)
    told = read_transcript(dealt.transcript)
    assert (told.time, [step.seconds for step in told.steps]) == (100, [3, 0, 50])


@pytest.mark.parametrize(
    ("count", "threshold", "most"), [(1, 1, 0), (3, 2, 0), (5, 4, 2), (7, 5, 2), (5, 3, 0), (4, 2, -1)]
)
def test_the_largest_collusion_is_the_formula(count: int, threshold: int, most: int) -> None:
    assert largest_collusion(count, threshold) == most
    assert 2 * threshold > count + most
    assert not 2 * threshold > count + most + 1


# Cards ---------------------------------------------------------------------------------------------------------------

ANA, BEN = trustee_of("ana"), trustee_of("ben")


def _card(one: Trustee, **changes: object) -> bytes:
    card = decode(Card, decode(SignedCard, one.card).card)
    return sign_card(one.key, replace(card, **changes))


CARDS: dict[str, tuple[list[bytes], str]] = {
    "none": ([], "ceremony.cards"),
    "too many": ([ANA.card] * 17, "ceremony.cards"),
    "the same twice": ([ANA.card, ANA.card], "ceremony.seats"),
    "one name, two keys": ([ANA.card, _card(BEN, member=replace(BEN.member, name="ana"))], "ceremony.seats"),
    "one sealing key": ([ANA.card, _card(BEN, sealing_key=ANA.sealing.public)], "ceremony.seats"),
    "one signing key": (
        [
            ANA.card,
            _card(ANA, member=replace(ANA.member, name="zoe", organisation="z"), sealing_key=BEN.sealing.public),
        ],
        "ceremony.seats",
    ),
    "one organisation": (
        [ANA.card, trustee_of("ben", organisation="house-ana").card],
        "ceremony.organisations",
    ),
    "another federation": ([ANA.card, _card(BEN, federation="den")], "ceremony.federation"),
    "another root": ([ANA.card, _card(BEN, root_fingerprint="sha256:00")], "ceremony.federation"),
    "a node's": ([trustee_of("ana", role="node").card], "ceremony.role"),
    "signed by another": ([encode(SignedCard(decode(SignedCard, ANA.card).card, bytes(64)))], "ceremony.card"),
    "another key in it": (
        [
            encode(
                replace(
                    decode(SignedCard, ANA.card), card=encode(replace(open_card(ANA.card), sealing_key=bytes(1216)))
                )
            )
        ],
        "ceremony.card",
    ),
}


@pytest.mark.parametrize("name", CARDS)
def test_cards_that_no_ceremony_is_held_with(name: str) -> None:
    files, rule = CARDS[name]
    with pytest.raises(ProtocolViolation) as caught:
        check_cards(files)
    assert caught.value.rule == rule


@pytest.mark.parametrize("cut", [0, 1, 50, 700, -1])
def test_a_torn_card_is_no_message(cut: int) -> None:
    with pytest.raises(SecaggError) as caught:
        open_card(ANA.card[:cut])
    assert caught.value.code == "E-WIRE"


PLANS: list[tuple[Plan, int, str]] = [
    (Plan(2, 1), 3, "ceremony.threshold"),
    (Plan(2, 0), 4, "ceremony.threshold"),
    (Plan(4, 0), 3, "ceremony.threshold"),
    (Plan(1, 0), 2, "ceremony.threshold"),
    (Plan(1, 1), 1, "ceremony.threshold"),
    (Plan(2, 0), 1, "ceremony.threshold"),
    (Plan(2, 0, 1024), 3, "paillier.floor"),
    (Plan(2, 0, 2050), 3, "paillier.floor"),
    (Plan(2, 0, 16384), 3, "paillier.floor"),
    (Plan(2, 0, 2048, "fast"), 3, "ceremony.profile"),
    (Plan(1, 0, 2048, "imported"), 1, "ceremony.profile"),
]


@pytest.mark.parametrize(("plan", "trustees", "rule"), PLANS)
def test_plans_that_no_job_could_use(plan: Plan, trustees: int, rule: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        check_plan(plan, trustees)
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("plan", "trustees"), [(Plan(1, 0), 1), (Plan(2, 0), 3), (Plan(4, 1), 5), (Plan(5, 2, 2048), 7)]
)
def test_plans_of_the_design_are_fine(plan: Plan, trustees: int) -> None:
    check_plan(plan, trustees)


# Accepting -----------------------------------------------------------------------------------------------------------


def _told(change: Callable[[dict[str, Any]], object], of: Ceremony = DEALT) -> bytes:
    document = json.loads(of.dealt.transcript)
    change(document)
    return canonical(document)


def _place(index: int, **changes: object) -> bytes:
    def change(document: dict[str, Any]) -> None:
        document["trustees"][index] |= changes

    return _told(change)


def _key(**changes: object) -> tuple[bytes, bytes]:
    """Return the key with changes, and a transcript that names it."""
    key = encode(replace(decode(ThresholdKey, DEALT.dealt.key), **changes))
    return key, _told(lambda document: document.update(key=sha256(key).hex()))


def _take(**given: object) -> None:
    one = DEALT.trustees[0]
    parts: dict[str, object] = {
        "key": DEALT.dealt.key, "transcript": DEALT.dealt.transcript, "share": DEALT.share(0), "own": one.member,
        "federation": (FEDERATION, ROOT), "sealing": one.sealing, "card": one.card, "weak": True,
    }  # fmt: skip
    receive(**(parts | given))  # type: ignore[arg-type]


def _sealed(plain: bytes, context: bytes) -> dict[str, object]:
    """Return a share that the dealer's transcript names, of other bytes or in another context."""
    sealed = seal(DEALT.trustees[0].sealing.public, plain, context)
    return {
        "share": encode(SealedShare("ana", sha256(DEALT.dealt.key), sealed)),
        "transcript": _place(0, sealed=sha256(sealed).hex()),
    }


CONTEXT = share_info(FEDERATION, sha256(DEALT.dealt.key), "ana", 1)
SECRET = DEALT.secret(0).reveal()
PUBLIC = decode(ThresholdKey, DEALT.dealt.key)


def _with_key(**changes: object) -> dict[str, object]:
    return dict(zip(("key", "transcript"), _key(**changes), strict=True))


def _commitments(value: bytes, count: int | None = None) -> dict[str, object]:
    kept = PUBLIC.commitments
    return _with_key(commitments=(value, *kept[1:]) if count is None else (value,) * count)


WIDTH = 2 * len(PUBLIC.public.modulus)
REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "another key": ({"key": OTHER.dealt.key}, "ceremony.key"),
    "another transcript": ({"transcript": OTHER.dealt.transcript}, "ceremony.key"),
    "another federation": ({"federation": ("den", ROOT)}, "ceremony.federation"),
    "another root": ({"federation": (FEDERATION, "sha256:00")}, "ceremony.federation"),
    "transcript of another federation": (
        {"transcript": _told(lambda d: d.update(federation="den"))},
        "ceremony.federation",
    ),
    "no seat": ({"own": trustee_of("eve").member}, "ceremony.seat"),
    "my name, another key": ({"transcript": _place(0, sign_key="00" * 32)}, "ceremony.seat"),
    "my name, another organisation": ({"transcript": _place(0, organisation="x")}, "ceremony.seat"),
    "an old card": ({"card": BEN.card}, "ceremony.card"),
    "another card in it": ({"transcript": _place(0, card="00" * 32)}, "ceremony.card"),
    "threshold raised": ({"transcript": _told(lambda d: d.update(threshold=3))}, "ceremony.key"),
    "threshold lowered": ({"transcript": _told(lambda d: d.update(threshold=1))}, "ceremony.key"),
    "profile renamed": ({"transcript": _told(lambda d: d.update(profile="fast"))}, "ceremony.key"),
    "colluders raised": ({"transcript": _told(lambda d: d.update(colluders=1))}, "ceremony.threshold"),
    "bits raised": ({"transcript": _told(lambda d: d.update(bits=528))}, "paillier.length"),
    "trustees turned round": (
        {"transcript": _told(lambda d: d.update(trustees=list(reversed(d["trustees"]))))},
        "ceremony.key",
    ),
    "a trustee less": ({"transcript": _told(lambda d: d["trustees"].pop())}, "ceremony.key"),
    "sealed digest": ({"transcript": _place(0, sealed="00" * 32)}, "ceremony.sealed"),
    "somebody else's share": ({"share": DEALT.share(1)}, "ceremony.sealed"),
    "a share of another key": ({"share": OTHER.share(0)}, "ceremony.sealed"),
    "a share that says it is mine": (
        {"share": encode(replace(decode(SealedShare, DEALT.share(1)), trustee="ana"))},
        "ceremony.sealed",
    ),
    "a wrong secret": (_sealed(SECRET[:-1] + bytes([SECRET[-1] ^ 1]), CONTEXT), "paillier.share"),
    "a secret of zero": (_sealed(bytes(WIDTH), CONTEXT), "paillier.share"),
    "a secret too short": (_sealed(SECRET[1:], CONTEXT), "paillier.share"),
    "a secret too long": (_sealed(SECRET + b"\0", CONTEXT), "paillier.share"),
    "a secret beyond the bound": (_sealed(b"\xff" * WIDTH, CONTEXT), "paillier.share"),
    "another trustee's secret": (_sealed(DEALT.secret(1).reveal(), CONTEXT), "paillier.share"),
    "another context": (_sealed(SECRET, share_info(FEDERATION, sha256(DEALT.dealt.key), "ana", 2)), ""),
    "another federation's context": (_sealed(SECRET, share_info("den", sha256(DEALT.dealt.key), "ana", 1)), ""),
    "another sealing key": ({"sealing": BEN.sealing}, ""),
    "an even modulus": (
        _with_key(public=replace(PUBLIC.public, modulus=PUBLIC.public.modulus[:-1] + b"\0")),
        "paillier.even",
    ),
    "a root that is none": (
        _with_key(public=replace(PUBLIC.public, roots=(bytes(64), *PUBLIC.public.roots[1:]))),
        "paillier.statement",
    ),
    "a root less": (_with_key(public=replace(PUBLIC.public, roots=PUBLIC.public.roots[1:])), "paillier.statement"),
    "a profile for one": (_with_key(public=replace(PUBLIC.public, profile="imported")), "paillier.profile"),
    "a commitment of one": (_commitments((1).to_bytes(WIDTH, "big")), "paillier.commitments"),
    "a commitment of zero": (_commitments(bytes(WIDTH)), "paillier.commitments"),
    "a commitment beyond the modulus": (_commitments(b"\xff" * WIDTH), "paillier.commitments"),
    "a short commitment": (_commitments(PUBLIC.commitments[0][1:]), "paillier.commitments"),
    "another polynomial": (_commitments(PUBLIC.commitments[0], 2), "ceremony.sealed"),
    "a commitment more": (_commitments(PUBLIC.commitments[0], 3), "paillier.commitments"),
    "no commitment": (_commitments(b"", 0), "paillier.commitments"),
    "a shared factor with an earlier key": ({"earlier": [PUBLIC.public.modulus]}, "paillier.shared"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_trustee_does_not_accept(name: str) -> None:
    given, rule = REFUSED[name]
    with pytest.raises(ProtocolViolation) as caught:
        _take(**given)
    assert caught.value.rule == rule
    assert caught.value.cause
    assert caught.value.remedy
    if not rule:
        assert caught.value.code == "E-SEAL"


def test_a_weak_key_is_refused_outside_of_tests() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        _take(weak=False)
    assert caught.value.rule == "paillier.floor"


def test_what_is_not_changed_is_accepted() -> None:
    _take()
    _take(earlier=[decode(ThresholdKey, OTHER.dealt.key).public.modulus])


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
@pytest.mark.parametrize("part", ["key", "transcript", "share"])
def test_torn_files_are_no_messages(part: str, cut: int) -> None:
    whole = {"key": DEALT.dealt.key, "transcript": DEALT.dealt.transcript, "share": DEALT.share(0)}[part]
    given: dict[str, object] = {part: whole[:cut]}
    if part == "key":
        given["transcript"] = _told(lambda document: document.update(key=sha256(whole[:cut]).hex()))
    with pytest.raises(SecaggError) as caught:
        _take(**given)
    assert caught.value.code == "E-WIRE"


BAD_TRANSCRIPTS: dict[str, bytes] = {
    "spaces": DEALT.dealt.transcript.replace(b",", b", "),
    "another order": json.dumps(json.loads(DEALT.dealt.transcript), separators=(",", ":")).encode()[::-1],
    "a field more": _told(lambda document: document.update(primes="7")),
    "a field less": _told(lambda document: document.pop("steps")),
    "another type": _told(lambda document: document.update(type="secagg-ceremony-v2")),
    "a number as text": _told(lambda document: document.update(bits="512")),
    "a float": _told(lambda document: document.update(bits=512.0)),
    "a negative number": _told(lambda document: document.update(threshold=-2)),
    "no trustees": _told(lambda document: document.update(trustees=[])),
    "seventeen trustees": _told(lambda d: d.update(trustees=d["trustees"] * 6)),
    "upper case": _place(0, card="AB" * 32),
    "a list": b"[]",
    "endless": b"[" * 60_000,
    "too long": b" " * 70_000,
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("name", BAD_TRANSCRIPTS)
def test_what_is_no_transcript(name: str) -> None:
    with pytest.raises(SecaggError) as caught:
        read_transcript(BAD_TRANSCRIPTS[name])
    assert caught.value.code == "E-WIRE"


# Custody -------------------------------------------------------------------------------------------------------------


def _signature(change: int) -> bytes:
    entry = decode(Acceptance, DEALT.acceptance(0))
    return encode(replace(entry, signature=bytes([entry.signature[0] ^ change]) + entry.signature[1:]))


ACCEPTANCES: dict[str, tuple[list[bytes], str]] = {
    "none": ([], "custody.acceptances"),
    "one": ([DEALT.acceptance(0)], "custody.acceptances"),
    "one twice": ([DEALT.acceptance(0)] * 2, "custody.acceptances"),
    "of another key": ([DEALT.acceptance(0), OTHER.acceptance(1)], "custody.acceptance"),
    "a bit changed": ([_signature(1), DEALT.acceptance(1)], "custody.acceptance"),
    "in another name": (
        [encode(replace(decode(Acceptance, DEALT.acceptance(0)), trustee="ben")), DEALT.acceptance(0)],
        "custody.acceptance",
    ),
    "a stranger's": ([encode(Acceptance("zoe", bytes(64))), *map(DEALT.acceptance, (0, 1))], "custody.acceptance"),
}


@pytest.mark.parametrize("name", ACCEPTANCES)
def test_acceptances_that_are_not_enough(name: str) -> None:
    files, rule = ACCEPTANCES[name]
    with pytest.raises(Refused) as caught:
        assemble(DEALT.dealt.key, DEALT.dealt.transcript, files, weak=True)
    assert caught.value.rule == rule


def test_a_shared_key_has_s_one() -> None:
    with pytest.raises(Refused) as caught:
        DEALT.custody(0, 1, s=2)
    assert caught.value.rule == "ceremony.key"


def test_a_private_key_of_another_public_key_is_not_accepted() -> None:
    single, wrong = held(1, 1), held(1, 1, seed="wrong")
    one = single.trustees[0]
    context = share_info(FEDERATION, sha256(single.dealt.key), "ana", 1)
    sealed = seal(one.sealing.public, wrong.secret(0).reveal(), context)

    def change(document: dict[str, Any]) -> None:
        document["trustees"][0]["sealed"] = sha256(sealed).hex()

    dealt = single.dealt._replace(
        transcript=_told(change, single),
        shares=(("ana", encode(SealedShare("ana", sha256(single.dealt.key), sealed))),),
    )
    with pytest.raises(Refused) as caught:
        changed(single, dealt=dealt).secret(0)
    assert caught.value.rule == "ceremony.key"


def test_checking_a_key_needs_no_share() -> None:
    told = check_key(DEALT.dealt.key, DEALT.dealt.transcript, weak=True)
    assert (told.threshold, told.colluders, told.bits) == (2, 0, SMALL)
