"""That every manifest is the one that follows from its signed job and the roster it names.

Rules (protocol §1): an auditor derives a manifest as a node does and compares every leaf, but for what neither bundle
nor formulas say (`FREE`). A manifest of a job that was not created, or not in a signed file of the bundle, follows from
nothing. Leaves to others: the roster itself (check 5), the order of rounds and attempts (check 6).
"""

from collections.abc import Mapping
from types import MappingProxyType

from secagg.auditor.evidence import ROUNDS, Entry, Evidence, Proposal, Violation
from secagg.errors import SecaggError
from secagg.ids import EVERYBODY
from secagg.log.statements import JobCreated
from secagg.protocol import deriving
from secagg.protocol.deriving import Facts, derive, differing
from secagg.protocol.manifest import JobSpec, Seat
from secagg.protocol.session import job_scope
from secagg.roster.members import Roster
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, open_signed

FREE: Mapping[str, str] = MappingProxyType(
    {
        **deriving.FREE,
        "round.round": "Rounds are counted by the order of the log, which check 6 walks.",
        "model": "Each model follows from the result before it; of a sum there is none, which is derived.",
        "state": "As the model, where the algorithm keeps one; else there is none, which is derived.",
    }
)
"""Leaves that an auditor does not derive, and why."""


class Jobs:
    """The jobs of the round log; the file of one is read when a manifest names it."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._created: dict[str, tuple[Entry, JobCreated]] = {}
        self._read: dict[str, tuple[JobSpec, bytes]] = {}
        for entry, created in evidence.of(JobCreated):
            if entry.log == ROUNDS:
                self._created.setdefault(created.job, (entry, created))

    def of(self, proposal: Proposal) -> tuple[JobSpec, bytes]:
        """Return the job of a manifest and the digest that names it there.

        Raises: Violation when it was not created before, or its file is not the job that the aggregator signed.
        """
        name = proposal.manifest.round.job
        entry, created = self._created.get(name, (None, None))
        if entry is None or created is None or entry.index >= proposal.entry.index:
            raise Violation(proposal.entry, f"its job {name} was not created before it")
        if name not in self._read:
            self._read[name] = self._open(entry, created)
        return self._read[name]

    def _open(self, entry: Entry, created: JobCreated) -> tuple[JobSpec, bytes]:
        signed = decode(Signed, self._evidence.bundle.file(created.spec), LIMIT_BULK)
        spec = decode(JobSpec, signed.body, LIMIT_BULK)
        keys = [member.sign_key for member in self._evidence.aggregators(entry) if member.name == signed.sender]
        if spec.name != created.job or not any(_signed(signed, key, spec) for key in keys):
            raise Violation(entry, "its file is not the job that the aggregator signed")
        return spec, deriving.job_digest(signed.body)


def check_follows(proposal: Proposal, jobs: Jobs, roster: Roster, digest: bytes) -> None:
    """Hold a manifest against its job and the roster (its SHA-256 `digest`) that it names.

    Raises: Violation naming the leaf.
    """
    manifest = proposal.manifest
    spec, body = jobs.of(proposal)
    aggregator = next((one.name for one in roster.members if one.role == "aggregator"), "")
    facts = Facts(
        round=manifest.round.round, attempt=manifest.round.attempt, job_digest=body, model=manifest.model,
        roster_version=roster.version, roster=digest, colluders=roster.limits.colluders, aggregator=aggregator,
        seats=tuple(Seat(member.name, member.organisation, member.sign_key) for member in roster.nodes()),
        directory=manifest.directory, opening_key=manifest.opening_key, state=manifest.state,
    )  # fmt: skip
    try:
        path = differing(manifest, derive(spec, facts), {})
    except SecaggError as error:
        raise Violation(proposal.entry, f"no manifest follows from its job: {error.cause.rstrip('.')}") from None
    if path is not None:
        raise Violation(proposal.entry, f"its {path} does not follow from the signed job and the roster")
    if manifest.round.round > spec.rounds:
        raise Violation(proposal.entry, "its round is beyond the job's rounds")


def _signed(signed: Signed, key: bytes, spec: JobSpec) -> bool:
    try:
        open_signed(signed, key, "JobSpec", job_scope(spec), EVERYBODY)
    except SecaggError:
        return False
    return True
