"""A generated corpus of malformed Paillier numbers: what is offered at each door, and the reason it is refused with.

A `Malformed` is one offer: the door (a decoder or a check of the product), a name, the call and the reason. The reason
is the `rule` of the error, or its code where the kind of error has no rules. Where a reason covers several causes, a
word of the text is there too. Keys are weak ones made once; nothing is drawn, so a case is the same in every run. Keys
and shares are in malformed_keys.py, messages and files of the ceremony in malformed_messages.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from gmpy2 import mpz
from msgspec.structs import replace

from secagg.crypto.paillier.decryption import prove_decryption, verify_decryption
from secagg.crypto.paillier.encrypt import encrypt, obfuscate
from secagg.crypto.paillier.knowledge import KnowledgeProof, prove_knowledge, verify_knowledge
from secagg.crypto.paillier.packing import WordLayout
from secagg.crypto.paillier.partial import Opening, Partial, decrypt_partially, verify_partial
from secagg.crypto.paillier.product import Product
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table
from secagg.crypto.paillier.threshold import Share, ThresholdKey
from support.entrusted import dealt
from support.paillier_keys import seeded, small

FIELD = bytes(32)
WORDS = [mpz(7), mpz(2) ** 500, mpz(0)]
"""The plaintexts of every vector here."""

Call = Callable[[], object]


@dataclass(frozen=True)
class Malformed:
    """One offer that must be refused."""

    door: str
    name: str
    offer: Call
    reason: str
    says: str = ""


def bent(good: bytes, flips: int = 12) -> Iterator[tuple[str, bytes]]:
    """Yield forms of `good` that are not it: other lengths, extremes, single bits."""
    yield "empty", b""
    yield "without its first byte", good[1:]
    yield "without its last byte", good[:-1]
    yield "longer in front", b"\0" + good
    yield "longer behind", good + b"\0"
    yield "zero", bytes(len(good))
    yield "all ones", b"\xff" * len(good)
    for at in range(0, len(good), max(1, len(good) // flips)):
        yield f"bit of byte {at}", good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]


@lru_cache
def vector(s: int = 1) -> tuple[Ring, bytes, tuple[mpz, ...]]:
    """Return a ring, an upload of `WORDS` and its exponents, made once."""
    ring = Ring(small().public, s)
    obfuscators = obfuscate(Table.build(ring, 2**18), len(WORDS), seeded(f"vector {s}"))
    exponents = tuple(obfuscators.exponents)
    return ring, ring.write(encrypt(ring, WORDS, obfuscators)), exponents


def _numbers(ring: Ring) -> Iterator[tuple[str, int, str]]:
    """Yield numbers that are no ciphertexts, and the reason."""
    n, cipher, (p, q) = int(ring.n), int(ring.cipher), (int(prime) for prime in small().primes)
    top = (1 << 8 * ring.width) - 1
    yield from (("0", 0, "range"), ("N^(s+1)", cipher, "range"), ("one above", cipher + 1, "range"))
    yield from (("all ones", top, "range"), ("N", n, "gcd"), ("p", p, "gcd"), ("q", q, "gcd"), ("p²", p * p, "gcd"))
    yield from (("p + N", p + n, "gcd"), ("-N", cipher - n, "gcd"), ("q(N - 1)", q * (n - 1), "gcd"))


def _multiply(ring: Ring, *uploads: bytes) -> list[mpz]:
    product = Product(ring, len(WORDS))
    for upload in uploads:
        product.multiply(upload)
    return product.close()


def ciphertexts() -> Iterator[Malformed]:
    """Yield uploads at the product of the aggregator and the trustees, and plaintexts."""
    for s in (1, 2):
        ring, good, _ = vector(s)
        for position in range(len(WORDS)):
            for name, number, reason in _numbers(ring):
                start, raw = position * ring.width, number.to_bytes(ring.width, "big")
                upload = good[:start] + raw + good[start + ring.width :]
                offer = partial(_multiply, ring, good, upload)
                yield Malformed("ciphertexts", f"s = {s}: {name} at {position}", offer, f"paillier.{reason}")
        one = good[: ring.width]
        for name, data in (
            ("empty", b""), ("a byte less", good[:-1]), ("a byte more", good + b"\0"), ("half", good[: len(good) // 2]),
            ("a ciphertext less", good[ring.width :]), ("a ciphertext more", good + one),
        ):  # fmt: skip
            yield Malformed("ciphertexts", f"s = {s}: {name}", partial(_multiply, ring, data), "paillier.length")
        yield Malformed("ciphertexts", f"s = {s}: nothing", partial(_multiply, ring), "paillier.empty")
        yield from _plaintexts(ring)


def _plaintexts(ring: Ring) -> Iterator[Malformed]:
    plain, limit = ring.write_plain(WORDS), ring.plain.to_bytes(ring.plain_width, "big")
    for name, data, reason in (
        ("a byte less", plain[:-1], "length"), ("a byte more", plain + b"\0", "length"), ("N^s", limit, "range"),
        ("N^s behind", plain + limit, "range"), ("all ones", b"\xff" * ring.plain_width, "range"),
    ):  # fmt: skip
        yield Malformed("plaintexts", f"s = {ring.s}: {name}", partial(ring.read_plain, data), f"paillier.{reason}")


def knowledge() -> Iterator[Malformed]:
    """Yield proofs of knowledge of plaintext, and honest ones under another name."""
    ring, upload, exponents = vector()
    proof = prove_knowledge(ring, FIELD, "ana", upload, WORDS, exponents, seeded("knowledge"))

    def case(
        name: str, given: KnowledgeProof = proof, data: bytes = upload, sender: str = "ana", manifest: bytes = FIELD,
        ring: Ring = ring, reason: str = "knowledge",
    ) -> Malformed:  # fmt: skip
        offer = partial(verify_knowledge, ring, manifest, sender, data, given)
        return Malformed("knowledge", name, offer, f"paillier.{reason}")

    for field in ("challenge", "message", "root"):
        for name, data in bent(getattr(proof, field)):
            yield case(f"{field}: {name}", replace(proof, **{field: data}))
    rest = upload[ring.width :]
    yield case("another sender", sender="ben")
    yield case("another manifest", manifest=b"\1" * 32)
    yield case("another s", ring=Ring(small().public, 2), data=upload[: 2 * ring.width], reason="length")
    yield case("another key", ring=Ring(small(seed="another").public), data=rest)
    yield case("no upload", data=b"")
    yield case("a ciphertext less", data=rest)
    yield case("ciphertexts in another order", data=rest + upload[: ring.width])
    for name, number, reason in _numbers(ring):
        yield case(f"{name} in it", data=number.to_bytes(ring.width, "big") + rest, reason=reason)


def decryptions() -> Iterator[Malformed]:
    """Yield a single holder's answers."""
    key, (ring, upload, _) = small(), vector()
    given = ring.read(upload)
    proof = prove_decryption(key, ring, FIELD, FIELD, given, WORDS, seeded("decryption"))

    def case(
        name: str, words: list[mpz] = WORDS, data: bytes = proof, manifest: bytes = FIELD, u: bytes = FIELD,
        values: list[mpz] = given, reason: str = "decryption",
    ) -> Malformed:  # fmt: skip
        offer = partial(verify_decryption, ring, manifest, u, values, words, data)
        return Malformed("decryption", name, offer, f"paillier.{reason}")

    for name, data in bent(proof):
        yield case(f"proof: {name}", data=data)
    for at in range(len(WORDS)):
        for name, word in (("one more", WORDS[at] + 1), ("N", ring.n), ("negative", mpz(-1)), ("N - 1", ring.n - 1)):
            yield case(f"word {at}: {name}", [*WORDS[:at], word, *WORDS[at + 1 :]])
    yield case("a word less", WORDS[1:])
    yield case("no words", [])
    yield case("words in another order", WORDS[::-1])
    yield case("another manifest", manifest=b"\1" * 32)
    yield case("another set", u=b"\1" * 32)
    yield case("ciphertexts in another order", values=given[::-1])
    yield case("a factor among the ciphertexts", values=[small().primes[0], *given[1:]], reason="gcd")


