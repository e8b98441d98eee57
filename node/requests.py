"""What an institution's commands ask its node over the admin socket; one struct each, tagged by `command`."""

from node.answers import AllowanceShown, LedgerShown, NodeStatus, UncheckedShown
from secagg.daemon.requests import Request


class Status(Request[NodeStatus], frozen=True, tag="status"):
    """How the node stands."""


class ShowLedger(Request[LedgerShown], frozen=True, tag="ledger"):
    """Show what this institution gave to sums."""


class AllowJob(Request[AllowanceShown], frozen=True, tag="allow"):
    """Say what a job's being allowed tells; with `confirmed`, allow it."""

    job: str
    overlap: bool
    confirmed: bool = False


class AcceptUnchecked(Request[UncheckedShown], frozen=True, tag="unchecked-accept"):
    """Go on without the check of a round."""

    round: str


Asked = Status | ShowLedger | AllowJob | AcceptUnchecked
