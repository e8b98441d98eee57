"""A vector opened from trustees' answers, whoever answers wrongly: the arithmetic alone, without a round around it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from gmpy2 import mpz
from msgspec import Struct

from secagg.crypto.paillier.partial import Opening, Partial, combine, verify_partial
from secagg.crypto.paillier.threshold import ThresholdKey
from secagg.errors import ProtocolViolation, TryLater


class Opened(Struct, frozen=True):
    """The plaintexts, whose answers they were made of, and the trustees whose answers were wrong."""

    words: list[mpz]
    used: tuple[str, ...]
    wrong: tuple[str, ...]


def open_vector(
    key: ThresholdKey, opening: Opening, products: Sequence[mpz], answers: Mapping[str, Partial],
    executor: Executor | None = None,
) -> Opened:  # fmt: skip
    """Verify answers until `threshold` of them hold, and return the plaintexts and who answered wrongly.

    Raises: TryLater (E-SHARES) when fewer hold.
    """
    right: dict[str, list[mpz]] = {}
    wrong: list[str] = []
    for trustee, answer in answers.items():
        if len(right) == key.threshold:
            break
        try:
            right[trustee] = verify_partial(key, trustee, opening, products, answer, executor)
        except ProtocolViolation:
            wrong.append(trustee)
    if len(right) < key.threshold:
        raise TryLater(
            f"{len(right)} of {key.threshold} trustees answered rightly; wrong: {', '.join(wrong) or 'none'}.",
            "Wait for the others.", code="E-SHARES",
        )  # fmt: skip
    words = combine(key, {key.index(trustee): partials for trustee, partials in right.items()}, executor)
    return Opened(words, tuple(right), tuple(wrong))