@lru_cache
def shared() -> tuple[ThresholdKey, list[Share], list[mpz]]:
    """Return a key that two of three open, their shares, and products under it."""
    key, shares = dealt(3, 2)
    ring = Ring(key.public)
    return key, shares, encrypt(ring, WORDS, obfuscate(Table.build(ring, 2**18), len(WORDS), seeded("shared")))


def partials() -> Iterator[Malformed]:
    """Yield trustees' partial decryptions."""
    key, shares, products = shared()
    ring, opening = Ring(key.public), Opening(FIELD, ("north", "south"))
    good = decrypt_partially(key, shares[0], opening, products, seeded("partial"))

    def case(
        name: str, answer: Partial = good, reason: str = "partial", who: str = "ana", of: Opening = opening,
        values: list[mpz] = products,
    ) -> Malformed:  # fmt: skip
        return Malformed("partial", name, partial(verify_partial, key, who, of, values, answer), f"paillier.{reason}")

    for field in ("challenge", "response"):
        for name, data in bent(getattr(good, field)):
            yield case(f"{field}: {name}", replace(good, **{field: data}))
    for name, data in (("empty", b""), ("a byte less", good.values[:-1]), ("one less", good.values[ring.width :])):
        yield case(f"values: {name}", replace(good, values=data))
    for at in range(len(WORDS)):
        for name, number, reason in (*_values(ring), ("1", 1, "partial"), ("2", 2, "partial")):
            start, raw = at * ring.width, number.to_bytes(ring.width, "big")
            data = good.values[:start] + raw + good.values[start + ring.width :]
            yield case(f"value {at}: {name}", replace(good, values=data), reason)
    yield case("another trustee's", who="ben")
    yield case("a stranger's", who="eve", reason="trustee")
    yield case("of another set", of=replace(opening, contributors=("north",)))
    yield case("of another manifest", of=replace(opening, manifest=b"\1" * 32))
    yield case("of another product", values=products[::-1])
    yield case("of nothing", values=[])


