"""The aggregator's log statements about a round of engine `paillier`, where they differ from those of engine `masks`.

Rules: the frozen set has one list, U, which stands where masks have U3; there is no U1 and no U2. Answers are the
trustees'. Leaves to others: signing and appending (the shell), judging (secagg.auditor).
"""

from collections.abc import Sequence

from secagg.crypto.derive import sha256
from secagg.log.statements import AnswerDigest, Equivocation, Opening
from secagg.protocol.paillier.rounds import Given
from secagg.protocol.round.stating import where
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, Signed


def opening(
    scope: Scope, answers: Sequence[Given], agreements: tuple[Signed, ...], witnesses: bytes, now: int
) -> Opening:
    """State which trustees' signed answers opened the round."""
    return Opening(
        **where(scope, now), manifest=scope.manifest.hex(),
        answers=tuple(AnswerDigest(entry.trustee, entry.digest.hex()) for entry in answers),
        signatures=sha256(encode(agreements)).hex(), witnesses=sha256(witnesses).hex(),
    )  # fmt: skip


def equivocation(scope: Scope, trustee: str, digests: tuple[bytes, bytes], now: int) -> Equivocation:
    """State that a trustee signed two different answers; both are side files."""
    found = tuple(digest.hex() for digest in digests)
    return Equivocation(**where(scope, now), member=trustee, digests=found)
