"""What a node waits for, in words for people: for whom, for what, since when, until when.

Rules: every wait has its sentence; times are wall time, for people and never for decisions. Inside a round it ends with
the round's time; outside of rounds a node waits as long as it takes. Leaves to others: showing it (node.commands).
Source: docs/operations.md "Commands".
"""

from node import records
from node.records import Job
from node.spot import dues
from node.work import member_of
from secagg.daemon import booting
from secagg.daemon.participant import Round, find_since
from secagg.daemon.turn import Turn
from secagg.daemon.waits import Waiting
from secagg.errors import Refused
from secagg.protocol.round.asked import Stage

_START = {
    "asking": ("keyserver", "word that this is the newest start of this node"),
    "fenced": ("nobody", "this is an old copy of the node, which takes part in nothing any more"),
}
"""For whom and what a node waits before it may take part in anything."""


def waiting(
    kept: Round | None, phase: object | None, job: Job | None, known: bool, turn: Turn,
    bound: tuple[str, Refused] | None = None, failed: bool = False,
) -> Waiting:  # fmt: skip
    """Return what this node waits for: in the round `kept`, else before the next one of the job it stands in.

    `bound` says why its data can be in no sum of that job as things are, and who can change that. `failed` that its
    task failed on its data in the round it is in.
    """
    if kept:
        return _in_round(kept, phase, failed, turn)
    since = find_since(turn)
    if not known:
        return Waiting("keyserver", "the first roster", since)
    boot = booting.standing(turn)
    if boot and boot.state in _START:
        return Waiting(*_START[boot.state], since)
    if job is None or job.over:
        return Waiting("aggregator", "a job", since)
    if job.awaited:
        return Waiting("aggregator", f"the result of round {job.next_round} of {job.spec.name}", since)
    if not job.ready:
        return Waiting("aggregator", f"the first model of {job.spec.name}", since)
    if bound:
        whom, why = bound
        return Waiting(whom, f"round {job.next_round} of {job.spec.name}. {why.cause} {why.remedy}", since)
    others = f"round {job.next_round} of {job.spec.name}, which begins when its members are there"
    return Waiting("aggregator", others, since)


def _in_round(kept: Round, phase: object | None, failed: bool, turn: Turn) -> Waiting:
    engine, upload, unchecked = member_of(kept.engine), records.find_upload(turn), dues(turn)
    ready = Stage.READY in engine.stage(phase)
    if unchecked and ready:
        first = unchecked[0]
        what = f"what the check of {first.name} needs, before which no upload leaves"
        on = f"`secagg node unchecked accept {first.name}` goes on without"
        return Waiting(first.manifest.aggregator, f"{what} ({on})", first.since, kept.until)
    if failed:
        awaits = "the time to say that it gives nothing: its task failed on the data (see what it refused)"
        return Waiting("this node", awaits, kept.since, kept.until)
    if ready:
        return Waiting("this node", "its own update", kept.since, kept.until)
    if upload and len(upload.stored) * upload.size < upload.total:
        sent = f"receipts for the upload, {len(upload.stored)} chunks so far"
        return Waiting("aggregator", sent, kept.since, kept.until)
    return Waiting("aggregator", engine.awaited(phase), kept.since, kept.until)
