"""Encryption, products and decryption against `phe` and against integers; what must not enter is refused."""

import math
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import phe
import pytest
from gmpy2 import mpz

from secagg.crypto.paillier import powers, private
from secagg.crypto.paillier.encrypt import Obfuscators, encrypt, obfuscate
from secagg.crypto.paillier.keys import Profile
from secagg.crypto.paillier.libcrypto import LIBRARY
from secagg.crypto.paillier.numbers import random_below, random_unit
from secagg.crypto.paillier.oracle import export_public
from secagg.crypto.paillier.packing import WordLayout
from secagg.crypto.paillier.powers import (
    blinding,
    constant_time,
    inverses,
    product_of_powers,
    products,
    public_power,
    secret_power,
    secret_powers,
)  # fmt: skip
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.product import Product, offender
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import DEFAULT_MEMORY, Table, affordable, choose, memory, table_at
from secagg.errors import BadConfiguration, BadInput, ProtocolViolation
from support.paillier_keys import SMALL, full, seeded, small
from support.phe_keys import import_private

CASES: list[tuple[Profile, int]] = [
    (profile, s) for profile in ("provable", "fast", "imported") for s in (1, 2, 3)
]  # fmt: skip


def imported() -> PrivateKey:
    return PrivateKey("imported", small(seed="import")._primes)


def held(profile: Profile) -> PrivateKey:
    return imported() if profile == "imported" else small(profile)


def table(ring: Ring) -> Table:
    return Table.build(ring, 2**18)


def oracle(key: PrivateKey) -> phe.PaillierPrivateKey:
    p, q = (int(prime) for prime in key._primes)
    return phe.PaillierPrivateKey(export_public(key.public), p, q)


