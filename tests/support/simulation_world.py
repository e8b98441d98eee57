"""What the simulated roles share: time, network, who may crash when, and where everything that happens is told.

A crash is named by its line of the crash table (docs/reliability.md), so that a run can say how often each was tried.
Leaves to others: the roles themselves (simulation_roles), what must hold (simulation_oracles).
"""

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from math import log
from typing import TYPE_CHECKING, Any

import msgspec

from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import KEYSERVER
from support.simulation_clock import Chance, VirtualLoop

if TYPE_CHECKING:
    from support.simulation_disk import SimulatedJournal
    from support.simulation_network import SimulatedNetwork

CRASHES = (0, 1, 2, 5, 10, 20, 40)
"""How many crashes a seed may have."""

RATES = (0.001, 0.004, 0.02)
FOCUS = 0.1
"""Probabilities of a crash at a point, and at the one place that a seed has its eye on."""

PLACES = (
    "node: before it saved",
    "node: after it saved, before it sent",
    "node: during its upload",
    "node: between two events",
    "aggregator: in mid chunk",
    "aggregator: after the fsync of a chunk, before its acknowledgement",
    "aggregator: before the freeze",
    "aggregator: between freeze and result",
    "aggregator: after the result, before publishing",
    "aggregator: between two rounds",
    "key server: in any event",
)
"""Lines of the crash table; the broker's is an outage, because it holds nothing."""

_WEIGHTS = {
    "node: between two events": 0.5,
    "node: during its upload": 5.0,
    "aggregator: in mid chunk": 5.0,
    "aggregator: after the fsync of a chunk, before its acknowledgement": 20.0,
    "aggregator: before the freeze": 2.0,
    "aggregator: between freeze and result": 8.0,
    "aggregator: after the result, before publishing": 20.0,
    "aggregator: between two rounds": 0.2,
}
"""Most of the time nothing is under way; what is rare and matters comes as often as what is common."""

_FROZEN = ("Freezing", "Agreeing", "Opening", "Unmasking", "Witnessing")


class World:
    """One simulated federation."""

    def __init__(self, loop: VirtualLoop, crashes: "Crashes") -> None:
        self.loop, self.crashes = loop, crashes
        self.network: SimulatedNetwork
        self.machines: dict[str, Any] = {}
        self.violations: list[str] = []
        self.trace: list[str] = []
        self.count: Counter[str] = Counter()
        self.restarted: Callable[[Any], None] = lambda machine: None

    def note(self, who: str, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.loop.now:9.3f} {who:<10} {what}")

    def violate(self, rule: str, detail: str) -> None:
        """Record that something happened which must not; the first word is the oracle's name."""
        self.note("ORACLE", f"{rule}: {detail}")
        self.violations.append(f"{rule}: {detail}")


class Crashes:
    """When lives end: at any point between `begin` and `end`, with a small probability, at most `left` times."""

    def __init__(
        self, chance: Chance, loop: VirtualLoop, calm: float, focus: str = "", places: tuple[str, ...] = PLACES
    ) -> None:
        self._chance, self._loop, self.end = chance, loop, calm
        self.left = max(CRASHES) if focus else chance.choose(CRASHES)
        rate = RATES[0] if focus else chance.choose(RATES)
        focus = focus or chance.choose(("", "", *places))
        self._rates = {place: FOCUS if place == focus else rate * _WEIGHTS.get(place, 1.0) for place in places}
        # Rounds get nowhere in the worst weather: sometimes it begins late.
        self.begin = chance.choose((0.0, chance.between(0, calm)))
        self._passed, self._next = 0.0, self._draw()

    def _draw(self) -> float:
        """Return how much probability passes until the next crash: one draw, not one per point."""
        return -log(1.0 - self._chance.fraction())

    @property
    def calm(self) -> bool:
        """Say whether the worst is over."""
        return self._loop.now >= self.end

    def due(self, place: str) -> bool:
        """Say whether the life at this place of the crash table ends here."""
        self._passed += self._rates[place]
        if self._passed < self._next:
            return False
        self._passed, self._next = 0.0, self._draw()
        self.left -= 1
        return True

    def pause(self) -> float:
        """Return for how long a role stays away."""
        return self._chance.between(0.05, 2) if self._chance.happens(0.7) else self._chance.between(2, 20)


def place_of(name: str, where: str, doing: str, journal: "SimulatedJournal") -> str:
    """Return the line of the crash table for a crash at the point `where`, in the course of `doing`."""
    if name == KEYSERVER:
        return "key server: in any event"
    saving = where.startswith(("journal", "disk")) and where != "journal.synced"
    if name != AGGREGATOR:
        return _of_node(saving, where, journal)
    if doing == "send ack-chunk" and where == "link.send":
        return "aggregator: after the fsync of a chunk, before its acknowledgement"
    if doing == "chunk" and saving:
        return "aggregator: in mid chunk"
    return _of_aggregator(journal)


def _of_node(saving: bool, where: str, journal: "SimulatedJournal") -> str:
    if journal.scan("upload/"):
        return "node: during its upload"
    if saving:
        return "node: before it saved"
    return (
        "node: after it saved, before it sent"
        if where in ("journal.synced", "link.send")
        else ("node: between two events")
    )


def _of_aggregator(journal: "SimulatedJournal") -> str:
    kept = journal.get("round")
    if kept is None:
        telling = any(message.kind == "result" for message in journal.unacknowledged())
        return "aggregator: after the result, before publishing" if telling else "aggregator: between two rounds"
    phase = _phase(kept)
    if phase == "Publishing":
        return "aggregator: after the result, before publishing"
    return "aggregator: between freeze and result" if phase in _FROZEN else "aggregator: before the freeze"


@lru_cache(maxsize=16)
def _phase(data: bytes) -> str:
    """Return the name of the phase in the aggregator's journal."""
    found: str = msgspec.msgpack.decode(msgspec.msgpack.decode(data)["phase"])["type"]
    return found
