"""Threshold decryption: exact for every set of t, wrong answers name their trustee, shares fit or are refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import combinations

import pytest
from gmpy2 import mpz
from msgspec.structs import replace

from secagg.crypto.paillier.encrypt import encrypt, obfuscate
from secagg.crypto.paillier.numbers import coefficients, random_below
from secagg.crypto.paillier.partial import (
    _COEFFICIENT_LABEL,
    Opening,
    Partial,
    _challenge,
    _context,
    combine,
    decrypt_partially,
    verify_partial,
)  # fmt: skip
from secagg.crypto.paillier.powers import public_power
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table
from secagg.crypto.paillier.threshold import Share, ThresholdKey, check_share, deal, validate_threshold
from secagg.crypto.secret import Secret
from secagg.errors import ProtocolViolation, TryLater, WireError
from secagg.wire.codec import decode, encode
from support.opened_vectors import Opened, open_vector
from support.paillier_keys import SMALL, seeded, small

NAMES = ("ana", "ben", "cyd", "dan", "eve", "fay", "gus")
OPENING = Opening(bytes(range(32)), ("north", "south", "west"))


@lru_cache
def dealt(threshold: int, trustees: int) -> tuple[ThresholdKey, list[Share]]:
    return deal(SMALL, NAMES[:trustees], threshold, seeded(f"deal/{threshold}/{trustees}"), weak=True)


KEY, SHARES = dealt(2, 3)
RING = Ring(KEY.public)
RNG = seeded("threshold")
WORDS = [mpz(0), RING.n - 1, *(random_below(RING.n, RNG) for _ in range(4))]
PRODUCTS = encrypt(RING, WORDS, obfuscate(Table.build(RING, 2**16), len(WORDS), RNG))
ANSWERS = [decrypt_partially(KEY, share, OPENING, PRODUCTS, RNG) for share in SHARES]


def refused(answer: Partial, trustee: str = "ana", opening: Opening = OPENING, key: ThresholdKey = KEY) -> str:
    with pytest.raises(ProtocolViolation) as caught:
        verify_partial(key, trustee, opening, PRODUCTS, answer)
    assert trustee in caught.value.cause
    return caught.value.rule.removeprefix("paillier.")


@pytest.mark.parametrize(("threshold", "trustees"), [(2, 2), (2, 3), (3, 4), (3, 5), (4, 5), (5, 7)])
def test_every_set_of_t_gives_the_plaintexts(threshold: int, trustees: int) -> None:
    key, shares = dealt(threshold, trustees)
    ring, rng = Ring(key.public), seeded("sets")
    words = [mpz(0), ring.n - 1, mpz(1), random_below(ring.n, rng)]
    products = encrypt(ring, words, obfuscate(Table.build(ring, 2**16), len(words), rng))
    partials = {
        share.index: verify_partial(
            key, key.trustees[share.index - 1], OPENING, products,
            decrypt_partially(key, share, OPENING, products, rng),
        )
        for share in shares
    }  # fmt: skip
    for chosen in combinations(partials, threshold):
        assert combine(key, {index: partials[index] for index in chosen}) == words
        assert combine(key, {index: partials[index] for index in reversed(chosen)}) == words


def test_fewer_than_t_shares_do_not_decrypt() -> None:
    key, shares = dealt(3, 5)
    ring = Ring(key.public)
    products = encrypt(ring, [mpz(7)], obfuscate(Table.build(ring, 2**16), 1, seeded("few")))
    two = [decrypt_partially(key, share, OPENING, products, seeded("x")) for share in shares[:2]]
    values = {index: ring.read(answer.values) for index, answer in enumerate(two, start=1)}
    with pytest.raises(ValueError, match="exactly 3"):
        combine(key, values)
    with pytest.raises(ProtocolViolation) as caught:
        combine(replace(key, threshold=2), values)
    assert caught.value.rule == "paillier.combine"


def test_sums_of_packed_uploads_open() -> None:
    products = [one * one % RING.cipher for one in PRODUCTS]
    answers = {
        name: decrypt_partially(KEY, share, OPENING, products, RNG) for name, share in zip(NAMES, SHARES, strict=False)
    }
    opened = open_vector(KEY, OPENING, products, answers)
    assert opened == Opened([2 * word % RING.n for word in WORDS], ("ana", "ben"), ())


def test_a_wrong_answer_names_its_trustee_and_the_others_finish() -> None:
    bad = replace(ANSWERS[0], values=ANSWERS[1].values)
    opened = open_vector(KEY, OPENING, PRODUCTS, {"ana": bad, "ben": ANSWERS[1], "cyd": ANSWERS[2]})
    assert (opened.words, opened.used, opened.wrong) == (WORDS, ("ben", "cyd"), ("ana",))
    with pytest.raises(TryLater, match="wrong: ana") as caught:
        open_vector(KEY, OPENING, PRODUCTS, {"ana": bad, "ben": ANSWERS[1]})
    assert caught.value.code == "E-SHARES"
    opened = open_vector(KEY, OPENING, PRODUCTS, {"eve": ANSWERS[2], "ben": ANSWERS[1], "cyd": ANSWERS[2]})
    assert opened.wrong == ("eve",)


def test_threads_give_the_same_words() -> None:
    with ThreadPoolExecutor(2) as executor:
        answers = {
            name: decrypt_partially(KEY, share, OPENING, PRODUCTS * 20, RNG, executor)
            for name, share in zip(NAMES, SHARES[:2], strict=False)
        }
        assert open_vector(KEY, OPENING, PRODUCTS * 20, answers, executor).words == WORDS * 20


def test_partials_are_the_formula() -> None:
    exponent = 2 * KEY.delta * SHARES[0].exponent
    assert RING.read(ANSWERS[0].values) == [public_power(one, exponent, RING.cipher) for one in PRODUCTS]
    assert KEY.verification(1) == public_power(KEY.base, KEY.delta * SHARES[0].exponent, RING.cipher)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


@pytest.mark.parametrize("at", range(0, len(ANSWERS[0].values), 9))
def test_every_byte_of_the_partials_counts(at: int) -> None:
    assert refused(replace(ANSWERS[0], values=flip(ANSWERS[0].values, at))) in ("partial", "range", "gcd")


@pytest.mark.parametrize("at", range(0, len(ANSWERS[0].response), 4))
def test_every_byte_of_the_proof_counts(at: int) -> None:
    assert refused(replace(ANSWERS[0], response=flip(ANSWERS[0].response, at))) == "partial"
    assert refused(replace(ANSWERS[0], challenge=flip(ANSWERS[0].challenge, at % 16))) == "partial"


WIDTH = RING.width
CHANGES: list[Callable[[Partial], Partial]] = [
    lambda one: replace(one, values=b""),
    lambda one: replace(one, values=one.values[:-1]),
    lambda one: replace(one, values=one.values[WIDTH:]),
    lambda one: replace(one, values=one.values + one.values[:WIDTH]),
    lambda one: replace(one, values=bytes(WIDTH) + one.values[WIDTH:]),
    lambda one: replace(one, values=b"\xff" * WIDTH + one.values[WIDTH:]),
    lambda one: replace(one, values=one.values[WIDTH : 2 * WIDTH] + one.values[:WIDTH] + one.values[2 * WIDTH :]),
    lambda one: replace(one, challenge=b""),
    lambda one: replace(one, challenge=bytes(16)),
    lambda one: replace(one, challenge=one.challenge + b"\0"),
    lambda one: replace(one, response=b""),
    lambda one: replace(one, response=bytes(len(one.response))),
    lambda one: replace(one, response=one.response[1:]),
    lambda one: replace(one, response=b"\0" + one.response),
    lambda one: replace(one, response=b"\xff" * len(one.response)),
    lambda one: ANSWERS[1],
    lambda one: replace(ANSWERS[1], values=one.values),
]


@pytest.mark.parametrize("index", range(len(CHANGES)))
def test_a_malformed_answer_is_refused(index: int) -> None:
    assert refused(CHANGES[index](ANSWERS[0])) in ("partial", "range")


def test_an_answer_is_of_its_trustee_and_opening() -> None:
    assert refused(ANSWERS[0], "ben") == "partial"
    for opening in (
        replace(OPENING, manifest=bytes(32)),
        replace(OPENING, contributors=("north", "south")),
        replace(OPENING, contributors=("south", "north", "west")),
        replace(OPENING, contributors=("nor", "thsouth", "west")),
    ):
        assert refused(ANSWERS[0], opening=opening) == "partial"
    assert refused(ANSWERS[0], "zoe") == "trustee"
    with pytest.raises(ProtocolViolation):
        verify_partial(KEY, "ana", OPENING, PRODUCTS[::-1], ANSWERS[0])


def forged(tampered: Callable[[list[mpz]], list[mpz]], nonce: int | mpz = 3**800) -> Partial:
    """The answer of a trustee who knows its share, changes its partials and makes the proof over the changed ones."""
    values = RING.write(tampered(RING.read(ANSWERS[0].values)))
    context, sigma = _context(KEY, RING, OPENING, 1, PRODUCTS, values), KEY.delta * SHARES[0].exponent
    weights = coefficients(_COEFFICIENT_LABEL, context, len(PRODUCTS))
    x = public_power(RING.combine(PRODUCTS, weights), 4, RING.cipher)
    first = [public_power(base, nonce, RING.cipher) for base in (KEY.base, x)]
    e = _challenge(context, RING, *first)
    response = (nonce + e * sigma).to_bytes(len(ANSWERS[0].response), "big")
    return Partial(values, e.to_bytes(16, "big"), response)


def test_the_forger_is_a_prover() -> None:
    assert verify_partial(KEY, "ana", OPENING, PRODUCTS, forged(list)) == RING.read(ANSWERS[0].values)


def test_a_response_that_is_too_long_is_refused() -> None:
    """Whoever answers outside the bound could have reduced, which this proof must not allow."""
    size = len(ANSWERS[0].response) * 8
    assert refused(forged(list, mpz(1) << (size - 3))) == "partial"


def test_an_answer_is_of_the_products_it_was_made_for() -> None:
    """Other products with the same combination under the proof's coefficients."""
    context = _context(KEY, RING, OPENING, 1, PRODUCTS, ANSWERS[0].values)
    first, second = coefficients(_COEFFICIENT_LABEL, context, len(PRODUCTS))[:2]
    t = 1 + RING.n
    one = PRODUCTS[0] * public_power(t, second, RING.cipher) % RING.cipher
    two = PRODUCTS[1] * public_power(t, -first, RING.cipher) % RING.cipher
    assert RING.combine([one, two], [first, second]) == RING.combine(PRODUCTS[:2], [first, second])
    with pytest.raises(ProtocolViolation):
        verify_partial(KEY, "ana", OPENING, [one, two, *PRODUCTS[2:]], ANSWERS[0])


