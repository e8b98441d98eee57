"""The key that a round encrypts to, judged before anything is encrypted to it.

Rules (protocol §5, attack 38): of one trustee the key is a `PublicKey` of any profile and s. Of more it is a
`ThresholdKey` of profile `provable` and s = 1 that names exactly the custody's trustees and threshold. Profile `fast`
is for one only. Length, form and statement are `keys.validate`'s. A key once found good is not checked again in this
process, because a check takes longer than a small round.
Leaves to others: who the trustees are and that they accepted the key (secagg.protocol.custody).
"""

from collections.abc import Iterable
from functools import lru_cache

from secagg.crypto.paillier import keys
from secagg.crypto.paillier.keys import PublicKey, validate
from secagg.crypto.paillier.threshold import ThresholdKey, validate_threshold
from secagg.errors import ProtocolViolation, Refused
from secagg.protocol.manifest import Custody
from secagg.wire.codec import decode


def public_key(custody: Custody) -> PublicKey:
    """Return the public key of a custody, as it is. Raises: WireError."""
    return _public(custody.key, len(custody.trustees))


def threshold_key(custody: Custody) -> ThresholdKey:
    """Return the public part of a key with shares, as it is. Raises: WireError."""
    return _threshold(custody.key)


def admit(custody: Custody, least_bits: int | None = None, earlier: Iterable[bytes] = ()) -> None:
    """Judge a custody's key, which must have at least `least_bits` bits and no factor of the moduli of `earlier` keys.

    `least_bits` is 2048 when not given, and below in tests only.

    Raises: Refused (custody.bits, custody.key, custody.profile, or a rule of `keys.validate` and
    `threshold.validate_threshold`); WireError.
    """
    public, least = public_key(custody), keys.FLOOR_BITS if least_bits is None else least_bits
    if public.bits < least:
        raise _refusal(f"A key of {public.bits} bits is refused: this institution asks for {least}.", "bits")
    if len(custody.trustees) > 1:
        _admit_shared(custody)
    others = tuple(sorted(modulus for modulus in set(earlier) if modulus != public.modulus))
    try:
        _validated(custody.key, len(custody.trustees), others, least < keys.FLOOR_BITS)
    except ProtocolViolation as error:
        raise Refused(error.cause, error.remedy, rule=error.rule) from None


def _admit_shared(custody: Custody) -> None:
    key = threshold_key(custody)
    if key.public.profile != "provable" or custody.s != 1:
        raise _refusal(
            f"A key of profile {key.public.profile} with s = {custody.s} is for one holder: trustees share only "
            "provable keys with s = 1.", "profile",
        )  # fmt: skip
    if (key.trustees, key.threshold) != (custody.names(), custody.threshold):
        raise _refusal("The key has shares for other trustees, or another threshold.", "key")


@lru_cache(maxsize=32)
def _public(key: bytes, trustees: int) -> PublicKey:
    return decode(PublicKey, key) if trustees == 1 else _threshold(key).public


@lru_cache(maxsize=32)
def _threshold(key: bytes) -> ThresholdKey:
    return decode(ThresholdKey, key)


@lru_cache(maxsize=32)
def _validated(key: bytes, trustees: int, earlier: tuple[bytes, ...], weak: bool) -> None:
    others = [int.from_bytes(modulus, "big") for modulus in earlier]
    public = _public(key, trustees)
    if trustees == 1:
        validate(public, public.bits, earlier=others, weak=weak)
    else:
        validate_threshold(_threshold(key), public.bits, earlier=others, weak=weak)


def _refusal(cause: str, rule: str) -> Refused:
    return Refused(cause, "Ask the operator for a key from the ceremony.", rule=f"custody.{rule}")
