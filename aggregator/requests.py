"""What the operator's commands ask the aggregator over the admin socket; one struct each, tagged by `command`."""

from aggregator.jobs import JobFile
from secagg.daemon.requests import Request, Status


class SubmitJob(Request, frozen=True, tag="job-submit"):
    """Submit a job; paths of its first model and custody on this machine, and members that are left out of it."""

    file: JobFile
    model: str = ""
    custody: str = ""
    without: tuple[str, ...] = ()


class ListJobs(Request, frozen=True, tag="job-list"):
    """List all jobs."""


class ShowJob(Request, frozen=True, tag="job-show"):
    """Show one job."""

    name: str


class JobResult(Request, frozen=True, tag="job-result"):
    """Say where the result of a job lies, or what it is."""

    name: str


Asked = Status | SubmitJob | ListJobs | ShowJob | JobResult
