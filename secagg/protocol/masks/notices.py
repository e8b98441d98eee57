"""The aggregator's log statements about a round of engine `masks`.

Rules (audit-log format): digests name side files by SHA-256; nothing guessable stands without a salt; no plaintext.
Leaves to others: signing and appending (the shell), judging (secagg.auditor).
"""

from collections.abc import Iterable
from typing import TypedDict

from secagg.crypto.derive import sha256
from secagg.log.statements import (
    INLINE,
    Aborted,
    AnswerDigest,
    Contributor,
    Contributors,
    DropOut,
    Fault,
    ManifestLogged,
    Opening,
    Report,
    Result,
)
from secagg.protocol.manifest import Published
from secagg.protocol.masks.messages import MaskedInput
from secagg.protocol.masks.rounds import Charge, Freezing, Out, Unmasking
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed


class Where(TypedDict):
    """The fields that name a round in every statement."""

    federation: str
    job: str
    round: int
    attempt: int
    group: int
    time: int


def where(scope: Scope, now: int) -> Where:
    """Return the round's fields and the time for a statement."""
    r = scope.round
    return Where(federation=r.federation, job=r.job, round=r.round, attempt=r.attempt, group=r.group, time=now)


def manifest_logged(scope: Scope, signed: Signed, roster_version: int, now: int) -> ManifestLogged:
    """State that this manifest is proposed."""
    return ManifestLogged(
        **where(scope, now), manifest=scope.manifest.hex(), signed=sha256(encode(signed)).hex(),
        roster_version=roster_version,
    )  # fmt: skip


def drop_out(scope: Scope, out: Out, now: int) -> DropOut:
    """State that a member dropped, in which step and why."""
    return DropOut(**where(scope, now), member=out.member, step=out.step, reason=out.reason)


def fault(scope: Scope, charge: Charge, now: int) -> Fault:
    """State that a member's fault is proven, and by which side file."""
    return Fault(
        **where(scope, now), manifest=scope.manifest.hex(), member=charge.member, kind=charge.kind,
        evidence=sha256(charge.proof).hex(),
    )  # fmt: skip


def reports(pairs: Iterable[tuple[str, str]]) -> tuple[Report, ...]:
    """Return reports as the log holds them."""
    return tuple(Report(dealer, reporter) for dealer, reporter in pairs)


def aborted(
    scope: Scope, step: str, reason: str, out: tuple[Out, ...], now: int,
    reports: tuple[Report, ...] = (),
) -> Aborted:  # fmt: skip
    """State that the round ended without a result, who was missing, and who reported whose share as none."""
    long = len(reports) > INLINE
    return Aborted(
        **where(scope, now), manifest=scope.manifest.hex(), step=step, reason=reason,
        missing=tuple(entry.member for entry in out),
        reports=() if long else reports, listed=sha256(encode(reports)).hex() if long else "",
    )  # fmt: skip


def contributors(phase: Freezing, now: int) -> Contributors:
    """State the frozen contributor set with a digest per header and upload."""
    found = contributor_list(phase)
    long = len(found) > INLINE
    return Contributors(
        **where(phase.scope, now),
        manifest=phase.scope.manifest.hex(),
        u1=sha256(phase.u1).hex(),
        u2=sha256(phase.u2).hex(),
        u3=sha256(phase.u3).hex(),
        members=() if long else found,
        listed=sha256(encode(found)).hex() if long else "",
        drawn=sha256(phase.drawn).hex() if phase.drawn else "",
    )


def contributor_list(phase: Freezing) -> tuple[Contributor, ...]:
    """Return the frozen set with a digest per header and the root of each upload."""
    headers = decode(tuple[Signed, ...], phase.u3, LIMIT_LIST)
    return tuple(
        Contributor(entry.sender, sha256(encode(entry)).hex(), decode(MaskedInput, entry.body).upload.hex())
        for entry in headers
    )


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


def result(scope: Scope, published: Published, hmac: bytes, now: int) -> Result:
    """State the result under its salted digest."""
    return Result(
        **where(scope, now), manifest=scope.manifest.hex(), contributors=published.contributors, result=hmac.hex(),
        model="",
    )  # fmt: skip
