"""A generated corpus of malformed keys: public, private, of `phe`, of trustees, and shares. See malformed.py."""

from collections.abc import Iterator
from functools import partial

from gmpy2 import jacobi, mpz, next_prime
from msgspec.structs import replace
from phe import PaillierPrivateKey, PaillierPublicKey

from secagg.crypto.labels import fields
from secagg.crypto.paillier.keys import PublicKey, validate
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.threshold import Share, check_share, validate_threshold
from secagg.crypto.secret import Secret
from support.malformed import Malformed, bent, shared
from support.paillier_keys import SMALL, small
from support.phe_keys import import_private, import_public

WIDTH = SMALL // 8


def _modulus(n: mpz) -> PublicKey:
    return replace(small().public, modulus=int(n).to_bytes(-(-int(n).bit_length() // 8) or 1, "big"))


def _composite(factor: mpz, residue: int = 1) -> mpz:
    """Return a number of 512 bits with this factor, `residue` modulo 4."""
    other = next_prime((mpz(3) << (SMALL - 2)) // factor)
    while factor * other % 4 != residue:
        other = next_prime(other)
    return factor * other


def _key(name: str, key: PublicKey, reason: str, bits: int = SMALL, **more: object) -> Malformed:
    given = {"weak": True, **more}
    return Malformed("keys", name, partial(validate, key, bits, **given), f"paillier.{reason}")  # type: ignore[arg-type]


def moduli() -> Iterator[Malformed]:
    """Yield public keys whose modulus or length is wrong."""
    good, n = small().public, small().public.n
    for prime in (3, 5, 7, 11, 257, 65_537, 524_287, 1_048_573):
        yield _key(f"factor {prime}", _modulus(_composite(mpz(prime))), "factor")
    root = next_prime(mpz(3) << (SMALL // 2 - 2))
    for name, number, reason in (
        ("even", n - 1, "even"), ("prime", next_prime(mpz(3) << (SMALL - 2)), "prime"), ("a square", root**2, "power"),
        ("p²q", _composite(next_prime(mpz(2) ** 170) ** 2), "statement"), ("one", mpz(1), "length"),
        ("3 mod 4", _composite(next_prime(mpz(2) ** 200), 3), "profile"), ("zero", mpz(0), "length"),
        ("another", small(seed="another").public.n, "statement"), ("half", n >> 1, "length"),
        ("twice", n << 1 | 1, "length"), ("a quarter of the bits", n >> 384, "length"),
    ):  # fmt: skip
        yield _key(f"modulus: {name}", _modulus(number), reason)
    for bits in (0, 128, 240, 510, 511, 513, 8208, 10**9):
        yield _key(f"{bits} bits agreed", good, "floor", bits)
    yield _key("a weak key where keys are for use", good, "floor", weak=False)
    yield _key("longer than agreed", good, "length", 768)
    yield _key("the same key again", good, "shared", earlier=[n])
    yield _key("one prime again", good, "shared", earlier=[small().primes[0] * next_prime(mpz(2) ** 255)])
    yield _key("a padded modulus", replace(good, modulus=b"\0" + good.modulus), "length")


def statements() -> Iterator[Malformed]:
    """Yield public keys whose statement or generator is wrong."""
    good, fast = small().public, small("fast").public
    for index, root in enumerate(good.roots):
        after = (int.from_bytes(root, "big") + 1).to_bytes(WIDTH, "big")
        for name, data in (
            ("another root", good.roots[index - 1]), ("zero", bytes(WIDTH)), ("N", good.modulus), ("short", root[1:]),
            ("next number", after),
        ):  # fmt: skip
            roots = (*good.roots[:index], data, *good.roots[index + 1 :])
            yield _key(f"root {index}: {name}", replace(good, roots=roots), "statement")
    for kept in (0, 1, 7):
        yield _key(f"{kept} roots", replace(good, roots=good.roots[:kept]), "statement")
    yield _key("nine roots", replace(good, roots=(*good.roots, good.roots[0])), "statement")
    outside = next(value for value in range(2, 100) if jacobi(value, fast.n) == -1)
    for name, data in (
        ("none", b""), ("zero", bytes(WIDTH)), ("one", (1).to_bytes(WIDTH, "big")), ("N", fast.modulus),
        ("N - 1", int(fast.n - 1).to_bytes(WIDTH, "big")), ("short", fast.subgroup[1:]),
        ("long", b"\0" + fast.subgroup), ("all ones", b"\xff" * WIDTH), ("outside", outside.to_bytes(WIDTH, "big")),
    ):  # fmt: skip
        yield _key(f"generator: {name}", replace(fast, subgroup=data), "subgroup")
    yield _key("a generator of no subgroup", replace(good, subgroup=b"\1"), "subgroup")


def imports() -> Iterator[Malformed]:
    """Yield keys of `phe`."""
    n, (p, _) = int(small().public.n), (int(prime) for prime in small().primes)
    roots = small().public.roots
    for name, generator in (("1", 1), ("N", n), ("N + 2", n + 2), ("N - 1", n - 1), ("2N + 1", 2 * n + 1)):
        key = PaillierPublicKey(n)
        key.g = generator
        yield Malformed("phe", f"generator {name}", partial(import_public, key, roots), "E-INPUT", "generator")
    for name, given in (("none", ()), ("another key's", small(seed="another").public.roots), ("seven", roots[:7])):
        public = import_public(PaillierPublicKey(n), given)
        offer = partial(validate, public, SMALL, weak=True)
        yield Malformed("phe", f"roots: {name}", offer, "paillier.statement")
    for other in (3, 65_537, int(next_prime(mpz(p) << 8))):
        private = PaillierPrivateKey(PaillierPublicKey(p * other), p, other)
        name = f"a prime of {other.bit_length()} bits"
        yield Malformed("phe", name, partial(import_private, private), "E-INPUT", "length")


def files() -> Iterator[Malformed]:
    """Yield private keys as they lie in files."""
    good, fast = small().private_bytes().reveal(), small("fast").private_bytes().reveal()
    width, (p, q) = WIDTH // 2, (int(prime) for prime in small().primes)
    r = next_prime(mpz(3) << (SMALL // 2 - 2))
    while r % 4 == 3:
        r = next_prime(r)

    def of(*numbers: int | mpz, profile: str = "provable") -> bytes:
        return fields(profile, *(int(number).to_bytes(width, "big") for number in numbers))

    for cut in (0, 1, 4, 11, 12, 40, len(good) - 1):
        yield _file(f"cut at {cut}", good[:cut], "parts")
    for name, data, says in (
        ("padded", good + b"\0", "parts"), ("of no profile", of(p, q, profile="quick"), "parts"),
        ("fast without orders", of(p, q, profile="fast"), "parts"), ("with three primes", of(p, q, p), "parts"),
        ("with one prime", of(p), "parts"), ("with a prime twice", of(p, p), "close"),
        ("with primes side by side", of(p, next_prime(mpz(p))), "close"), ("with a prime of one", of(p, 1), "length"),
        ("with a composite", of(p, q - 2), "none"), ("whose prime is 1 mod 4", of(p, r), "3 modulo 4"),
        ("fast with orders cut", fast[:-1], "parts"),
        ("fast with small orders", of(*small("fast").primes, 7, 7, profile="fast"), "order"),
    ):  # fmt: skip
        yield _file(name, data, says)


def _file(name: str, data: bytes, says: str) -> Malformed:
    offer = partial(PrivateKey.from_private_bytes, Secret(data), weak=True)
    return Malformed("private key", name, offer, "E-CONFIG", says)


def threshold() -> Iterator[Malformed]:
    """Yield the public part of keys with shares."""
    key, _, _ = shared()
    (first, second), wide = key.commitments, 2 * WIDTH
    cases: tuple[tuple[str, dict[str, object], str], ...] = (
        ("two trustees of one name", {"trustees": ("ana", "ana", "cyd")}, "trustees"),
        ("one trustee", {"trustees": ("ana",)}, "trustees"),
        ("nobody", {"trustees": ()}, "trustees"),
        ("seventeen", {"trustees": tuple(f"t{i}" for i in range(17)), "threshold": 9}, "trustees"),
        ("one of three", {"threshold": 1}, "trustees"),
        ("four of three", {"threshold": 4}, "trustees"),
        ("three of three", {"threshold": 3}, "commitments"),
        ("a fast key", {"public": replace(key.public, profile="fast")}, "profile"),
        ("an imported key", {"public": replace(key.public, profile="imported")}, "profile"),
        ("no commitments", {"commitments": ()}, "commitments"),
        ("one commitment", {"commitments": (first,)}, "commitments"),
        ("three commitments", {"commitments": (first, second, second)}, "commitments"),
        ("commitments turned round", {"commitments": (second, first)}, "commitments"),
        ("a commitment of zero", {"commitments": (bytes(wide), second)}, "commitments"),
        ("a first one of one", {"commitments": ((1).to_bytes(wide, "big"), second)}, "commitments"),
        ("a short one", {"commitments": (first[1:], second)}, "commitments"),
        ("one of all ones", {"commitments": (first, b"\xff" * wide)}, "commitments"),
        ("one with a factor", {"commitments": (first, key.public.modulus.rjust(wide, b"\0"))}, "commitments"),
    )
    for name, changes, reason in cases:
        offer = partial(validate_threshold, replace(key, **changes), SMALL, weak=True)
        yield Malformed("threshold key", name, offer, f"paillier.{reason}")


def shares() -> Iterator[Malformed]:
    """Yield shares that do not fit the commitments."""
    key, held, _ = shared()
    good = held[0].secret.reveal()
    for index in (-1, 0, 2, 3, 4, 99):
        offer = partial(check_share, key, Share(index, held[0].secret))
        yield Malformed("share", f"index {index}", offer, "paillier.share")
    more = (int.from_bytes(good, "big") + 1).to_bytes(len(good), "big")
    for name, data in (*bent(good, 16), ("another's", held[1].secret.reveal()), ("one more", more)):
        yield Malformed("share", name, partial(check_share, key, Share(1, Secret(data))), "paillier.share")


def keys() -> list[Malformed]:
    """Return the corpus of keys and shares."""
    return [case for maker in (moduli, statements, imports, files, threshold, shares) for case in maker()]
