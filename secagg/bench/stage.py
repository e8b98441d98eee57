"""The aggregator's state machine with its log, played against whoever answers: what a measured round runs on.

Rules: time is counted for the aggregator's own work alone (its machine, its log, removing masks), by phase. The machine
is pure, so a round can be continued many times from the same phase. Headers of uploads are held back until they are
asked for, because "the last upload" is where the server's time begins.
Leaves to others: who answers (peers.py, client.py), vectors (server.py).
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection

from secagg.bench.case import Clock
from secagg.ids import NO_DIGEST
from secagg.log.log import Log, MemoryLog, publish_entry
from secagg.log.statements import sign_statement
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import aggregator
from secagg.protocol.masks.judging import judge
from secagg.protocol.masks.rounds import Groups, Judging, Phase, Unmask, Unmasked, Unmasking, Uploading
from secagg.protocol.round import parties
from secagg.protocol.round.events import Append, Deadline, Effect, Event, FromNode, Judge, Keep, Logged, Send
from secagg.protocol.round.events import Log as Publish
from secagg.protocol.round.phases import Closed, Failed, Standing
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation
from secagg.wire.signed import Scope

Answer = Callable[[str, str, bytes], tuple[tuple[str, bytes], ...]]
Clear = Callable[[Unmasking, Unmask], Groups]


class Stage:
    """One round: `open` plays it to the uploads, `close` from there to its end."""

    def __init__(self, federation: Federation, manifest: Manifest, dropped: Collection[str], clock: Clock) -> None:
        rounds = f"{federation.spec.federation}/rounds"
        self._keeper = parties.AggregatorContext(
            AGGREGATOR, federation.aggregator, federation.rng, federation.opening, START_OF_TIME
        )
        self.log: Log = MemoryLog(rounds, rounds, federation.aggregator)
        self.manifest, self.dropped, self._clock = manifest, dropped, clock
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._held: list[FromNode] | None = None
        self._clear: Clear | None = None
        names = tuple(Standing(name, 0) for name in manifest.names())
        self._begun = aggregator.start(manifest, names, self._keeper)
        self.phase: Phase = self._begun.phase

    @property
    def scope(self) -> Scope:
        """Return the scope of the round's messages."""
        return Scope(self.manifest.round, NO_DIGEST) if isinstance(self.phase, Failed) else self.phase.scope

    def open(self, answer: Answer) -> list[FromNode]:
        """Play until every member has answered with its header; return the headers, which nobody has read yet."""
        self._held = []
        self._play(deque(self._do(self._begun.effects, answer)), answer)
        held, self._held = self._held, None
        return held

    def close(self, headers: list[FromNode], answer: Answer, clear: Clear | None = None) -> Phase:
        """Take headers and play to the end of the round; members that dropped are late. Without `clear` stop at it."""
        self._clear = clear
        self._play(deque(headers), answer)
        if self.dropped and isinstance(self.phase, Uploading):
            self._play(deque([Deadline("MaskedInput")]), answer)
        return self.phase

    def take(self, headers: list[FromNode]) -> None:
        """Take headers, but not the last one."""
        self._play(deque(headers), lambda *_: ())

    def _play(self, events: deque[Event], answer: Answer) -> None:
        while events:
            event = events.popleft()
            if self._held is not None and isinstance(event, FromNode) and event.kind == "MaskedInput":
                self._held.append(event)
                continue
            name = type(self.phase).__name__
            began = self._clock()
            turned = aggregator.advance(self.phase, event, self._keeper)
            self.spent[name] += self._clock() - began
            self.phase = turned.phase
            events.extend(self._do(turned.effects, answer))

    def _do(self, effects: tuple[Effect, ...], answer: Answer) -> list[Event]:
        found: list[Event] = []
        name = type(self.phase).__name__
        for effect in effects:
            began = self._clock()
            match effect:
                case Append(statement):
                    self.log.append(sign_statement(statement, AGGREGATOR, self._keeper.key))
                case Publish(statement, sizes):
                    found.append(self._publish(sign_statement(statement, AGGREGATOR, self._keeper.key), sizes))
                case Judge() | Unmask():
                    found += self._beside(effect)
                case Send(to, kind, data):
                    if to not in self.dropped or kind != "DeliverShares":
                        found += [FromNode(to, *message) for message in answer(to, kind, data)]
                    continue
                case Keep():
                    continue
            self.spent[name] += self._clock() - began
        return found

    def _beside(self, effect: Judge | Unmask) -> list[Event]:
        """Do what is done beside the loop."""
        if isinstance(effect, Judge) and isinstance(self.phase, Judging):
            return [judge(self.phase)]
        if isinstance(effect, Unmask) and isinstance(self.phase, Unmasking) and self._clear is not None:
            return [Unmasked(self._clear(self.phase, effect))]
        return []

    def _publish(self, leaf: bytes, sizes: tuple[int, ...]) -> Logged:
        return Logged(leaf, publish_entry(self.log, leaf, sizes))


def result(phase: Phase) -> Closed:
    """Return the end of a round that has a result.

    Raises: RuntimeError when it failed, which no measured case may.
    """
    if not isinstance(phase, Closed):
        reason = phase.reason if isinstance(phase, Failed) else ""
        raise RuntimeError(f"the measured round ended in {type(phase).__name__}: {reason}")
    return phase
