"""A malicious aggregator for tests: it holds the aggregator's keys and every byte on the link, and shows what it likes.

It stops an honest round at the moment a message would reach its victim; the test then sends another message instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.log import MemoryLog
from secagg.log.statements import Statement, sign_statement
from secagg.protocol.acceptance import Policy
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.masks import member as node
from secagg.protocol.round import stating
from secagg.protocol.round.events import FromNode, Send, Step
from secagg.protocol.round.messages import Propose
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation, party, propose, table
from secagg.rehearsal.run import Party, Table, run_round
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.federation import inputs_of, make


class Reached(Exception):
    """The message the adversary waited for is about to be delivered."""

    def __init__(self, message: Send) -> None:
        super().__init__(message.kind)
        self.message = message


class Tripwire(list[FromNode | Send]):
    """The wire, with a trap on one message to one party."""

    def __init__(self, kind: str, victim: str) -> None:
        super().__init__()
        self._kind, self._victim = kind, victim

    def append(self, item: FromNode | Send) -> None:
        super().append(item)
        if isinstance(item, Send) and item.kind == self._kind and item.to == self._victim:
            raise Reached(item)


class Wiretap(list[FromNode | Send]):
    """The wire, with somebody on it who does something of its own when a message passes."""

    def __init__(self, act: Callable[[FromNode | Send], None]) -> None:
        super().__init__()
        self._act = act

    def append(self, item: FromNode | Send) -> None:
        super().append(item)
        self._act(item)


@dataclass
class Scene:
    """A round stopped before `message` reaches `victim`."""

    federation: Federation
    table: Table
    victim: str
    message: Send

    @property
    def party(self) -> Party:
        """Return the victim."""
        return self.table.parties[self.victim]

    @property
    def scope(self) -> Scope:
        """Return the round's scope."""
        return self.table.scope

    def body(self, kind: type[Any]) -> Any:
        """Return the honest message's content."""
        return decode(kind, decode(Signed, self.message.data, LIMIT_BULK).body, LIMIT_BULK)

    def show(self, content: object, kind: str | None = None, to: str | None = None) -> Step[Any]:
        """Deliver `content` to the victim, signed by the aggregator as `kind`."""
        name = kind or self.message.kind
        signed = sign(self.federation.aggregator, name, self.scope, AGGREGATOR, to or self.victim, encode(content))
        return self.deliver(encode(signed))

    def deliver(self, data: bytes) -> Step[Any]:
        """Deliver bytes to the victim as they are; what it answers and records is kept."""
        assert self.party.phase is not None
        done = node.advance(self.party.phase, decode(Signed, data, LIMIT_BULK), self.party.ctx)
        self.party.phase = done.phase
        self.party.notebook.records.extend(done.records)
        return done

    def captured(self, kind: str) -> list[FromNode]:
        """Return everything members sent under `kind`."""
        return [item for item in self.table.wire if isinstance(item, FromNode) and item.kind == kind]


def stop_before(
    kind: str, victim: str = "node-00", count: int = 4, federation: Federation | None = None,
    policy: Policy | None = None, drops: Mapping[str, str] | None = None,
) -> Scene:  # fmt: skip
    """Play an honest round of `count` members until `kind` is about to reach `victim`."""
    seated = federation or make(count)
    parties = {name: party(seated, name, policy=policy) for name in seated.members}
    played = table(seated, inputs_of(seated, propose(seated)), drops or {}, parties=parties)
    played.wire = Tripwire(kind, victim)
    try:
        run_round(played)
    except Reached as reached:
        while played.queue:
            played.take(played.advance(played.running(), played.queue.popleft()))
        return Scene(seated, played, victim, reached.message)
    raise AssertionError(f"no {kind} reached {victim}")


def proposal_of(federation: Federation, manifest: Manifest, log: MemoryLog | None = None) -> Propose:
    """Return a proposal of any manifest, correctly signed and logged by the malicious aggregator."""
    body = encode(manifest)
    unbound = Scope(manifest.round, NO_DIGEST)
    signed = sign(federation.aggregator, "Manifest", unbound, AGGREGATOR, EVERYBODY, body)
    statement = stating.manifest_logged(Scope(manifest.round, digest(body)), signed, 1, START_OF_TIME)
    return Propose(signed, *logged(federation, statement, log))


def logged(federation: Federation, statement: Statement, log: MemoryLog | None = None, old_size: int = 0) -> Any:
    """Return (leaf, proof) of a statement that the aggregator logs."""
    origin = f"{federation.spec.federation}/rounds"
    into = log or MemoryLog(origin, origin, federation.aggregator)
    leaf = sign_statement(statement, AGGREGATOR, federation.aggregator)
    index = into.append(leaf)
    into.publish()
    return leaf, into.prove(index, old_size)
