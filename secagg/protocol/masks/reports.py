"""What members report of their dealers in step 2, and when it ends an attempt before step 4.

How to read it: a header names the dealers whose signed piece gave its signer no listed shares. `judge` is the one rule
by which aggregator and nodes hold a frozen set against all of its headers.
Rules (protocol §3 step 2): a dealer that more than c members report is at fault. One of them is honest, and c + 1 of
their headers prove it. One that fewer than t unreported holders in U3 hold shares of could not be recovered. Either
ends the attempt. Up to c colluders can report an honest dealer: that alone names nobody.
Leaves to others: proofs (faults.py), opening pieces (checks.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secagg.errors import Refused
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks.messages import MaskedInput

Near = Mapping[str, Sequence[str]]
"""For every dealer of U2 to whom it dealt, itself among them, in roster order."""


@dataclass(frozen=True)
class Reports:
    """What a set of headers says: reporters by dealer, and the dealers that end the attempt."""

    by: Mapping[str, tuple[str, ...]]
    accused: tuple[str, ...]
    """Reported by more than c members."""

    short: tuple[str, ...]
    """Left with fewer than t unreported holders in the set."""

    @property
    def end(self) -> bool:
        """Say whether the attempt ends."""
        return bool(self.accused or self.short)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return every (dealer, reporter)."""
        return tuple((dealer, reporter) for dealer, reporters in self.by.items() for reporter in reporters)


def check_reported(member: str, header: MaskedInput, near: Near) -> None:
    """Check that a header reports dealers that dealt to its signer, each once, in roster order.

    Raises: Refused (`u3.reports`).
    """
    allowed = [dealer for dealer, receivers in near.items() if member in receivers and dealer != member]
    if header.reported != tuple(dealer for dealer in allowed if dealer in header.reported):
        cause = f"{member} reports somebody who dealt it nothing, or out of order."
        raise Refused(cause, "Leave the round.", rule="u3.reports")


def judge(headers: Mapping[str, MaskedInput], near: Near, manifest: Manifest) -> Reports:
    """Return what the headers of a set report, every one checked; `near` is in roster order of the dealers.

    Raises: Refused (`u3.reports`) naming the member.
    """
    told: dict[str, list[str]] = {dealer: [] for dealer in near}
    for member, header in headers.items():
        if header.reported:
            check_reported(member, header, near)
        for dealer in header.reported:
            told[dealer].append(member)
    by = {dealer: tuple(reporters) for dealer, reporters in told.items() if reporters}
    accused = tuple(dealer for dealer, reporters in by.items() if len(reporters) > manifest.colluders)
    left = {dealer: sum(m in headers for m in receivers) - len(told[dealer]) for dealer, receivers in near.items()}
    short = tuple(dealer for dealer, holders in left.items() if holders < manifest.share_threshold)
    return Reports(by, accused, short)
