"""What engine `paillier`'s cryptography costs, beside `phe` used naively and packed by hand, under the same key.

Rules (protocol §8): CPU time of one thread, microseconds per parameter (`_us`), all in one run so that the ratios
(`_x`) hold on any machine. Encryption: from offset codes to the bytes of an upload. Online: the same with obfuscators
from a full pool on disk. Adding: from the bytes of an upload to the running product, range checks included; verifying
its proof of knowledge is a figure of its own. Decryption: from the product to the sums, in constant time (`phe` does
not take care of that). `exact` compares with the integer sum of the codes.
Leaves to others: rounds with messages and processes (the engine), printing (command), judging.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from secagg.bench.exponents import Powers, Timing, powers, timing
from secagg.bench.pool import Pool
from secagg.bench.rivals import Rival, rivals, timed
from secagg.crypto.paillier.decryption import prove_decryption, verify_decryption
from secagg.crypto.paillier.encrypt import encrypt, obfuscate
from secagg.crypto.paillier.keys import Profile
from secagg.crypto.paillier.knowledge import prove_knowledge, verify_knowledge
from secagg.crypto.paillier.oracle import Oracle
from secagg.crypto.paillier.packing import WordLayout
from secagg.crypto.paillier.partial import Opening, combine, decrypt_partially, verify_partial
from secagg.crypto.paillier.private import PrivateKey, generate
from secagg.crypto.paillier.product import Product
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table, memory
from secagg.crypto.paillier.threshold import deal
from secagg.crypto.rng import Rng

Codes = npt.NDArray[np.uint64]
_T = TypeVar("_T")

_MANIFEST = bytes(32)
_NUMBERS = 8
"""Numbers that `phe` is timed on: one takes as long as any other."""
_ADDITIONS = 200
_THREADED = 512
"""Obfuscators that two threads are timed on."""

_TURNS = 9
"""Times that one thread and two are timed, in turn; the least of each counts."""
_16_BITS = np.uint64(0xFFFF)
_PARTIALS = 24
"""Ciphertexts that threshold decryption is timed on, and on a quarter of them: the difference is what each costs."""


class Case(Struct, frozen=True):
    """One measured case."""

    nodes: int
    params: int
    bits: int
    key_bits: int
    profile: Profile
    s: int


class Costs(Struct, frozen=True):
    """Microseconds per parameter (adding and proofs of knowledge: and node), and bytes."""

    encrypt_us: float
    add_us: float
    decrypt_us: float
    bytes_per_param: float


class Ours(Costs, frozen=True):
    """What ours costs besides."""

    online_us: float
    knowledge_prove_us: float
    knowledge_verify_us: float
    decryption_prove_part: float
    """Of the time that decryption takes; the same for verifying."""
    decryption_verify_part: float
    decryption_proof_bytes: int
    table_window: int
    table_mib: float
    table_seconds: float
    two_threads_x: float
    exact: bool


class Shared(Struct, frozen=True):
    """Threshold decryption, 2 of 3, per trustee; `_ms` is what a vector costs besides, whatever its length."""

    partial_us: float
    partial_ms: float
    verify_us: float
    verify_ms: float
    combine_us: float
    exact: bool


class Figures(Struct, frozen=True):
    """A case's costs and their ratios to `phe`."""

    engine: str
    case: Case
    naive: Costs
    packed: Costs
    others: tuple[Rival, ...]
    ours: Ours
    threshold: Shared | None
    timing: Timing
    powers: Powers
    encrypt_x: float
    online_x: float
    add_x: float
    decrypt_x: float
    bytes_x: float
    packed_encrypt_x: float
    packed_decrypt_x: float
    exact: bool