def test_an_answer_is_not_another_trustees_who_has_the_same_share() -> None:
    renamed = replace(KEY, trustees=("zoe", "ben", "cyd"))
    assert refused(ANSWERS[0], "zoe", key=renamed) == "partial"


def test_errors_that_cancel_between_positions_are_refused() -> None:
    """Row 37: d_1·t^(e_2), d_2·t^(−e_1), with the coefficients of the honest vector."""
    context = _context(KEY, RING, OPENING, 1, PRODUCTS, ANSWERS[0].values)
    first, second = coefficients(_COEFFICIENT_LABEL, context, len(PRODUCTS))[:2]
    t = mpz(1) + RING.n
    moved = [public_power(t, second, RING.cipher), public_power(t, -first, RING.cipher)]

    def tampered(values: list[mpz]) -> list[mpz]:
        return [values[0] * moved[0] % RING.cipher, values[1] * moved[1] % RING.cipher, *values[2:]]

    changed = tampered(RING.read(ANSWERS[0].values))
    weights = (first, second)
    assert RING.combine(changed[:2], weights) == RING.combine(RING.read(ANSWERS[0].values)[:2], weights)
    assert refused(forged(tampered)) == "partial"
    assert refused(replace(ANSWERS[0], values=RING.write(changed))) == "partial"


