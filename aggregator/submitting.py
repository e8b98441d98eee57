"""From a job file to the queue: its name and cohort, its place in the log, and what whoever submits it has to know.

Rules: the cohort of a job is fixed when it is submitted. A name means one job for ever, so a job that is submitted
again after one of its name failed gets a number. Who submits is told whose policy stands in the way before anybody
trains, and what leaving a member out fixes. Leaves to others: job files (aggregator.jobs), when a job runs
(aggregator.schedule).
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from aggregator import jobs, records
from aggregator.desk import Desk
from aggregator.jobs import JobFile
from aggregator.records import Job
from secagg.crypto.derive import sha256
from secagg.daemon.blobs import Blobs
from secagg.daemon.turn import Turn
from secagg.errors import BadInput
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.statements import JobCreated
from secagg.protocol.session import job_scope
from secagg.roster.members import Roster
from secagg.wire.codec import encode
from secagg.wire.signed import sign


def submit(
    file: JobFile, model: Path | None, custody: Path | None, without: Sequence[str], roster: Roster, desk: Desk,
    blobs: Blobs, turn: Turn,
) -> Job:  # fmt: skip
    """Sign a job, log it and put it at the end of the queue.

    Raises: BadInput when its name is used, somebody is left out who is not in it, or it could never run.
    """
    asked = file.job.name
    file = _left(file, without, roster, turn)
    if records.find_job(turn, file.job.name):
        cause = f"There was a job {file.job.name} before."
        raise BadInput(cause, "Choose another name: a name is used once.", code="E-JOB")
    for name in file.job.uses:
        if records.get_job(turn, name).state != "done":
            raise BadInput(f"The job {name}, which this one uses, has no result.", "Wait for it.", code="E-JOB")
    data = _read(model) if model else b""
    described = jobs.describe_model(data) if model else None
    spec = jobs.make_spec(file, roster, described, jobs.read_custody(custody) if custody else None)
    jobs.check_trustees(spec, roster)
    signed = sign(desk.key, "JobSpec", job_scope(spec), desk.name, EVERYBODY, encode(spec))
    desk.bundle.put_file(encode(signed))
    created = JobCreated(
        federation=spec.federation, time=turn.now(), job=spec.name, spec=sha256(encode(signed)).hex()
    )
    entry = desk.book.add(created, turn)
    blob = blobs.put(data) if model else NO_DIGEST
    if model:
        records.publish_blob(turn, blob)
    number = 1 + max((job.number for job in records.all_jobs(turn)), default=0)
    job = Job(number, spec, signed, entry, blob, model=blob, model_digest=spec.initial_model, asked=asked)
    return records.put_job(turn, job, rejoin_ms=jobs.rejoin_ms(file))


def told(job: Job, without: Sequence[str], turn: Turn) -> list[str]:
    """Return what whoever submits a job has to know of its members, a sentence each."""
    spec, found = job.spec, []
    fixed, exact = records.lacking_terms(turn, spec.cohort)
    if spec.purpose == "sum":
        found.append("Sums over this data keep the members of its first round; that round waits for all of them.")
    elif fixed:
        found.append(
            f"Every round keeps the members of the first (no changing_sets in the policy of {', '.join(fixed)}). It "
            "waits for them, and the job ends when one stays away."
        )
    if spec.purpose == "training" and exact:
        found.append(f"Ask for exact_counts in the policy of {', '.join(exact)}: without it they refuse the job.")
    if without:
        found.append(
            f"From its first round on this data stays with {', '.join(spec.cohort)}. For {', '.join(without)} to come "
            f"in later, every institution runs: secagg node allow JOB --overlap."
        )
    earlier = [one for one in records.all_jobs(turn) if one.number < job.number and one.spec.task == spec.task]
    others = [one.spec.name for one in earlier if set(one.spec.cohort) != set(spec.cohort)]
    if others:
        found.append(
            f"{', '.join(others)} ran over other members: where this data is bound to those, every institution runs "
            f"first: secagg node allow {spec.name} --overlap."
        )
    return found


def _left(file: JobFile, without: Sequence[str], roster: Roster, turn: Turn) -> JobFile:
    """Return the file with the cohort without those left out, under a name that is free."""
    members = file.cohort.members
    if without:
        everybody = members or tuple(member.name for member in roster.nodes())
        stranger = next((name for name in without if name not in everybody), None)
        if stranger is not None:
            raise BadInput(f"{stranger} is not in the job.", f"Its members: {', '.join(everybody)}.")
        members = tuple(name for name in everybody if name not in without)
    job = replace(file.job, name=records.free_name(turn, file.job.name))
    return replace(file, job=job, cohort=replace(file.cohort, members=members))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"The model {path} cannot be read: {error.strerror}.", "Name a safetensors file.") from None
