"""The aggregator's log statements about a round of engine `paillier`, where they differ from those of engine `masks`.

Rules: the frozen set has one list, U, which stands where masks have U3; there is no U1 and no U2. Answers are the
trustees'. Leaves to others: signing and appending (the shell), judging (secagg.auditor).
"""

from collections.abc import Sequence

from secagg.crypto.derive import sha256
from secagg.log.statements import INLINE, AnswerDigest, Contributor, Contributors, Equivocation, Opening
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.protocol.paillier.rounds import Given
from secagg.protocol.round.stating import where
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed


def contributor_list(u: bytes) -> tuple[Contributor, ...]:
    """Return the frozen set with a digest per header and upload."""
    return tuple(
        Contributor(entry.sender, sha256(encode(entry)).hex(), decode(EncryptedInput, entry.body).upload.hex())
        for entry in decode(tuple[Signed, ...], u, LIMIT_LIST)
    )


def contributors(scope: Scope, u: bytes, found: tuple[Contributor, ...], now: int) -> Contributors:
    """State the frozen contributor set."""
    long = len(found) > INLINE
    return Contributors(
        **where(scope, now), manifest=scope.manifest.hex(), u1="", u2="", u3=sha256(u).hex(),
        members=() if long else found, listed=sha256(encode(found)).hex() if long else "",
    )  # fmt: skip


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
