"""The network of the simulator: a broker that loses, doubles, delays, reorders and bends, and is cut off or away.

Rules: what a seed does to messages is drawn from its `Weather`; after `calm` each message arrives once, soon and whole.
Order is that of arrival, so unequal delays reorder. The broker stamps senders and holds nothing. What is bent is one
byte of a body, as by a broker that means harm: nobody may believe it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from secagg.transport.link import BROKER, Received
from secagg.transport.memory import MemoryNetwork
from support.simulation_clock import Chance, VirtualLoop

Watcher = Callable[[str, Received], None]


@dataclass(frozen=True)
class Span:
    """A time, in virtual seconds, in which something is out of order; `of` is whose."""

    start: float
    stop: float
    of: str = ""

    def holds(self, now: float, of: str = "") -> bool:
        """Say whether it is that time."""
        return self.start <= now < self.stop and of in (self.of, "")


@dataclass(frozen=True)
class Weather:
    """What one seed does to messages until `calm`: probabilities, delays in seconds, who is cut off when."""

    calm: float
    drop: float
    double: float
    bend: float
    slow: float
    slowest: float
    cuts: tuple[Span, ...]
    outages: tuple[Span, ...]

    @staticmethod
    def drawn(chance: Chance, names: tuple[str, ...]) -> "Weather":
        """Return the weather of a seed: most are fair in some respect."""
        calm = chance.between(15, 90)
        cuts = tuple(_span(chance, calm, chance.choose(names)) for _ in range(chance.choose((0, 0, 1, 2, 5))))
        outages = tuple(_span(chance, calm, "") for _ in range(chance.choose((0, 0, 1, 3))))
        return Weather(
            calm, chance.choose((0, 0, 0.02, 0.1, 0.3)), chance.choose((0, 0, 0.05, 0.3)),
            chance.choose((0, 0, 0, 0.01, 0.05)), chance.choose((0, 0, 0.05, 0.2)), chance.choose((0.5, 3.0, 20.0)),
            cuts, outages,
        )  # fmt: skip


def _span(chance: Chance, calm: float, of: str) -> Span:
    start = chance.between(0, calm)
    return Span(start, min(calm, start + chance.between(0.2, 12)), of)


class SimulatedNetwork(MemoryNetwork):
    """All links of one simulated federation."""

    def __init__(
        self, loop: VirtualLoop, chance: Chance, weather: Weather, watch: Watcher, count: Counter[str]
    ) -> None:
        super().__init__()
        self._loop, self._chance, self._weather, self._watch, self._count = loop, chance, weather, watch, count
        for span in weather.outages:
            loop.call_later(span.start, self._refresh)
            loop.call_later(span.stop, self._refresh)

    def _refresh(self) -> None:
        now, before = self._loop.time(), self.up
        self.up = not any(span.holds(now) for span in self._weather.outages)
        self._count["broker away"] += before and not self.up

    def relay(self, to: str, message: Received) -> None:
        """Take a message from its sender."""
        self._watch(to, message)
        self._count["message"] += 1
        if to == BROKER:
            if message.id:
                self.deliver(message.sender, Received(BROKER, "ack", message.id, b"", b""))
            return
        calm = self._loop.now >= self._weather.calm
        if not calm and self._chance.happens(self._weather.drop):
            self._count["message lost"] += 1
            return
        self._carry(to, message, calm=calm)
        if not calm and self._chance.happens(self._weather.double):
            self._count["message doubled"] += 1
            self._carry(to, message, calm=calm)

    def _carry(self, to: str, message: Received, *, calm: bool) -> None:
        delay = self._chance.between(0.001, 0.03)
        if not calm:
            if self._chance.happens(self._weather.slow):
                delay = self._chance.between(0.03, self._weather.slowest)
                self._count["message late"] += 1
            if message.body and self._chance.happens(self._weather.bend):
                message = self._bent(message)
                self._count["message bent"] += 1
        self._loop.call_later(delay, self._arrive, to, message)

    def _bent(self, message: Received) -> Received:
        place = self._chance.below(len(message.body))
        change = 1 + self._chance.below(255)
        body = bytearray(message.body)
        body[place] ^= change
        return replace(message, body=bytes(body))

    def _arrive(self, to: str, message: Received) -> None:
        now, ends = self._loop.now, (to, message.sender)
        cut = any(span.start <= now < span.stop and span.of in ends for span in self._weather.cuts)
        if self.up and not cut:
            self.deliver(to, message)
        else:
            self._count["message cut off"] += 1