@pytest.mark.parametrize(("profile", "s"), CASES)
def test_what_is_encrypted_decrypts(profile: Profile, s: int) -> None:
    key, rng = held(profile), seeded("round trip")
    ring = Ring(key.public, s)
    words = [mpz(0), mpz(1), ring.plain - 1, ring.plain // 2, *(random_below(ring.plain, rng) for _ in range(8))]
    ciphertexts = encrypt(ring, words, obfuscate(table(ring), len(words), rng))
    assert key.decrypt(ring, ciphertexts, rng) == words
    assert len(set(ciphertexts)) == len(words)
    doubled = [one * one % ring.cipher for one in ciphertexts]
    assert key.decrypt(ring, doubled, rng) == [2 * word % ring.plain for word in words]


@pytest.mark.parametrize(("profile", "s"), CASES)
def test_a_ciphertext_is_the_formula(profile: Profile, s: int) -> None:
    key, rng = held(profile), seeded("formula")
    ring = Ring(key.public, s)
    obfuscators = obfuscate(table(ring), 5, rng)
    words = [random_below(ring.plain, rng) for _ in range(5)]
    for word, r, one in zip(words, obfuscators.exponents, encrypt(ring, words, obfuscators), strict=True):
        blind = pow(int(ring.generator), int(ring.n**s * r), int(ring.cipher))
        assert one == pow(1 + int(ring.n), int(word), int(ring.cipher)) * blind % int(ring.cipher)


@pytest.mark.parametrize("profile", ["provable", "fast", "imported"])
def test_phe_reads_ours_and_we_read_phes(profile: Profile) -> None:
    key, rng = held(profile), seeded("phe")
    ring, private = Ring(key.public), oracle(key)
    words = [mpz(0), ring.n - 1, *(random_below(ring.n, rng) for _ in range(10))]
    ours = encrypt(ring, words, obfuscate(table(ring), len(words), rng))
    assert [private.raw_decrypt(int(one)) for one in ours] == words
    theirs = [mpz(private.public_key.raw_encrypt(int(word))) for word in words]
    assert key.decrypt(ring, theirs, rng) == words
    mixed = [one * other % ring.cipher for one, other in zip(ours, theirs, strict=True)]
    assert key.decrypt(ring, mixed, rng) == [2 * word % ring.n for word in words]


def test_a_key_made_by_phe_works_here() -> None:
    public, private = phe.generate_paillier_keypair(n_length=SMALL)
    key, rng = import_private(private), seeded("made by phe")
    ring = Ring(key.public)
    assert key.decrypt(ring, [mpz(public.raw_encrypt(123456789))], rng) == [123456789]
    ciphertexts = encrypt(ring, [mpz(42)], obfuscate(table(ring), 1, rng))
    assert private.raw_decrypt(int(ciphertexts[0])) == 42


@pytest.mark.parametrize("profile", ["provable", "fast"])
def test_full_size_keys_work_with_phe(profile: Profile) -> None:
    key, rng = full(profile), seeded("full")
    ring, private = Ring(key.public), oracle(key)
    words = [random_below(ring.n, rng) for _ in range(2)]
    ours = encrypt(ring, words, obfuscate(table(ring), 2, rng))
    assert [private.raw_decrypt(int(one)) for one in ours] == words
    assert key.decrypt(ring, [*ours, mpz(private.public_key.raw_encrypt(7))], rng) == [*words, 7]


def test_ordinary_randomness_among_a_fast_keys_summands_is_noticed() -> None:
    """Without the fallback, decryption in the subgroup gives a wrong number and no error (protocol §8)."""
    key, rng = small("fast"), seeded("foreign")
    for s in (1, 2):
        ring = Ring(key.public, s)
        words = [mpz(index) for index in range(6)]
        ciphertexts = encrypt(ring, words, obfuscate(table(ring), 6, rng))
        for index in (1, 4):
            ciphertexts[index] = ciphertexts[index] * public_power(random_unit(ring.n, rng), ring.plain, ring.cipher)
            ciphertexts[index] %= ring.cipher
        assert key.decrypt(ring, ciphertexts, rng) == words


def test_a_fast_key_needs_no_full_exponent_for_its_own_ciphertexts(monkeypatch: pytest.MonkeyPatch) -> None:
    key, rng, ring = small("fast"), seeded("short"), Ring(small("fast").public)
    ciphertexts = encrypt(ring, [mpz(index) for index in range(8)], obfuscate(table(ring), 8, rng))
    used: list[mpz] = []

    def watched(bases: list[mpz], exponent: mpz, *rest: object) -> list[mpz]:
        used.append(exponent)
        return secret_powers(bases, exponent, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(private, "secret_powers", watched)
    key.decrypt(ring, ciphertexts, rng)
    assert used == list(key._orders or ())


def test_a_wrong_power_ends_decryption(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor or a library that errs must not shift plaintexts: every power with the full exponent is checked."""
    key, rng, ring = small(), seeded("wrong"), Ring(small().public)
    ciphertexts = encrypt(ring, [mpz(index) for index in range(4)], obfuscate(table(ring), 4, rng))

    def wrong(bases: list[mpz], exponent: mpz, modulus: mpz, *rest: object) -> list[mpz]:
        found = secret_powers(bases, exponent, modulus, *rest)  # type: ignore[arg-type]
        return [*found[:-1], found[-1] * 2 % modulus]

    monkeypatch.setattr(private, "secret_powers", wrong)
    with pytest.raises(ArithmeticError, match="full exponent"):
        key.decrypt(ring, ciphertexts, rng)


@pytest.mark.parametrize("name", ["openssl", "gmp"])
def test_every_base_of_a_secret_power_is_blinded_anew(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, seen = seeded("blind"), []
    base, exponent = random_unit(RING.cipher, rng), mpz(12345678901234567890)

    @contextmanager
    def watched(power: mpz, modulus: mpz) -> Iterator[Callable[[mpz], mpz]]:
        with constant_time(power, modulus, LIBRARY if name == "openssl" else None) as real:

            def noted(value: mpz) -> mpz:
                seen.append(value)
                return real(value)

            yield noted

    monkeypatch.setattr(powers, "constant_time", watched)
    found = secret_powers([base] * 5, exponent, RING.cipher, blinding(exponent, RING.cipher, rng))
    assert found == [public_power(base, exponent, RING.cipher)] * 5
    assert len(set(seen)) == 6
    assert base not in seen


def test_a_hidden_subgroup_has_its_order() -> None:
    key = small("fast")
    ring, order = Ring(key.public), 2 * math.prod(key._orders or ())
    assert public_power(ring.generator, order, ring.n) == 1
    assert public_power(ring.base, order, ring.cipher) == 1
    for part in (2, *(key._orders or ())):
        assert public_power(ring.generator, order // part, ring.n) != 1


@pytest.mark.parametrize("s", [0, 4, -1])
def test_s_is_one_to_three(s: int) -> None:
    with pytest.raises(ValueError, match="1 to 3"):
        Ring(small().public, s)


def test_another_keys_ciphertexts_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="another key"):
        small().decrypt(Ring(small(seed="other").public), [], seeded("x"))


def test_words_and_obfuscators_are_checked() -> None:
    ring, rng = Ring(small().public), seeded("checked")
    for words in ([ring.plain], [mpz(-1)], [ring.plain + 5]):
        with pytest.raises(BadInput, match="plaintext"):
            encrypt(ring, words, obfuscate(table(ring), 1, rng))
    with pytest.raises(BadInput, match="obfuscators"):
        encrypt(ring, [mpz(1), mpz(2)], obfuscate(table(ring), 1, rng))
    with pytest.raises(ValueError, match="its power"):
        Obfuscators([mpz(1)], [])


def test_obfuscators_do_not_show() -> None:
    made = obfuscate(table(Ring(small().public)), 2, seeded("show"))
    assert repr(made) == "Obfuscators(2 OMITTED)"
    with pytest.raises(TypeError):
        pickle.dumps(made)


# --- products

RING = Ring(small().public)


def upload(seed: str, count: int = 4) -> bytes:
    rng = seeded(seed)
    words = [random_below(RING.plain // 2**20, rng) for _ in range(count)]
    return RING.write(encrypt(RING, words, obfuscate(table(RING), count, rng)))


@pytest.mark.parametrize("contributors", [1, 2, 3, 9, 10])
@pytest.mark.parametrize(("profile", "s"), [("provable", 1), ("provable", 2), ("fast", 1), ("fast", 3)])
def test_sums_are_the_integer_reference(contributors: int, profile: Profile, s: int) -> None:
    key, rng = small(profile), seeded(f"sum/{contributors}")
    ring = Ring(key.public, s)
    layout, made = WordLayout(ring.capacity, 16, 10, 150), table(ring)
    product, expected = Product(ring, layout.words), np.zeros(150, dtype=np.uint64)
    for index in range(contributors):
        codes = np.frombuffer(rng(300), dtype=np.uint16).astype(np.uint64)
        codes[:3] = (0, 65535, 65535 if index else 0)
        expected += codes
        words = layout.pack(codes)
        product.multiply(ring.write(encrypt(ring, words, obfuscate(made, len(words), rng))))
    assert product.factors == contributors
    assert (layout.unpack(key.decrypt(ring, product.close(), rng), contributors) == expected).all()


WIDTH = RING.width
GOOD = upload("good")
MALFORMED = [
    ("length", b""), ("length", GOOD[:-1]), ("length", GOOD + b"\0"), ("length", GOOD[WIDTH:]), ("length", GOOD * 2),
    *(("range", GOOD[: at * WIDTH] + bytes(WIDTH) + GOOD[(at + 1) * WIDTH :]) for at in range(4)),
    *(("range", GOOD[: at * WIDTH] + b"\xff" * WIDTH + GOOD[(at + 1) * WIDTH :]) for at in range(4)),
    *(("range", GOOD[: at * WIDTH] + RING.cipher.to_bytes(WIDTH, "big") + GOOD[(at + 1) * WIDTH :]) for at in range(4)),
    *(("range", int(RING.cipher + 10**extra).to_bytes(WIDTH, "big") + GOOD[WIDTH:]) for extra in range(0, 60, 4)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "data"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_upload_is_refused_and_changes_nothing(rule: str, data: bytes) -> None:
    product = Product(RING, 4)
    product.multiply(GOOD)
    with pytest.raises(ProtocolViolation) as caught:
        product.multiply(data)
    assert caught.value.rule == f"paillier.{rule}"
    assert product.factors == 1
    assert RING.write(product.close()) == GOOD


P, Q = small()._primes


@pytest.mark.parametrize("factor", [P, Q, P * 7, P * P, Q * Q * 3, P * Q, RING.n * 12345], ids=range(7))
@pytest.mark.parametrize("at", [0, 3])
def test_a_factor_of_the_modulus_is_found_and_its_sender_named(factor: mpz, at: int) -> None:
    bad = GOOD[: at * WIDTH] + factor.to_bytes(WIDTH, "big") + GOOD[(at + 1) * WIDTH :]
    product = Product(RING, 4)
    for data in (GOOD, bad, upload("second")):
        product.multiply(data)
    with pytest.raises(ProtocolViolation) as caught:
        product.close()
    assert caught.value.rule == "paillier.gcd"
    assert offender(RING, [("a", lambda: GOOD), ("b", lambda: bad), ("c", lambda: GOOD)]) == "b"
    assert offender(RING, [("a", lambda: GOOD)]) is None
    with pytest.raises(ProtocolViolation) as caught:
        small().decrypt(RING, RING.read(bad), seeded("x"))
    assert caught.value.rule == "paillier.gcd"


def test_a_product_of_nothing_is_refused() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        Product(RING, 4).close()
    assert caught.value.rule == "paillier.empty"


# --- tables, powers, threads


@pytest.mark.parametrize("budget", [0, 2**14, 2**18, 2**21, 2**23])
@pytest.mark.parametrize("profile", ["provable", "fast", "imported"])
def test_a_table_gives_the_powers_whatever_its_window(profile: Profile, budget: int) -> None:
    ring = Ring(held(profile).public)
    made = Table.build(ring, budget)
    top = (mpz(1) << ring.exponent_bits) - 1
    exponents = [mpz(0), mpz(1), mpz(2), top, top - 1, *(random_below(top, seeded("exponents")) for _ in range(3))]
    assert made.powers(exponents) == [public_power(ring.base, exponent, ring.cipher) for exponent in exponents]


def test_the_window_follows_from_memory_up_to_the_knee() -> None:
    half, short = Ring(full().public), Ring(full("fast").public)
    assert (choose(half), choose(short)) == (10, 12)
    assert (choose(half, 2**40), choose(short, 2**40)) == (10, 12)
    assert [choose(half, megabytes * 2**20) for megabytes in (0, 1, 10, 20, 40)] == [2, 2, 6, 8, 9]
    assert all(memory(half, choose(half, size)) <= size for size in range(2**21, 2**27, 2**20))


def test_a_table_takes_a_part_of_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < affordable() <= DEFAULT_MEMORY
    pages = {"SC_AVPHYS_PAGES": 25_600, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    assert affordable() == 25 * 2**20
    assert choose(Ring(full().public), affordable()) == 8
    pages["SC_AVPHYS_PAGES"] = 10**9
    assert affordable() == DEFAULT_MEMORY


def test_a_saved_table_is_used_only_for_its_key_and_only_whole(tmp_path: Path) -> None:
    path, ring = tmp_path / "table", Ring(small().public)
    made = table_at(path, ring, 2**16)
    data = path.read_bytes()
    exponents = [random_below(mpz(1) << ring.exponent_bits, seeded("saved"))]
    assert Table.load(path, ring).powers(exponents) == made.powers(exponents)
    assert list(tmp_path.iterdir()) == [path]
    for other in (Ring(small(seed="other").public), Ring(small().public, 2), Ring(imported().public)):
        with pytest.raises(BadConfiguration):
            Table.load(path, other)
    flips = range(0, len(data), max(1, len(data) // 40))
    flipped = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in flips]
    for one in (data[:-1], data + b"\0", b"", data[:40], *flipped):
        path.write_bytes(one)
        with pytest.raises(BadConfiguration):
            Table.load(path, ring)
    assert table_at(path, ring, 2**16).powers(exponents) == made.powers(exponents)
    assert path.read_bytes() == data
    assert table_at(path, ring, 2**18).window > made.window


def test_threads_give_the_same_numbers() -> None:
    key, ring = small(), Ring(small().public)
    words = [random_below(ring.plain, seeded("words")) for _ in range(333)]
    with ThreadPoolExecutor(3) as executor:
        made = Table.build(ring, 2**18, executor)
        ciphertexts = encrypt(ring, words, obfuscate(made, len(words), seeded("threads"), executor))
        assert ciphertexts == encrypt(ring, words, obfuscate(table(ring), len(words), seeded("threads")))
        assert key.decrypt(ring, ciphertexts, seeded("x"), executor) == words
        exponents = [int(random_below(mpz(1) << 128, seeded("e"))) for _ in words]
        assert ring.combine(ciphertexts, exponents, executor) == ring.combine(ciphertexts, exponents)
        product = Product(ring, len(words), executor)
        for _ in range(2):
            product.multiply(ring.write(ciphertexts))
        assert product.close() == [one * one % ring.cipher for one in ciphertexts]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40, 300])
@pytest.mark.parametrize("bits", [1, 8, 128, 131])
def test_a_product_of_powers_is_that(count: int, bits: int) -> None:
    rng, modulus = seeded(f"{count}/{bits}"), RING.n
    bases = [random_unit(modulus, rng) for _ in range(count)]
    exponents = [int(random_below(mpz(1) << bits, rng)) for _ in range(count)]
    if count > 2:
        exponents[:3] = [0, 1, (1 << bits) - 1]
    expected = math.prod((public_power(*pair, modulus) for pair in zip(bases, exponents, strict=True)), start=mpz(1))
    assert product_of_powers(bases, exponents, modulus) == expected % modulus
    with ThreadPoolExecutor(2) as executor:
        assert product_of_powers(bases * 2, exponents * 2, modulus, executor) == expected * expected % modulus


def test_products_are_reduced_together() -> None:
    rng, modulus = seeded("products"), RING.cipher
    ones, others = ([random_below(modulus, rng) for _ in range(9)] for _ in range(2))
    ones[0], others[1] = mpz(0), modulus - 1
    assert products(ones, others, modulus) == [one * other % modulus for one, other in zip(ones, others, strict=True)]
    assert products([], [], modulus) == []


def test_equal_and_far_apart_exponents_are_merged() -> None:
    rng, modulus = seeded("merged"), RING.n
    for exponents in ([7, 7, 7], [1 << 128, 1], [0, 0], [12, 8, 4, 4], [(1 << 128) - 1, 3, 1 << 127]):
        bases = [random_unit(modulus, rng) for _ in exponents]
        powered = (public_power(*pair, modulus) for pair in zip(bases, exponents, strict=True))
        expected = math.prod(powered, start=mpz(1)) % modulus
        assert product_of_powers(bases, exponents, modulus) == expected


def test_inverses_are_inverses() -> None:
    values = [random_unit(RING.n, seeded("inverse")) for _ in range(9)]
    assert [one * inverse % RING.n for one, inverse in zip(values, inverses(values, RING.n), strict=True)] == [1] * 9
    assert inverses([], RING.n) == []
    with pytest.raises(ZeroDivisionError):
        inverses([*values, P], RING.n)


@pytest.mark.parametrize("exponent", [0, -1, -(2**70)])
def test_a_secret_exponent_is_positive(exponent: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        secret_power(3, exponent, RING.n)
    with pytest.raises(ValueError, match="positive"):
        secret_powers([mpz(3)], exponent, RING.n, lambda: (mpz(1), mpz(1)))
