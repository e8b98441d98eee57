"""How often a task may fail on its data before a person is asked: the rules of an institution's count of failures.

How to read it: a `Failed` is one round of which this institution could give nothing, once its task had seen the data.
`spent` says how many count against a job, `judge` refuses. Rules (protocol §6.5, §7): whether somebody fails tells one
bit of its data to whoever chose the job. So the number of these bits is bounded per data source and kind of job. All
attempts at a round are one, and are not computed again. A person's word (`secagg node allow JOB`) gives exactly this
job a count of its own, from that word on.
Leaves to others: what a failure is (node.work), writing it down (secagg.daemon.inputs), telling it (node.leaving).
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from secagg.errors import Refused
from secagg.ids import Count, Digest, RoundId
from secagg.protocol.inputs import Allowed, Job
from secagg.protocol.manifest import Purpose

FAILED = "task.failed"
"""What others are told of a failure, whatever failed."""

KINDS: dict[Purpose, str] = {"training": "training", "sum": "sums"}
"""How a kind of job is called in sentences."""


class Failed(Struct, frozen=True, forbid_unknown_fields=True):
    """A round that failed here on the data `source`; `words` is how many words persons had given by then."""

    round: RoundId
    root: Digest
    purpose: Purpose
    source: Digest
    words: Count
    time: Count

    @property
    def job(self) -> Job:
        """Return the job it was of."""
        return self.round.federation, self.root, self.round.job

    @property
    def opening(self) -> tuple[object, ...]:
        """Return what all attempts at this round have in common."""
        return self.root, self.round.opening


class Asked(NamedTuple):
    """A job that wants something of a data source."""

    job: Job
    purpose: Purpose
    source: bytes


def spent(failures: Sequence[Failed], asked: Asked, allowed: Sequence[Allowed]) -> int:
    """Return how many failures count against a job: those over its source, or its own since a person allowed it."""
    word = _word(asked.job, allowed)
    if word:
        found = [entry for entry in failures if entry.job == asked.job and entry.words >= word]
    else:
        found = [entry for entry in failures if (entry.source, entry.purpose) == (asked.source, asked.purpose)]
    return len({entry.opening for entry in found})


def failed(failures: Sequence[Failed], root: bytes, round_id: RoundId, allowed: Sequence[Allowed]) -> bool:
    """Say whether an attempt at this round failed here, and no person has allowed its job since."""
    word = _word((round_id.federation, root, round_id.job), allowed)
    return any(entry.opening == (root, round_id.opening) and entry.words >= word for entry in failures)


def judge(failures: Sequence[Failed], asked: Asked, most: int, allowed: Sequence[Allowed]) -> None:
    """Refuse a job once as many failed as may.

    Raises: Refused (`ledger.failures`).
    """
    if spent(failures, asked, allowed) >= most:
        name = asked.job[2]
        raise Refused(
            f"{most} rounds of {KINDS[asked.purpose]} failed on this data, and the policy max_failures allows no more.",
            f"Mend what failed and read what {name} asks for. Then: secagg node allow {name}. For jobs of every name "
            "raise max_failures in node.toml.", rule="ledger.failures",
        )  # fmt: skip


def _word(job: Job, allowed: Sequence[Allowed]) -> int:
    """Return how many words there were with the last one that named this job, 0 when none did."""
    return max((number for number, said in enumerate(allowed, start=1) if said.names(job)), default=0)
