"""An aggregator that cheats: it publishes a sum other than the one its uploads give, with a matching logged digest.

It exists for demonstrations and tests; no role carries a switch that makes it cheat. The auditor finds it because it
recomputes the sum from the kept uploads and the members' signed answers (protocol §7).
"""

from secagg.protocol.lanes import Groups
from secagg.protocol.run import Table


class CheatingTable(Table):
    """A round whose aggregator adds one to one word of the sum."""

    def clear(self) -> Groups:
        """Return the clear sum with one word changed."""
        groups = super().clear()
        groups["update"][1] += groups["update"].dtype.type(1)
        return groups