def measure(case: Case, rng: Rng, *, weak: bool = False) -> Figures:
    """Make a key, run the case and return what it cost; `weak` keys are for tests.

    Raises: ValueError when the slots fit no word.
    """
    key = generate(case.profile, case.key_bits, rng, weak=weak)
    layout = WordLayout(Ring(key.public, case.s).capacity, case.bits, case.nodes, case.params)
    naive, packed = phe_costs(case, key, rng)
    ours = _ours(case, key, layout, rng)
    shared = _threshold(case, rng, weak=weak) if case.profile == "provable" and case.s == 1 else None
    return Figures(
        engine="paillier", case=case, naive=naive, packed=packed, ours=ours, threshold=shared,
        others=() if weak else rivals(_codes(case, case.params, rng) & _16_BITS, case.key_bits, layout.slot_bits),
        timing=timing(key, rng), powers=powers(key, case.s, naive.decrypt_us, layout.per_word, rng),
        encrypt_x=naive.encrypt_us / ours.encrypt_us, online_x=naive.encrypt_us / ours.online_us,
        add_x=naive.add_us / ours.add_us, decrypt_x=naive.decrypt_us / ours.decrypt_us,
        bytes_x=naive.bytes_per_param / ours.bytes_per_param,
        packed_encrypt_x=packed.encrypt_us / ours.encrypt_us, packed_decrypt_x=packed.decrypt_us / ours.decrypt_us,
        exact=ours.exact and (shared is None or shared.exact),
    )  # fmt: skip


def _codes(case: Case, count: int, rng: Rng) -> Codes:
    raw: Codes = np.frombuffer(rng(8 * count), dtype=np.uint64)
    return raw >> np.uint64(64 - case.bits)


def phe_costs(case: Case, key: PrivateKey, rng: Rng) -> tuple[Costs, Costs]:
    """Return what `phe` costs with one number in a ciphertext, and with as many as fit."""
    oracle, width = Oracle(key), 2 * case.key_bits // 8
    single = _timed_phe(oracle, [int(code) for code in _codes(case, _NUMBERS, rng)], width)
    per_word = WordLayout(case.key_bits - 3, case.bits, case.nodes, 1).per_word
    layout = WordLayout(case.key_bits - 3, case.bits, case.nodes, _NUMBERS * per_word)
    words = _timed_phe(oracle, [int(word) for word in layout.pack(_codes(case, layout.count, rng))], width)
    each = (words.encrypt_us, words.add_us, words.decrypt_us, words.bytes_per_param)
    return single, Costs(*(cost / per_word for cost in each))


def _timed_phe(oracle: Oracle, numbers: list[int], width: int) -> Costs:
    encrypting, encrypted = timed(lambda: oracle.encrypt(numbers))
    many = (encrypted * _ADDITIONS)[:_ADDITIONS]
    adding, _ = timed(lambda: oracle.add(many, many))
    decrypting, found = timed(lambda: oracle.decrypt(encrypted))
    if found != numbers:
        raise ValueError("phe does not agree with itself")
    return Costs(encrypting / len(numbers), adding / len(many), decrypting / len(numbers), width)


class _Sender:
    """A member that encrypts vectors under one table."""

    def __init__(self, ring: Ring, layout: WordLayout, rng: Rng) -> None:
        self.ring, self.layout, self.rng = ring, layout, rng
        self.table_us, self.table = timed(lambda: Table.build(ring))

    def encrypt(self, codes: Codes) -> bytes:
        """Return an upload."""
        words = self.layout.pack(codes)
        return self.ring.write(encrypt(self.ring, words, obfuscate(self.table, len(words), self.rng)))

    def online(self, codes: Codes, pool: Pool) -> bytes:
        """Return an upload made with obfuscators from the pool."""
        words = self.layout.pack(codes)
        return self.ring.write(encrypt(self.ring, words, pool.take(len(words))))


def _ours(case: Case, key: PrivateKey, layout: WordLayout, rng: Rng) -> Ours:
    ring = Ring(key.public, case.s)
    sender = _Sender(ring, layout, rng)
    product, expected = Product(ring, layout.words), np.zeros(case.params, dtype=np.uint64)
    encrypting, adding = [], []
    for _ in range(case.nodes):
        codes = _codes(case, case.params, rng)
        expected += codes
        took, upload = timed(lambda codes=codes: sender.encrypt(codes))  # type: ignore[misc]
        encrypting.append(took)
        adding.append(timed(lambda upload=upload: product.multiply(upload))[0])  # type: ignore[misc]
    total = product.close()
    decrypting, words = _best(lambda: key.decrypt(ring, total, rng))
    proving, proof = _best(lambda: prove_decryption(key, ring, _MANIFEST, _MANIFEST, total, words, rng))
    verifying, _ = _best(lambda: verify_decryption(ring, _MANIFEST, _MANIFEST, total, words, proof), 5)
    unpacking, sums = timed(lambda: layout.unpack(words, case.nodes))
    known = _knowledge(sender, _codes(case, case.params, rng))
    return Ours(
        encrypt_us=min(encrypting) / case.params, add_us=sum(adding[1:]) / len(adding[1:]) / case.params,
        decrypt_us=(decrypting + unpacking) / case.params, bytes_per_param=layout.words * ring.width / case.params,
        online_us=_online(sender, _codes(case, case.params, rng)) / case.params,
        knowledge_prove_us=known[0] / case.params, knowledge_verify_us=known[1] / case.params,
        decryption_prove_part=proving / decrypting, decryption_verify_part=verifying / decrypting,
        decryption_proof_bytes=len(proof), table_window=sender.table.window,
        table_mib=memory(ring, sender.table.window) / 2**20, table_seconds=sender.table_us / 1e6,
        two_threads_x=_two_threads(sender), exact=bool((sums == expected).all()),
    )  # fmt: skip


