"""Sharing: any threshold gives the secret, an independent library agrees, wrong shares are refused."""

from itertools import combinations

import pytest
import shamirs
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.crypto.derive import sha256
from secagg.crypto.prg import Keystream
from secagg.crypto.rng import Rng
from secagg.crypto.shamir import PRIME, SHARE_BYTES, combine, on_one_polynomial, outliers, split
from secagg.errors import ProtocolViolation

SECRET = bytes(range(32))


def seeded(seed: int) -> Rng:
    stream = Keystream(seed.to_bytes(16, "big"))

    def draw(count: int) -> bytes:
        out = bytearray(count + 16)
        stream.fill(memoryview(out), count)
        return bytes(out[:count])

    return draw


def shares(threshold: int, count: int, secret: bytes = SECRET) -> dict[int, bytes]:
    xs = range(1, count + 1)
    return dict(zip(xs, split(secret, threshold, xs, seeded(threshold)), strict=True))


def test_the_field_is_prime() -> None:
    """Fermat to many bases; 2^256 + 297 is the first prime above 2^256 that we take on trust otherwise."""
    assert PRIME == 2**256 + 297
    assert all(pow(base, PRIME - 1, PRIME) == 1 for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29))


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (2, 3), (3, 4), (3, 5), (4, 6)])
def test_every_set_of_the_threshold_gives_the_secret(threshold: int, count: int) -> None:
    made = shares(threshold, count)
    assert {len(share) for share in made.values()} == {SHARE_BYTES}
    for chosen in combinations(made, threshold):
        assert combine({x: made[x] for x in chosen}) == SECRET


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, b"\x00" * 31 + b"\x01"])
def test_secrets_at_the_ends(secret: bytes) -> None:
    made = shares(3, 5, secret)
    assert combine({x: made[x] for x in (1, 3, 5)}) == secret


def test_fewer_than_the_threshold_give_something_else() -> None:
    made = shares(3, 4)
    for chosen in combinations(made, 2):
        try:
            found = combine({x: made[x] for x in chosen})
        except ProtocolViolation:
            continue
        assert found != SECRET


def test_the_coefficients_are_drawn() -> None:
    """With a threshold of two a share is the secret plus x times one drawn coefficient."""
    made = split(SECRET, 2, [1, 2], lambda count: bytes(count - 1) + b"\x05")
    secret = int.from_bytes(SECRET, "big")
    assert [int.from_bytes(share, "big") for share in made] == [secret + 5, secret + 10]


def test_an_independent_library_reconstructs_ours() -> None:
    made = shares(4, 7)
    for chosen in ((1, 2, 3, 4), (1, 3, 5, 7), (2, 4, 6, 7)):
        points = [shamirs.share(x, int.from_bytes(made[x], "big"), PRIME) for x in chosen]
        assert shamirs.interpolate(points) == int.from_bytes(SECRET, "big")


def test_we_reconstruct_those_of_an_independent_library() -> None:
    made = shamirs.shares(int.from_bytes(SECRET, "big"), 5, modulus=PRIME, threshold=3)
    assert combine({share.index: share.value.to_bytes(33, "big") for share in made[:3]}) == SECRET


@settings(max_examples=25)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 9), st.data())
def test_drawn(secret: bytes, threshold: int, data: st.DataObject) -> None:
    xs = data.draw(st.lists(st.integers(1, 10_000), min_size=threshold, max_size=threshold + 4, unique=True))
    made = dict(zip(xs, split(secret, threshold, xs, seeded(data.draw(st.integers(0, 99)))), strict=True))
    chosen = data.draw(st.permutations(xs))[:threshold]
    assert combine({x: made[x] for x in chosen}) == secret


@pytest.mark.parametrize(
    ("secret", "threshold", "xs"),
    [(SECRET[:-1], 2, [1, 2]), (SECRET + b"x", 2, [1, 2]), (SECRET, 0, [1, 2]), (SECRET, 3, [1, 2]),
     (SECRET, 2, [0, 1]), (SECRET, 2, [1, 1]), (SECRET, 2, [-1, 1]), (SECRET, 1, [])],
)  # fmt: skip
def test_a_senseless_split_is_refused(secret: bytes, threshold: int, xs: list[int]) -> None:
    with pytest.raises(ValueError, match="distinct positive x"):
        split(secret, threshold, xs, seeded(1))


@pytest.mark.parametrize(
    "share", [PRIME.to_bytes(33, "big"), b"\xff" * 33, b"", b"\x01", bytes(32), bytes(34)],
    ids=["prime", "highest", "empty", "short", "32", "34"],
)  # fmt: skip
def test_a_share_that_is_no_field_element_is_refused(share: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        combine({**shares(2, 2), 2: share})
    assert caught.value.rule == "shamir.range"


def test_shares_that_give_no_32_bytes_are_refused() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        combine({1: (2**256).to_bytes(33, "big")})
    assert caught.value.rule == "shamir.value"


def test_no_shares_give_no_secret() -> None:
    with pytest.raises(ProtocolViolation):
        combine({})


def test_one_wrong_share_changes_the_secret() -> None:
    made = shares(3, 3)
    made[2] = ((int.from_bytes(made[2], "big") + 1) % PRIME).to_bytes(33, "big")
    try:
        assert combine(made) != SECRET
    except ProtocolViolation as error:
        assert error.rule == "shamir.value"  # noqa: PT017 - either outcome is right; only the secret would be wrong


def dealt(label: bytes) -> dict[int, bytes]:
    xs = (1, 2, 3, 5, 8)
    return dict(zip(xs, split(sha256(label), 3, xs, seeded(label[0])), strict=True))


def test_shares_of_honest_dealers_lie_on_their_polynomials() -> None:
    secrets = [dealt(bytes([number])) for number in range(6)]
    assert on_one_polynomial(secrets, (1, 2, 3))
    assert [outliers(secret, (2, 5, 8)) for secret in secrets] == [set()] * 6


@pytest.mark.parametrize("change", [1, PRIME - 1, -1])
@pytest.mark.parametrize("x", [5, 8])
def test_one_outlier_among_many_secrets_is_noticed_and_found(change: int, x: int) -> None:
    secrets = [dealt(bytes([number])) for number in range(6)]
    bent = (int.from_bytes(secrets[4][x], "big") + change) % PRIME
    secrets[4] = {**secrets[4], x: bent.to_bytes(SHARE_BYTES, "big")}
    assert not on_one_polynomial(secrets, (1, 2, 3))
    assert outliers(secrets[4], (1, 2, 3)) == {x}


def test_a_share_in_a_second_form_is_an_outlier() -> None:
    secret = dealt(b"again")
    secret[8] = (int.from_bytes(secret[8], "big") + PRIME).to_bytes(SHARE_BYTES, "big")
    assert not on_one_polynomial([secret], (1, 2, 3))
    assert outliers(secret, (1, 2, 3)) == {8}
    assert not on_one_polynomial([dealt(b"a"), {**dealt(b"b"), 13: bytes(SHARE_BYTES)}], (1, 2, 3))
