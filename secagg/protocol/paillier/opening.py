"""Answers of trustees to the clear sum: t proven partial decryptions, or a single holder's proven plaintexts.

Rules (protocol §5): every answer is verified against the product that the opener made itself. A wrong one names its
trustee, and any t right ones open the round. The same function serves the aggregator and the auditor.
Leaves to others: whose uploads were multiplied (decrypting.Collector), signatures of answers (intake.py, verify.py).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from secagg.crypto.paillier.decryption import verify_decryption
from secagg.crypto.paillier.numbers import Numbers
from secagg.crypto.paillier.partial import Opening, combine, verify_partial
from secagg.errors import ProtocolViolation, WireError
from secagg.ids import NO_DIGEST
from secagg.protocol.custody import custody_of
from secagg.protocol.lanes import Groups
from secagg.protocol.manifest import Manifest
from secagg.protocol.paillier.door import threshold_key
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import Answer, Piece
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed

WHOLE = 2**40
"""Limit of an answer that is put together: each piece had its own."""


@dataclass(frozen=True)
class Opened:
    """The clear summed words per lane group, the trustees whose answers gave them, and those whose answers were wrong.

    Without enough right answers there are no words, and nobody was used.
    """

    groups: Groups
    used: tuple[str, ...]
    wrong: tuple[str, ...]


def read_answer(pieces: Sequence[bytes]) -> Answer:
    """Return the answer whose signed pieces, in order, are `pieces`; one that is none is wrong, and is not an error."""
    try:
        found = [decode(Piece, decode(Signed, data, LIMIT_BULK).body, LIMIT_BULK) for data in pieces]
        if [(piece.index, piece.count) for piece in found] != [(index, len(found)) for index in range(len(found))]:
            raise WireError("The pieces of an answer are not those of one.", "Ask for all of them.")
        return decode(Answer, b"".join(piece.data for piece in found), WHOLE)
    except WireError:
        return Answer(NO_DIGEST)


def open_sum(
    manifest: Manifest, scope: Scope, names: tuple[str, ...], u: bytes, products: Numbers,
    answers: Mapping[str, Answer], executor: Executor | None = None,
) -> Opened:  # fmt: skip
    """Open the product of the uploads of `names`; `u` is H(U), `answers` the trustees' by name.

    Raises: ProtocolViolation when the decrypted sum is not one of that many honest members' (paillier.slots).
    """
    layout = Layout(manifest)
    if len(custody_of(manifest).trustees) == 1:
        words, used, wrong = _alone(layout, scope, u, products, answers, executor)
    else:
        words, used, wrong = _together(manifest, scope, names, u, products, answers, executor)
    return Opened(layout.unpack(words, len(names)) if used else {}, used, wrong)


def _together(
    manifest: Manifest, scope: Scope, names: tuple[str, ...], u: bytes, products: Numbers,
    answers: Mapping[str, Answer], executor: Executor | None,
) -> tuple[Numbers, tuple[str, ...], tuple[str, ...]]:  # fmt: skip
    key, opening = threshold_key(custody_of(manifest)), Opening(scope.manifest, names)
    right: dict[str, Numbers] = {}
    wrong = []
    for trustee, given in answers.items():
        if len(right) == key.threshold:
            break
        try:
            if given.u != u or given.partial is None:
                raise ProtocolViolation(f"{trustee} answered something else.", "Ask another.", rule="answer.kind")
            right[trustee] = verify_partial(key, trustee, opening, products, given.partial, executor)
        except ProtocolViolation:
            wrong.append(trustee)
    if len(right) < key.threshold:
        return [], (), tuple(wrong)
    words = combine(key, {key.index(trustee): found for trustee, found in right.items()}, executor)
    return words, tuple(right), tuple(wrong)


def _alone(
    layout: Layout, scope: Scope, u: bytes, products: Numbers, answers: Mapping[str, Answer],
    executor: Executor | None,
) -> tuple[Numbers, tuple[str, ...], tuple[str, ...]]:  # fmt: skip
    for trustee, given in answers.items():
        try:
            if given.u != u or given.plain is None:
                raise ProtocolViolation(f"{trustee} answered something else.", "Ask again.", rule="answer.kind")
            words = layout.ring.read_plain(given.plain.words)
            verify_decryption(layout.ring, scope.manifest, u, products, words, given.plain.proof, executor)
        except ProtocolViolation:
            return [], (), (trustee,)
        return words, (trustee,), ()
    return [], (), ()
