"""Keys: what is made passes every check, and what must not enter is refused with its rule."""

import ast
import pickle
from collections.abc import Callable
from pathlib import Path

import phe
import pytest
from gmpy2 import mpz, next_prime
from msgspec.structs import replace

from secagg.crypto.paillier.keys import (
    CHALLENGES,
    FLOOR_BITS,
    Profile,
    PublicKey,
    exponent_bits,
    subgroup_bits,
    validate,
)  # fmt: skip
from secagg.crypto.paillier.oracle import export_public
from secagg.crypto.paillier.primes import prime_pair, probable_prime, safe_prime
from secagg.crypto.paillier.private import PrivateKey, generate
from secagg.crypto.secret import Secret
from secagg.errors import BadConfiguration, BadInput, ProtocolViolation
from support.paillier_keys import SMALL, full, seeded, small
from support.phe_keys import import_private, import_public

ROOT = Path(__file__).resolve().parents[3]
KEY = small().public
FAST = small("fast").public
OTHER = small(seed="another").public
WIDTH = SMALL // 8


def key_of(n: int | mpz, like: PublicKey = KEY) -> PublicKey:
    return replace(like, modulus=int(n).to_bytes(max(WIDTH, (int(n).bit_length() + 7) // 8), "big"))


def refused(key: PublicKey, bits: int = SMALL, **options: object) -> str:
    with pytest.raises(ProtocolViolation) as caught:
        validate(key, bits, **{"weak": True, **options})  # type: ignore[arg-type]
    return caught.value.rule


@pytest.mark.parametrize("profile", ["provable", "fast"])
@pytest.mark.parametrize("bits", [256, 512, 768])
def test_what_is_made_passes(profile: Profile, bits: int) -> None:
    key = small(profile, bits)
    assert key.public.n.bit_length() == bits == key.public.bits
    validate(key.public, bits, earlier=[OTHER.n], weak=True)
    assert PrivateKey.from_private_bytes(key.private_bytes(), weak=True).public == key.public


@pytest.mark.parametrize("profile", ["provable", "fast"])
def test_a_full_key_passes_without_weakness(profile: Profile) -> None:
    validate(full(profile).public, 2048)
    assert refused(full(profile).public, 3072) == "paillier.length"


def test_short_keys_need_a_parameter_that_no_source_passes() -> None:
    assert refused(KEY, weak=False) == "paillier.floor"
    with pytest.raises(ProtocolViolation, match="2048"):
        generate("provable", FLOOR_BITS - 16, seeded("x"))
    with pytest.raises(BadConfiguration):
        PrivateKey.from_private_bytes(small().private_bytes())
    passed = {
        str(path.relative_to(ROOT))
        for room in ("secagg", "node", "keyserver", "aggregator")
        for path in (ROOT / room).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.keyword) and call.arg == "weak" and not isinstance(call.value, ast.Name)
    }
    assert passed == set()


@pytest.mark.parametrize("bits", [0, 240, 520, 8208, 16384])
def test_other_lengths_are_refused_even_as_weak(bits: int) -> None:
    assert refused(KEY, bits) == "paillier.floor"


P, Q = safe_prime(256, seeded("p")), safe_prime(256, seeded("q"))
R = safe_prime(170, seeded("r"))
N = P * Q


def of_bits(factor: int | mpz) -> mpz:
    """A composite of exactly the small keys' length with this factor."""
    rest = next_prime((mpz(3) << (SMALL - 2)) // factor)
    return rest * factor


def factor_at(index: int) -> int:
    return int(next_prime(2 ** (1 + index % 19) + 97 * index))


BAD_MODULI = [
    ("length", N >> 1 | 1), ("length", N >> 8 | 1), ("length", 0), ("length", N << 1 | 1),
    ("even", N - 1), ("even", mpz(1) << (SMALL - 1)), ("even", 2 * of_bits(2)),
    ("prime", next_prime(mpz(3) << (SMALL - 2))), ("power", next_prime(P) ** 2), ("power", P * P),
    ("power", next_prime(mpz(15) << 124) ** 4),
    *(("factor", of_bits(factor_at(index))) for index in range(60)),
    ("factor", of_bits(1048573)), ("factor", of_bits(3 * 5 * 7 * 11)),
    ("statement", of_bits(R)), ("statement", of_bits(1048583)), ("statement", of_bits(2**61 - 1)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "n"), BAD_MODULI, ids=[f"{i}-{rule}" for i, (rule, _) in enumerate(BAD_MODULI)])
def test_a_bad_modulus_is_refused(rule: str, n: mpz) -> None:
    if rule == "even":
        n = n if n.bit_length() == SMALL else n >> 1 & ~1
    profile = "imported"
    assert refused(replace(key_of(n), profile=profile)) == f"paillier.{rule}"


def carmichael(bits: int) -> mpz:
    """(6k + 1)(12k + 1)(18k + 1) with three primes, a Carmichael number (Chernick 1939)."""
    k = mpz(1) << ((bits - 10) // 3)
    while not all(probable_prime(factor * k + 1) for factor in (6, 12, 18)):
        k += 1
    return (6 * k + 1) * (12 * k + 1) * (18 * k + 1)


def worst_case(bits: int) -> mpz:
    """(2r + 1)(4r + 1): a quarter of all bases are strong liars (Damgård, Landrock, Pomerance 1993)."""
    r = mpz(1) << (bits // 2 - 2) | 1
    while not (probable_prime(2 * r + 1) and probable_prime(4 * r + 1)):
        r += 2
    return (2 * r + 1) * (4 * r + 1)


ARNAULT = 3317044064679887385961981
PSEUDOPRIMES = [
    341, 561, 1105, 2047, 3215031751, 2152302898747, 3474749660383, 341550071728321, 3825123056546413051, ARNAULT,
    1093**2, 3511**2, 2**67 - 1, 2**71 - 1, 2**128 + 1, 2**256 + 1, -7, -(2**61 - 1), -1, 0, 1, 4, 9,
    *(carmichael(bits) for bits in (64, 96, 128, 192, 256)), *(worst_case(bits) for bits in (64, 128, 256, 512)),
]  # fmt: skip


@pytest.mark.parametrize("value", PSEUDOPRIMES, ids=lambda value: f"{int(value) % 10**9}-{value.bit_length()}")
def test_what_deceived_other_tests_is_no_prime(value: int) -> None:
    assert not probable_prime(value)


@pytest.mark.parametrize("value", [2, 3, 65537, 2**61 - 1, 2**127 - 1, 2**521 - 1, P, R])
def test_a_prime_is_prime(value: int) -> None:
    assert probable_prime(value)


def test_a_shared_factor_is_found() -> None:
    assert refused(KEY, earlier=[OTHER.n, KEY.n]) == "paillier.shared"
    assert refused(KEY, earlier=[small().public.n * 3]) == "paillier.shared"
    shared = PrivateKey("provable", (P, Q)), PrivateKey("provable", (P, safe_prime(256, seeded("third"))))
    assert refused(shared[1].public, earlier=[shared[0].public.n]) == "paillier.shared"


def test_a_key_with_two_openings_has_no_statement() -> None:
    """N = p²q: p divides φ(N), so N-th powers are not one to one; whatever the roots, they are refused (row 38)."""
    p, q = safe_prime(168, seeded("pp")), safe_prime(176, seeded("qq"))
    n = p * p * q
    assert n.bit_length() in (511, 512)
    twisted = replace(key_of(n), profile="imported")
    assert refused(twisted, int(n.bit_length()) + int(n.bit_length()) % 2) in ("paillier.statement", "paillier.length")


STATEMENTS: list[Callable[[tuple[bytes, ...]], tuple[bytes, ...]]] = [
    lambda roots: (),
    lambda roots: roots[:-1],
    lambda roots: (*roots, roots[0]),
    lambda roots: roots[::-1],
    lambda roots: (roots[1], roots[0], *roots[2:]),
    lambda roots: (bytes(WIDTH), *roots[1:]),
    lambda roots: (roots[0][1:], *roots[1:]),
    lambda roots: (b"\0" + roots[0], *roots[1:]),
    lambda roots: (int(mpz.from_bytes(roots[0], "big") + KEY.n).to_bytes(WIDTH + 1, "big")[-WIDTH:], *roots[1:]),
    *(
        (lambda roots, at=at, bit=bit: (*roots[:at], bytes(
            byte ^ (1 << bit if index == at * 7 else 0) for index, byte in enumerate(roots[at])
        ), *roots[at + 1 :]))
        for at in range(CHALLENGES) for bit in range(4)
    ),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(STATEMENTS)))
def test_a_wrong_statement_is_refused(index: int) -> None:
    assert refused(replace(KEY, roots=STATEMENTS[index](KEY.roots))) == "paillier.statement"


def test_a_statement_has_one_form() -> None:
    """A root plus the modulus is a root too, but the same key would then have many names."""
    tried = 0
    for seed in range(4):
        key = small("fast", seed=f"form/{seed}").public
        for at, root in enumerate(key.roots):
            more = mpz.from_bytes(root, "big") + key.n
            if more.bit_length() <= SMALL:
                tried += 1
                roots = (*key.roots[:at], more.to_bytes(WIDTH, "big"), *key.roots[at + 1 :])
                assert refused(replace(key, roots=roots)) == "paillier.statement"
    assert tried


def test_anothers_statement_is_refused() -> None:
    assert refused(replace(KEY, roots=OTHER.roots)) == "paillier.statement"


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        (replace(KEY, subgroup=bytes(WIDTH)), "subgroup"),
        (replace(FAST, subgroup=b""), "subgroup"),
        (replace(FAST, subgroup=bytes(WIDTH)), "subgroup"),
        (replace(FAST, subgroup=bytes(WIDTH - 1) + b"\1"), "subgroup"),
        (replace(FAST, subgroup=int(FAST.n - 1).to_bytes(WIDTH, "big")), "subgroup"),
        (replace(FAST, subgroup=int(FAST.n).to_bytes(WIDTH, "big")), "subgroup"),
        (replace(FAST, subgroup=b"\0" + FAST.subgroup), "subgroup"),
        (replace(FAST, subgroup=int(small("fast")._primes[0]).to_bytes(WIDTH, "big")), "subgroup"),
        (replace(KEY, profile="fast"), "subgroup"),
    ],
)
def test_a_generator_that_is_none_is_refused(key: PublicKey, rule: str) -> None:
    assert refused(key) == f"paillier.{rule}"


def test_a_modulus_that_is_no_blum_integer_is_only_imported() -> None:
    p = next_prime(mpz(13) << 252)
    while p % 4 != 1:
        p = next_prime(p)
    key = PrivateKey("imported", (p, P)).public
    validate(key, SMALL, weak=True)
    assert refused(replace(key, profile="provable")) == "paillier.profile"


def test_primes_of_a_pair_are_both_prime_and_of_the_right_length() -> None:
    for bits, factor in ((128, mpz(2)), (256, 2 * next_prime(mpz(1) << 63)), (192, mpz(6))):
        x, prime = prime_pair(bits, factor, seeded(f"pair/{bits}"))
        assert prime == factor * x + 1
        assert probable_prime(x)
        assert probable_prime(prime)
        assert prime >> (bits - 2) == 3


def test_no_room_for_a_factor_is_an_error() -> None:
    with pytest.raises(ValueError, match="no room"):
        prime_pair(64, mpz(1) << 60, seeded("x"))


def test_exponents_are_half_the_length_or_four_times_the_level() -> None:
    assert [exponent_bits("provable", bits) for bits in (2048, 3072)] == [1024, 1536]
    assert [exponent_bits("fast", bits) for bits in (2048, 3072, 4096, 8192)] == [448, 512, 512, 768]
    assert exponent_bits("imported", 2048) == 2176
    assert subgroup_bits(SMALL) == SMALL // 4


def test_a_private_key_does_not_show() -> None:
    key = small()
    shown = f"{key!r} {key} {key.private_bytes()}"
    assert str(int(key._primes[0])) not in shown
    with pytest.raises(TypeError):
        pickle.dumps(key)


def damage(key: PrivateKey) -> list[bytes]:
    raw = key.private_bytes().reveal()
    swapped = PrivateKey("imported", key._primes).private_bytes().reveal()
    return [
        b"", raw[:-1], raw + b"\0", raw[:3], raw.replace(key.public.profile.encode(), b"p" * len(key.public.profile)),
        b"\0\0\0\1x", raw[: len(raw) // 2],
        swapped.replace(b"\0\0\0\x08imported", b"\0\0\0\x04fast"), bytes(len(raw)),
        *(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(20, len(raw), 5)),
    ]  # fmt: skip


@pytest.mark.parametrize("profile", ["provable", "fast"])
def test_damaged_bytes_give_no_key(profile: Profile) -> None:
    for raw in damage(small(profile)):
        with pytest.raises(BadConfiguration):
            PrivateKey.from_private_bytes(Secret(raw), weak=True)


def test_primes_that_are_close_or_unequal_give_no_key() -> None:
    near = safe_prime(256, seeded("near"))
    for pair in ((near, near), (near, next_prime(near)), (near, R)):
        raw = PrivateKey.private_bytes(_raw("provable", pair))
        with pytest.raises(BadConfiguration):
            PrivateKey.from_private_bytes(raw, weak=True)


def _raw(profile: Profile, primes: tuple[mpz, mpz]) -> PrivateKey:
    key = object.__new__(PrivateKey)
    key._primes, key._orders, key.public = primes, None, PublicKey(profile, bytes(WIDTH), ())
    return key


def test_a_phe_key_enters_with_its_holders_statement() -> None:
    public, private = phe.generate_paillier_keypair(n_length=SMALL)
    held = import_private(private)
    key = import_public(public, held.public.roots)
    assert key == held.public
    validate(key, SMALL, weak=True)
    assert export_public(key) == public
    assert refused(import_public(public, ())) == "paillier.statement"
    public.g += 1
    with pytest.raises(BadInput):
        import_public(public, ())


def test_a_phe_key_of_unequal_primes_is_refused() -> None:
    private = phe.PaillierPrivateKey(phe.PaillierPublicKey(int(P * R)), int(P), int(R))
    with pytest.raises(BadInput):
        import_private(private)


def test_imported_keys_are_not_made() -> None:
    with pytest.raises(ValueError, match="elsewhere"):
        generate("imported", SMALL, seeded("x"), weak=True)


def test_a_search_says_how_likely_it_was_to_have_ended() -> None:
    told: list[tuple[str, float]] = []
    safe_prime(256, seeded("watched"), lambda what, done: told.append((what, done)))
    assert {what for what, _ in told} == {"prime"}
    shares = [done for _, done in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1
