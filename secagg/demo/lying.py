"""What aggregators of the demonstrations do that an honest one would not. They tell a sum that is one off in one word,
or freeze whoever uploaded.

It exists for demonstrations and tests. Canaries stay as they are, so that no member notices. The auditor does, because
it recomputes the sum from the kept uploads and the members' signed answers (protocol §7).
Leaves to others: the aggregator that tells it over a real network (cheat.py).
"""

from secagg.protocol.engine import Phase
from secagg.protocol.lanes import Groups
from secagg.protocol.masks import aggregator
from secagg.protocol.masks.rounds import Unmasked, Uploading
from secagg.protocol.round.events import Deadline, Effect, Event, Turned
from secagg.protocol.round.phases import within
from secagg.rehearsal.run import Table

WORD = 1
"""The word that is changed; the first one holds the canary."""


def one_more(groups: Groups) -> Groups:
    """Return the clear sum after adding one to one word of the update."""
    groups["update"][WORD] += groups["update"].dtype.type(1)
    return groups


class HeedlessTable(Table):
    """A round in process whose aggregator freezes whoever uploaded, whatever their inputs are bound to."""

    def advance(self, phase: Phase, event: Event) -> Turned[Phase]:
        """Do as an honest aggregator, but for whom it leaves out of a set."""
        if isinstance(phase, Uploading) and isinstance(event, Deadline):
            return aggregator.fix(phase, (), self.keeper)
        return super().advance(phase, event)


class CheatingTable(Table):
    """A round in process whose aggregator lies."""

    def open_sum(self, asked: Effect | None = None) -> Event:
        """Return a clear sum that is not the one of the uploads."""
        made = within(super().open_sum(asked), Unmasked)
        return Unmasked(one_more(made.groups))
