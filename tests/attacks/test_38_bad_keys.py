"""Row 38: keys with two openings, small factors, false statements, foreign shares: refused at every node's door."""

import dataclasses
from typing import Any

import pytest
from gmpy2 import mpz, next_prime
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.keys import PublicKey
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.threshold import ThresholdKey
from secagg.errors import Refused
from secagg.protocol.custody import accept_key
from secagg.protocol.manifest import Custody
from secagg.protocol.paillier import node
from secagg.protocol.paillier.phases import Encrypting
from secagg.rehearsal.entrusted import Entrusted, member, propose
from secagg.wire.codec import encode
from support.adversary import proposal_of
from support.entrusted import alone, dealt, make

KEY, _ = dealt(3, 2)
GOOD = KEY.public
WIDTH = len(GOOD.modulus)


def judge(entrusted: Entrusted, custody: Custody, earlier: tuple[bytes, ...] = ()) -> None:
    """Let a node judge a job whose trustees all accepted a key, whatever it is."""
    signed = tuple(
        accept_key(key, "fed", name, custody.key) for name, key in entrusted.trustees.items() if name in custody.names()
    )
    custody = replace(custody, acceptances=custody.acceptances or signed)
    spec = replace(entrusted.nodes.spec, custody=custody)
    manifest = replace(propose(entrusted), custody=custody, job_digest=sha256(encode(spec)))
    ctx = member(entrusted, "node-00").ctx
    expect = dataclasses.replace(ctx.expect, spec=spec, spec_digest=sha256(encode(spec)), earlier_moduli=earlier)
    step = node.start(proposal_of(entrusted.nodes, manifest), dataclasses.replace(ctx, expect=expect))
    assert isinstance(step.phase, Encrypting)


def refused(public: PublicKey | None = None, custody: dict[str, Any] | None = None, **fields: Any) -> str:
    entrusted = make(4)
    key = replace(KEY, public=public or GOOD, **fields)
    found = replace(entrusted.custody, key=encode(key), acceptances=(), **(custody or {}))
    with pytest.raises(Refused) as caught:
        judge(entrusted, found)
    return caught.value.rule


def of(n: mpz, **fields: Any) -> PublicKey:
    return replace(GOOD, modulus=int(n).to_bytes(WIDTH, "big"), **fields)


