"""The aggregator's log statements about a round of engine `masks`.

Rules (audit-log format): digests name side files by SHA-256; nothing guessable stands without a salt; no plaintext.
Leaves to others: signing and appending (the shell), judging (secagg.auditor).
"""


from secagg.crypto.derive import sha256
from secagg.log.statements import (
    INLINE,
    AnswerDigest,
    Contributors,
    Fault,
    Opening,
)
from secagg.protocol.masks.rounds import Charge, Freezing, Unmasking
from secagg.protocol.round import stating
from secagg.protocol.round.stating import where
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, Signed


def fault(scope: Scope, charge: Charge, now: int) -> Fault:
    """State that a member's fault is proven, and by which side file."""
    return Fault(
        **where(scope, now), manifest=scope.manifest.hex(), member=charge.member, kind=charge.kind,
        evidence=sha256(charge.proof).hex(),
    )  # fmt: skip


def contributors(phase: Freezing, now: int) -> Contributors:
    """State the frozen contributor set with a digest per header and upload."""
    found = stating.contributor_list(phase.u3)
    return stating.contributors(phase.scope, found, now, u1=phase.u1, u2=phase.u2, u3=phase.u3, drawn=phase.drawn)


def answer_list(phase: Unmasking) -> tuple[AnswerDigest, ...]:
    """Return the digests of the answers that open a round."""
    return tuple(AnswerDigest(entry.sender, sha256(encode(entry)).hex()) for entry in phase.answers)


def opening(phase: Unmasking, agreements: tuple[Signed, ...], witnesses: bytes, now: int) -> Opening:
    """State which signed answers opened the round."""
    found = answer_list(phase)
    long = len(found) > INLINE
    return Opening(
        **where(phase.scope, now),
        manifest=phase.scope.manifest.hex(),
        answers=() if long else found,
        listed=sha256(encode(found)).hex() if long else "",
        signatures=sha256(encode(agreements)).hex(),
        witnesses=sha256(witnesses).hex(),
    )