@pytest.mark.parametrize("at", range(6))
def test_a_proof_over_a_wrong_partial_is_refused(at: int) -> None:
    for factor in (1 + RING.n, mpz(4), RING.base):
        assert refused(forged(lambda values, f=factor: _scaled(values, at, f))) == "partial"  # type: ignore[misc]


def _scaled(values: list[mpz], at: int, factor: mpz) -> list[mpz]:
    return [*values[:at], values[at] * factor % RING.cipher, *values[at + 1 :]]


def test_a_sign_changes_no_plaintext() -> None:
    """The statement is on squares: −d_j passes, and is squared away when answers are combined."""
    signed = verify_partial(
        KEY, "ana", OPENING, PRODUCTS, forged(lambda values: [RING.cipher - values[0], *values[1:]])
    )
    assert combine(KEY, {1: signed, 2: RING.read(ANSWERS[1].values)}) == WORDS


def test_a_trustee_refuses_what_is_no_ciphertext_before_it_uses_its_share() -> None:
    def none(size: int) -> bytes:
        raise AssertionError(f"{size} bytes were drawn")

    for bad in (RING.n, mpz(0), RING.n * 3):
        with pytest.raises(ProtocolViolation) as caught:
            decrypt_partially(KEY, SHARES[0], OPENING, [*PRODUCTS[1:], bad], none)
        assert caught.value.rule == "paillier.gcd"


def test_responses_hide_the_length_of_the_share() -> None:
    assert len({len(answer.response) for answer in ANSWERS}) == 1
    answers = [decrypt_partially(KEY, SHARES[0], OPENING, PRODUCTS[:1], RNG) for _ in range(2)]
    assert answers[0].values == answers[1].values
    assert answers[0].response != answers[1].response


