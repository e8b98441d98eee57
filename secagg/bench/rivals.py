"""What others' homomorphic encryption costs on the same numbers in the same run: pypaillier, TenSEAL's BFV and CKKS.

Rules: every package is optional, and one that is not installed is said to be missing, never left out in silence. Only
public calls, as the package's own pages show them. CPU time. From codes to the bytes that would travel, from bytes to
the running sum, from the sum to numbers. `exact` says whether the sum of two vectors is the integer sum; CKKS rounds.
Leaves to others: `phe`, which ours shares a key with (paillier.py).
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Codes = npt.NDArray[np.uint64]
T = TypeVar("T")

_SLOTS = 4096
_BFV_PLAIN = 786_433
"""The smallest prime that is 1 modulo 2 · 4096 and holds the sum of ten 16-bit codes."""

_NUMBERS = 64


class Rival(Struct, frozen=True):
    """Microseconds of CPU per parameter (adding: and node), and bytes; zeros and a note where not measured."""

    name: str
    encrypt_us: float = 0.0
    add_us: float = 0.0
    decrypt_us: float = 0.0
    bytes_per_param: float = 0.0
    exact: bool = False
    note: str = ""


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the microseconds of CPU time that work takes, and its result."""
    began = time.process_time()
    result = work()
    return (time.process_time() - began) * 1e6, result


def rivals(codes: Codes, key_bits: int, summand_bits: int) -> tuple[Rival, ...]:
    """Measure everybody installed on `codes` (1-D, below 2^16); slots packed by hand have `summand_bits` bits."""
    few, found = codes[:_NUMBERS], []
    measures: dict[str, Callable[[str], Rival]] = {
        "pypaillier": lambda name: _pypaillier(name, few, key_bits, summand_bits, 1),
        "pypaillier, packed": lambda name: _pypaillier(name, codes, key_bits, summand_bits, 0),
        "TenSEAL BFV": lambda name: _tenseal(name, codes),
        "TenSEAL CKKS": lambda name: _tenseal(name, codes),
    }
    for name, measure in measures.items():
        try:
            found.append(measure(name))
        except ModuleNotFoundError as missing:
            found.append(Rival(name, note=f"{missing.name} is not installed"))
    return tuple(found)


def _pypaillier(name: str, codes: Codes, key_bits: int, slot_bits: int, per_word: int) -> Rival:
    """`per_word` 1 is one number in a ciphertext, 0 as many as fit, packed by hand."""
    import paillier  # noqa: PLC0415 - optional

    public, secret = _pypaillier_key(key_bits)
    slots = per_word or (int(public.plaintext_bound_bits) - 1) // slot_bits
    codes = codes[: _NUMBERS * slots]
    numbers = [int(code) for code in codes]
    starts = range(0, len(numbers), slots)
    words = [sum(code << (slot_bits * at) for at, code in enumerate(numbers[i : i + slots])) for i in starts]
    encrypting, blobs = timed(lambda: [bytes(blob) for blob in paillier.encrypt_integers(public, words)])
    adding, sums = timed(lambda: [bytes(paillier.add_many(public, [blob, blob])) for blob in blobs])
    decrypting, opened = timed(lambda: paillier.decrypt_exact_many(secret, sums))
    return Rival(
        name, encrypting / len(codes), adding / len(codes), decrypting / len(codes),
        sum(map(len, blobs)) / len(codes), [int(value) for value, _ in opened] == [2 * word for word in words],
    )  # fmt: skip


_KEYS: dict[int, Any] = {}


def _pypaillier_key(key_bits: int) -> Any:
    """Return a key pair, made once: its safe primes take seconds."""
    import paillier  # noqa: PLC0415 - optional

    if key_bits not in _KEYS:
        _KEYS[key_bits] = paillier.generate_keypair(key_bits)
    return _KEYS[key_bits]


def _tenseal(name: str, codes: Codes) -> Rival:
    """BFV with the smallest ring that holds the sums; CKKS with the parameters of the package's tutorial."""
    import tenseal  # noqa: PLC0415 - optional

    if name.endswith("BFV"):
        context = tenseal.context(tenseal.SCHEME_TYPE.BFV, poly_modulus_degree=_SLOTS, plain_modulus=_BFV_PLAIN)
        make, load = tenseal.bfv_vector, tenseal.bfv_vector_from
    else:
        context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, poly_modulus_degree=2 * _SLOTS, coeff_mod_bit_sizes=[60, 40, 40, 60]
        )
        context.global_scale = 2**40
        make, load = tenseal.ckks_vector, tenseal.ckks_vector_from
    parts = [codes[start : start + _SLOTS].tolist() for start in range(0, len(codes), _SLOTS)]
    encrypting, blobs = timed(lambda: [make(context, part).serialize() for part in parts])
    running = [load(context, blob) for blob in blobs]
    adding, sums = timed(lambda: [one + load(context, blob) for one, blob in zip(running, blobs, strict=True)])
    decrypting, opened = timed(lambda: [value for one in sums for value in one.decrypt()])
    note = "" if name.endswith("BFV") else "approximate: sums are rounded, not exact"
    return Rival(
        name, encrypting / len(codes), adding / len(codes), decrypting / len(codes),
        sum(map(len, blobs)) / len(codes), opened == (2 * codes).tolist(), note,
    )  # fmt: skip
