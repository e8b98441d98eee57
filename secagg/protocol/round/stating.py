"""Statements of the round log that every engine makes in the same words.

Rules (audit-log format): digests name side files by SHA-256; nothing guessable stands without a salt; no plaintext.
Leaves to others: signing and appending (the shell), judging (secagg.auditor).
"""

from collections.abc import Iterable
from typing import TypedDict

from secagg.crypto.derive import sha256
from secagg.log.statements import (
    INLINE,
    Aborted,
    Contributor,
    Contributors,
    DropOut,
    ManifestLogged,
    Report,
    Result,
)
from secagg.protocol.manifest import Published
from secagg.protocol.round.phases import Out
from secagg.protocol.session import UploadName
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


def contributor_list(listed: bytes) -> tuple[Contributor, ...]:
    """Return a frozen set, as the list of its headers has it, with a digest per header and the name of each upload."""
    return tuple(
        Contributor(entry.sender, sha256(encode(entry)).hex(), decode(UploadName, entry.body).upload.hex())
        for entry in decode(tuple[Signed, ...], listed, LIMIT_LIST)
    )


def contributors(
    scope: Scope, found: tuple[Contributor, ...], now: int, *, u1: bytes = b"", u2: bytes = b"", u3: bytes,
    drawn: bytes = b"",
) -> Contributors:  # fmt: skip
    """State the frozen contributor set by the lists that it is in; `u3` is that of the headers, others may be none."""
    long = len(found) > INLINE
    return Contributors(
        **where(scope, now), manifest=scope.manifest.hex(), u1=_named(u1), u2=_named(u2), u3=_named(u3),
        members=() if long else found, listed=sha256(encode(found)).hex() if long else "", drawn=_named(drawn),
    )  # fmt: skip


def _named(data: bytes) -> str:
    return sha256(data).hex() if data else ""


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


def result(scope: Scope, published: Published, hmac: bytes, now: int) -> Result:
    """State the result under its salted digest."""
    return Result(
        **where(scope, now), manifest=scope.manifest.hex(), contributors=published.contributors, result=hmac.hex(),
        model="",
    )  # fmt: skip