def product_of_three() -> mpz:
    """Return p²q of 512 bits, 1 modulo 4: every ciphertext would have two openings."""
    p = next_prime(mpz(2) ** 170 + 12345)
    q = next_prime(mpz(2) ** 512 // p**2 - 2**160)
    while p * p * q % 4 != 1 or (p * p * q).bit_length() != 512:
        q = next_prime(q)
    return p * p * q


def with_factor(factor: int) -> mpz:
    other = next_prime(mpz(2) ** 512 // factor - 2**400)
    while factor * other % 4 != 1 or (factor * other).bit_length() != 512:
        other = next_prime(other)
    return factor * other


def prime() -> mpz:
    found = next_prime(mpz(2) ** 511 + 987654321)
    while found % 4 != 1:
        found = next_prime(found)
    return found


def test_the_honest_key_passes() -> None:
    entrusted = make(4)
    judge(entrusted, replace(entrusted.custody, acceptances=()))


@pytest.mark.parametrize(
    ("n", "rule"),
    [
        (product_of_three(), "statement"), (with_factor(3), "factor"), (with_factor(65_537), "factor"),
        (with_factor(1_048_573), "factor"), (prime(), "prime"), (next_prime(mpz(2) ** 255 + 2**254 + 99) ** 2, "power"),
        (GOOD.n - 1, "even"), (GOOD.n + 2, "statement"), (mpz(0), "length"), (mpz(1), "length"),
        (GOOD.n >> 1, "length"), (GOOD.n >> 200, "length"),
    ],
    ids=["p*p*q", "3", "65537", "1048573", "prime", "square", "even", "another", "0", "1", "shorter", "short"],
)  # fmt: skip
def test_a_modulus_that_is_none(n: mpz, rule: str) -> None:
    found = refused(of(n))
    assert found == f"paillier.{rule}" or (n == GOOD.n + 2 and found in ("paillier.profile", "paillier.factor"))


@pytest.mark.parametrize("index", range(8))
@pytest.mark.parametrize("change", ["another", "zero", "modulus", "short", "plus one"])
def test_a_false_root_in_the_statement(index: int, change: str) -> None:
    roots = list(GOOD.roots)
    value = int.from_bytes(roots[index], "big")
    changed = {
        "another": roots[index - 1], "zero": bytes(WIDTH), "modulus": GOOD.modulus, "short": roots[index][1:],
        "plus one": ((value + 1) % int(GOOD.n)).to_bytes(WIDTH, "big"),
    }[change]  # fmt: skip
    roots[index] = changed
    assert refused(replace(GOOD, roots=tuple(roots))) == "paillier.statement"


@pytest.mark.parametrize("kept", [0, 1, 7])
def test_a_statement_without_all_its_roots(kept: int) -> None:
    assert refused(replace(GOOD, roots=GOOD.roots[:kept])) == "paillier.statement"


def test_profiles_and_numbers_that_trustees_cannot_share() -> None:
    assert refused(replace(GOOD, profile="fast", subgroup=(4).to_bytes(WIDTH, "big"))) == "custody.profile"
    assert refused(replace(GOOD, profile="imported")) == "custody.profile"
    assert refused(custody={"s": 2}) == "custody.profile"
    assert refused(replace(GOOD, subgroup=b"\1")) == "paillier.subgroup"


def test_shares_of_other_trustees_or_another_threshold() -> None:
    assert refused(trustees=("ana", "ben", "eve")) == "custody.key"
    assert refused(trustees=("ben", "ana", "cyd")) == "custody.key"
    assert refused(threshold=3) == "custody.key"


@pytest.mark.parametrize("change", ["missing", "first", "zero", "long", "factor"])
def test_commitments_that_decrypt_nothing(change: str) -> None:
    first, second = KEY.commitments
    changed = {
        "missing": (first,), "first": (second, second), "zero": (bytes(2 * WIDTH), second),
        "long": (first, second + b"\0"), "factor": (first, GOOD.modulus.rjust(2 * WIDTH, b"\0")),
    }[change]  # fmt: skip
    assert refused(commitments=changed) == "paillier.commitments"


def test_a_factor_shared_with_an_earlier_key() -> None:
    entrusted, holder = make(4), alone(4).secrets["ana"]
    assert isinstance(holder, PrivateKey)
    p, _ = holder.primes
    public = holder.public
    custody = replace(alone(4).custody, acceptances=())
    again = int(p * next_prime(p)).to_bytes(WIDTH + 1, "big")
    single = alone(4)
    judge(single, custody, earlier=(GOOD.modulus, public.modulus))
    with pytest.raises(Refused) as caught:
        judge(single, custody, earlier=(again,))
    assert caught.value.rule == "paillier.shared"
    assert entrusted.custody.key != custody.key


def test_a_key_that_too_few_trustees_accepted() -> None:
    entrusted = make(4)
    custody = entrusted.custody
    other = encode(replace(KEY, commitments=KEY.commitments[::-1]))
    of_another = tuple(accept_key(key, "fed", name, other) for name, key in entrusted.trustees.items())
    elsewhere = tuple(accept_key(key, "other", name, custody.key) for name, key in entrusted.trustees.items())
    one = (custody.acceptances[0], custody.acceptances[0])
    renamed = (replace(custody.acceptances[0], trustee="ben"), custody.acceptances[1])
    for given, rule in (
        (of_another, "acceptance"), (elsewhere, "acceptance"), (one, "acceptances"), (renamed, "acceptance")
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            judge(entrusted, replace(custody, acceptances=given))
        assert caught.value.rule == f"custody.{rule}"


def test_trustees_that_the_roster_does_not_know() -> None:
    entrusted = make(4)
    custody, seats = entrusted.custody, entrusted.custody.trustees
    for changed, rule in (
        ((replace(seats[0], key=bytes(32)), *seats[1:]), "seats"), ((seats[0], seats[0], seats[2]), "seats"),
        ((replace(seats[0], organisation="of-ben"), *seats[1:]), "seats"), ((), "seats"),
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            judge(entrusted, replace(custody, trustees=changed))
        assert caught.value.rule == f"custody.{rule}"


def test_what_a_key_is_is_not_taken_on_trust() -> None:
    assert isinstance(KEY, ThresholdKey)
    entrusted = alone(4)
    for public in (replace(GOOD, profile="fast"), of(product_of_three())):
        with pytest.raises(Refused):
            judge(entrusted, replace(entrusted.custody, key=encode(public), acceptances=()))