# --- the dealer and the shares


@pytest.mark.parametrize(("threshold", "trustees"), [(2, 2), (2, 3), (3, 5), (5, 7)])
def test_what_is_dealt_is_accepted(threshold: int, trustees: int) -> None:
    key, shares = dealt(threshold, trustees)
    validate_threshold(key, SMALL, weak=True)
    for share in shares:
        check_share(key, share)
    assert "OMITTED" in repr(shares[0])


BAD_SHARES: list[Callable[[Share], Share]] = [
    lambda share: Share(2, share.secret),
    lambda share: Share(0, share.secret),
    lambda share: Share(4, share.secret),
    lambda share: Share(-1, share.secret),
    lambda share: Share(1, SHARES[1].secret),
    lambda share: Share(1, Secret(b"")),
    lambda share: Share(1, Secret(bytes(WIDTH))),
    lambda share: Share(1, Secret(b"\xff" * WIDTH)),
    lambda share: Share(1, Secret(b"\0" + share.secret.reveal())),
    lambda share: Share(1, Secret(share.secret.reveal()[1:])),
    lambda share: Share(1, dealt(3, 5)[1][0].secret),
    *(lambda share, at=at: Share(1, Secret(flip(share.secret.reveal(), at))) for at in range(0, WIDTH, 4)),
]


@pytest.mark.parametrize("index", range(len(BAD_SHARES)))
def test_a_share_that_does_not_fit_is_refused(index: int) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        check_share(KEY, BAD_SHARES[index](SHARES[0]))
    assert caught.value.rule == "paillier.share"


ONE = (1).to_bytes(WIDTH, "big")
BAD_KEYS = [
    ("commitments", replace(KEY, commitments=())),
    ("commitments", replace(KEY, commitments=KEY.commitments[:1])),
    ("commitments", replace(KEY, commitments=(*KEY.commitments, ONE))),
    ("commitments", replace(KEY, commitments=KEY.commitments[::-1])),
    ("commitments", replace(KEY, commitments=(ONE, KEY.commitments[1]))),
    ("commitments", replace(KEY, commitments=(KEY.commitments[0], bytes(WIDTH)))),
    ("commitments", replace(KEY, commitments=(KEY.commitments[0], b"\xff" * WIDTH))),
    ("commitments", replace(KEY, commitments=(KEY.commitments[0], b"\0" + KEY.commitments[1]))),
    ("commitments", replace(KEY, commitments=(flip(KEY.commitments[0], WIDTH - 1), KEY.commitments[1]))),
    ("trustees", replace(KEY, threshold=1)),
    ("trustees", replace(KEY, threshold=4)),
    ("trustees", replace(KEY, threshold=0)),
    ("trustees", replace(KEY, trustees=("ana", "ana", "cyd"))),
    ("trustees", replace(KEY, trustees=("ana",))),
    ("trustees", replace(KEY, trustees=())),
    ("trustees", replace(KEY, trustees=tuple(map(str, range(17))), threshold=9)),
    ("trustees", replace(KEY, trustees=(*KEY.trustees, "dan"))),
    ("profile", replace(KEY, public=small("fast").public)),
    ("statement", replace(KEY, public=replace(KEY.public, roots=KEY.public.roots[::-1]))),
]


@pytest.mark.parametrize(("rule", "key"), BAD_KEYS, ids=range(len(BAD_KEYS)))
def test_a_threshold_key_that_does_not_fit_is_refused(rule: str, key: ThresholdKey) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        validate_threshold(key, SMALL, weak=True)
    assert caught.value.rule == f"paillier.{rule}"


def test_production_refuses_small_threshold_keys() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        deal(SMALL, NAMES[:3], 2, RNG)
    assert caught.value.rule == "paillier.floor"
    with pytest.raises(ProtocolViolation) as caught:
        validate_threshold(KEY, SMALL)
    assert caught.value.rule == "paillier.floor"


@pytest.mark.parametrize(("threshold", "names"), [(1, "abc"), (4, "abc"), (1, "ab"), (2, "aab"), (1, "a"), (2, "abcd")])
def test_the_dealer_refuses_other_numbers(threshold: int, names: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        deal(SMALL, list(names), threshold, RNG, weak=True)
    assert caught.value.rule == "paillier.trustees"


def test_what_travels_comes_back_as_it_was() -> None:
    for value in (KEY, KEY.public, OPENING, ANSWERS[0]):
        assert decode(type(value), encode(value)) == value
    for bad in (replace(KEY, trustees=("Ana", "ben", "cyd")), replace(OPENING, manifest=b"short")):
        with pytest.raises(WireError):
            decode(type(bad), encode(bad))