def _values(ring: Ring) -> tuple[tuple[str, int, str], ...]:
    top = (1 << 8 * ring.width) - 1
    return (("0", 0, "range"), ("N²", int(ring.cipher), "range"), ("all ones", top, "range"), ("N", int(ring.n), "gcd"))


def slots() -> Iterator[Malformed]:
    """Yield decrypted words that no honest members' values add up to."""
    layout = WordLayout(100, 6, 4, 20)  # slots of 8 bits, 12 in a word
    good = [mpz(0), mpz(0)]
    for contributors in (-1, 0, 5, 100):
        offer = partial(layout.unpack, good, contributors)
        yield Malformed("slots", f"{contributors} summands", offer, "paillier.summands")
    for at in range(12):
        offer = partial(layout.unpack, [mpz(4 * 63 + 1) << (8 * at), mpz(0)], 4)
        yield Malformed("slots", f"slot {at} above its bound", offer, "paillier.slots")
    for name, words in (("above the last slot", [mpz(1) << 96, mpz(0)]), ("behind the last", [mpz(0), mpz(1) << 64])):
        yield Malformed("slots", f"a bit {name}", partial(layout.unpack, words, 4), "paillier.slots")
    for name, words in (("a word less", good[1:]), ("a word more", [*good, mpz(0)]), ("no words", [])):
        yield Malformed("slots", name, partial(layout.unpack, words, 4), "E-INPUT", "words")


def numbers() -> list[Malformed]:
    """Return the corpus of ciphertexts, proofs and sums."""
    return [case for maker in (ciphertexts, knowledge, decryptions, partials, slots) for case in maker()]
