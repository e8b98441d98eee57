"""Who is here: the last presence of every member, aged by ticks of the daemon's timer.

Rules: a member is here while it was heard within six seconds; what is remembered is a cache, since members say again
what they are. Leaves to others: what follows from it (aggregator.schedule).
"""

from secagg.protocol.session import Present

TICK = 2.0
"""Seconds between two ticks: how often a waiting member says that it is here."""

PATIENCE = 3
"""Ticks after which a silent member counts as away."""


class Presence:
    """The members' last words."""

    def __init__(self) -> None:
        self._now = 0
        self._heard: dict[str, tuple[int, Present]] = {}
        self._told: dict[tuple[str, str], int] = {}

    def tick(self) -> None:
        """Let one tick pass."""
        self._now += 1
        self._told = {key: when for key, when in self._told.items() if when >= self._now - 1}

    def hear(self, member: str, said: Present) -> None:
        """Take a member's word."""
        self._heard[member] = (self._now, said)

    def clear(self) -> None:
        """Forget what everybody said before now: a round changes what they hold."""
        self._heard.clear()

    def of(self, member: str) -> Present | None:
        """Return what a member said last, if it is here."""
        when, said = self._heard.get(member, (-PATIENCE - 1, None))
        return said if self._now - when <= PATIENCE else None

    def ready(self, member: str, job: str, number: int) -> bool:
        """Say whether a member is here and stands before this round of this job."""
        said = self.of(member)
        return said is not None and said.job == job and said.next_round == number

    def may_tell(self, member: str, what: str) -> bool:
        """Say whether a member was not told this since the last tick; from now on it was."""
        if self._told.get((member, what)) == self._now:
            return False
        self._told[member, what] = self._now
        return True
