"""What the operator's commands ask the aggregator over the admin socket; one struct each, tagged by `command`."""

from aggregator.answers import AggregatorStatus, JobDetail, JobShown, JobSubmitted, ModelResult, SumResult
from aggregator.jobs import JobFile
from secagg.daemon.requests import Request


class Status(Request[AggregatorStatus], frozen=True, tag="status"):
    """How the aggregator stands."""


class SubmitJob(Request[JobSubmitted], frozen=True, tag="job-submit"):
    """Submit a job; paths of its first model and custody on this machine, and members that are left out of it."""

    file: JobFile
    model: str = ""
    custody: str = ""
    without: tuple[str, ...] = ()


class ListJobs(Request[tuple[JobShown, ...]], frozen=True, tag="job-list"):
    """List all jobs."""


class ShowJob(Request[JobDetail], frozen=True, tag="job-show"):
    """Show one job."""

    name: str


class JobResult(Request[ModelResult | SumResult], frozen=True, tag="job-result"):
    """Say where the result of a job lies, or what it is."""

    name: str


Asked = Status | SubmitJob | ListJobs | ShowJob | JobResult
