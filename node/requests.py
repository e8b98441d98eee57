"""What an institution's commands ask its node over the admin socket; one struct each, tagged by `command`."""

from secagg.daemon.requests import Request, Status


class ShowLedger(Request, frozen=True, tag="ledger"):
    """Show what this institution gave to sums."""


class AllowJob(Request, frozen=True, tag="allow"):
    """Say what a job's being allowed tells; with `confirmed`, allow it."""

    job: str
    overlap: bool
    confirmed: bool = False


class AcceptUnchecked(Request, frozen=True, tag="unchecked-accept"):
    """Go on without the check of a round."""

    round: str


Asked = Status | ShowLedger | AllowJob | AcceptUnchecked
