"""The verdict on a bundle: every check in order, one line each, the first violation named.

Rules (audit-log format): checks keep their numbers. One that does not apply says `n/a` with its reason. A file that is
missing makes the bundle incomplete (66), a broken rule a violation (65). Opens no socket.
Leaves to others: printing (command.py).
"""

from pathlib import Path

from msgspec import Struct

from secagg.auditor.bundle import Bundle
from secagg.auditor.checks import c01_tree, c02_signatures, c04_statements, c05_roster, c06_order, c07_sum
from secagg.auditor.evidence import Evidence
from secagg.daemon.writing import plain
from secagg.errors import BundleIncomplete, SecaggError, VerificationFailed

CHECKS = (c01_tree, c02_signatures, c04_statements, c05_roster, c06_order, c07_sum)


class Line(Struct, frozen=True):
    """One check's outcome: `pass`, `n/a`, `fail` or `incomplete`."""

    number: int
    title: str
    status: str
    detail: str


class Report(Struct, frozen=True):
    """All outcomes; `verdict` is PASS, FAIL or INCOMPLETE, `passed` of `total`."""

    verdict: str
    passed: int
    total: int
    checks: tuple[Line, ...]


def verify(directory: Path, root: str | None = None) -> Report:
    """Run every check on a bundle; `root` is the pinned root fingerprint, if the auditor has one.

    Raises: BadInput when there is no bundle; VerificationFailed when its root is not the pinned one.
    """
    evidence = Evidence(Bundle(directory))
    _, stated = evidence.bundle.root()
    if root is not None and root != stated:
        raise VerificationFailed(f"The bundle's root is {stated}, not the pinned {root}.", "Ask who made this bundle.")
    lines = tuple(_run(check, evidence) for check in CHECKS)
    statuses = [line.status for line in lines]
    verdict = "FAIL" if "fail" in statuses else "INCOMPLETE" if "incomplete" in statuses else "PASS"
    return Report(verdict, sum(status in ("pass", "n/a") for status in statuses), len(lines), lines)


def _run(check: object, evidence: Evidence) -> Line:
    number, title = vars(check)["NUMBER"], vars(check)["TITLE"]
    try:
        finding = vars(check)["check"](evidence)
    except BundleIncomplete as missing:
        return Line(number, title, "incomplete", plain(missing.cause))
    except SecaggError as broken:
        return Line(number, title, "fail", plain(broken.cause))
    return Line(number, title, finding.status, finding.detail)