def _best(work: Callable[[], _T], turns: int = 2) -> tuple[float, _T]:
    """Return the least of some times, and the result."""
    return min((timed(work) for _ in range(turns)), key=lambda run: run[0])


def _knowledge(sender: _Sender, codes: Codes) -> tuple[float, float]:
    ring, words = sender.ring, sender.layout.pack(codes)
    obfuscators = obfuscate(sender.table, len(words), sender.rng)
    upload = ring.write(encrypt(ring, words, obfuscators))
    proving, proof = timed(
        lambda: prove_knowledge(ring, _MANIFEST, "node", upload, words, obfuscators.exponents, sender.rng)
    )
    return proving, timed(lambda: verify_knowledge(ring, _MANIFEST, "node", upload, proof))[0]


def _online(sender: _Sender, codes: Codes) -> float:
    with tempfile.TemporaryDirectory() as folder, Pool(Path(folder) / "pool", sender.ring, 0) as pool:
        for start in range(0, sender.layout.words, 256):
            pool.put(obfuscate(sender.table, min(256, sender.layout.words - start), sender.rng))
        return timed(lambda: sender.online(codes, pool))[0]


def _two_threads(sender: _Sender) -> float:
    """Return how many times faster two threads make obfuscators, by wall time."""
    seconds: tuple[list[float], list[float]] = ([], [])
    with ThreadPoolExecutor(2) as executor:
        for _ in range(_TURNS):
            for took, helper in zip(seconds, (None, executor), strict=True):
                began = time.perf_counter()
                obfuscate(sender.table, _THREADED, sender.rng, helper)
                took.append(time.perf_counter() - began)
    return min(seconds[0]) / min(seconds[1])


def _threshold(case: Case, rng: Rng, *, weak: bool) -> Shared:
    """Deal 2 of 3 and decrypt a few words."""
    names, opening = ("one", "two", "three"), Opening(_MANIFEST, ("node",))
    key, shares = deal(case.key_bits, names, 2, rng, weak=weak)
    ring = Ring(key.public)
    per_word = WordLayout(ring.capacity, case.bits, case.nodes, 1).per_word
    layout = WordLayout(ring.capacity, case.bits, case.nodes, _PARTIALS * per_word)
    words = layout.pack(_codes(case, layout.count, rng))
    products = encrypt(ring, words, obfuscate(Table.build(ring, 2**24), len(words), rng))

    def answer(count: int) -> tuple[float, float, float, bool]:
        part = products[:count]
        deciding, answers = timed(lambda: [decrypt_partially(key, one, opening, part, rng) for one in shares[:2]])
        pairs = list(zip(names[:2], answers, strict=True))
        verifying, partials = timed(lambda: [verify_partial(key, name, opening, part, one) for name, one in pairs])
        combining, found = timed(lambda: combine(key, {1: partials[0], 2: partials[1]}))
        return deciding / 2, verifying / 2, combining, found == words[:count]

    few, many = answer(_PARTIALS // 4), answer(_PARTIALS)
    each = [(large - small) / (_PARTIALS - _PARTIALS // 4) for small, large in zip(few[:2], many[:2], strict=True)]
    return Shared(
        partial_us=each[0] / per_word, partial_ms=(many[0] - _PARTIALS * each[0]) / 1e3,
        verify_us=each[1] / per_word, verify_ms=(many[1] - _PARTIALS * each[1]) / 1e3,
        combine_us=many[2] / layout.count, exact=few[3] and many[3],
    )  # fmt: skip
