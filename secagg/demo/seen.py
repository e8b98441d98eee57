"""What can be read where it is kept: one hospital's upload in the aggregator's files, and the auditor's verdict.

Rules: which upload is whose stands in the log, so it is taken from the exported bundle; the upload itself from the
aggregator's own directory. Leaves to others: judging (secagg.auditor, in a process of its own), printing (ending.py).
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import Struct, json

from secagg.errors import SecaggError
from secagg.log.durable import read_entries
from secagg.log.statements import Contributors, parse_statement
from secagg.vector.codec import FRACTION


class Line(Struct, frozen=True):
    """One check of the audit."""

    number: int
    title: str
    status: str
    detail: str


class Report(Struct, frozen=True):
    """What `secagg audit verify --format json` prints."""

    verdict: str
    passed: int
    total: int
    checks: tuple[Line, ...]


@dataclass
class Seen:
    """One hospital's words: as it knows them, and as the aggregator got them."""

    hospital: str
    clear: bytes
    masked: bytes


def chi_square(data: bytes) -> float:
    """Return the chi-square statistic of the bytes of `data` in 16 classes against uniform (15 degrees of freedom)."""
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8) >> 4, minlength=16)
    expected = len(data) / 16
    return float(((counts - expected) ** 2 / expected).sum())


def audit(bundle: Path, root: str = "") -> Report:
    """Let the auditor judge a bundle, in a process of its own that gets the files and what it was told of the root."""
    pinned = ["--root", root] if root else []
    command = [sys.executable, "-m", "secagg.cli", "audit", "verify", str(bundle), *pinned, "--format", "json"]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own command and a path
    if not done.stdout:
        raise SecaggError(f"The auditor failed: {done.stderr.decode(errors='replace').strip()}", "See above.")
    return json.decode(done.stdout, type=Report)


def look(bundle: Path, uploads: Path, job: str, hospital: str, vector: list[float]) -> Seen:
    """Return a hospital's upload in the first round of a sum job, from the aggregator's files, beside its own words."""
    statement = next(found for found in _frozen(bundle) if found.job == job)
    digest = next(entry.upload for entry in statement.members if entry.member == hospital)
    masked = (uploads / digest).read_bytes()
    words = np.rint(np.array(vector) * 2.0**FRACTION).astype(np.int64)
    # An upload begins with its canary and the words of the vector.
    return Seen(hospital, words.tobytes(), masked[words.itemsize : words.itemsize + words.nbytes])


def upload_bytes(bundle: Path, uploads: Path, job: str) -> int:
    """Return the length in bytes of one upload of a job."""
    statement = next(found for found in _frozen(bundle) if found.job == job)
    return (uploads / statement.members[0].upload).stat().st_size


def _frozen(bundle: Path) -> list[Contributors]:
    """Return the contributor sets in the order of the log."""
    statements = (parse_statement(leaf)[0] for leaf in read_entries(bundle / "rounds")[0])
    return [statement for statement in statements if isinstance(statement, Contributors)]
