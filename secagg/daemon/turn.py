"""One event, seen by a service: what it reads and keeps, and the effects it asks for.

Rules: every effect waits until the transaction is on disk; when the event fails, nothing was kept and nothing leaves.
A turn ends with its event: it is not kept, and not used on another thread.
Leaves to others: carrying the effects out (secagg.daemon.loop). Source: docs/architecture.md "The shape of the core".
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import Struct

from secagg.crypto.rng import Rng
from secagg.daemon.answers import Reply
from secagg.daemon.journal import Outgoing, Transaction
from secagg.events.line import Event
from secagg.transport.link import Received

Work = Callable[[], object]


class Emit(Struct, frozen=True):
    """Send once, without waiting for an answer."""

    to: str
    kind: str
    header: bytes
    body: bytes
    id: bytes = b""


class After(NamedTuple):
    """Wake the service when `seconds` have passed, or never when None."""

    name: str
    seconds: float | None


class Run(NamedTuple):
    """Do work beside the loop."""

    name: str
    work: Work


class Tell(NamedTuple):
    """Tell those who watch."""

    event: Event


class Withdrawn(NamedTuple):
    """Durable messages that are no longer wanted."""

    ids: list[bytes]


Effect = Outgoing | Emit | After | Run | Tell | Withdrawn

MOST = 1_024
"""Unacknowledged messages to one peer: a round has a few, and takes them back when it ends."""


class Turn:
    """What a service may do while it handles one event."""

    def __init__(self, transaction: Transaction, now: int, rng: Rng, sender: str = "") -> None:
        self._transaction = transaction
        self._now = now
        self._rng = rng
        self._sender = sender
        self.effects: list[Effect] = []

    def get(self, key: str) -> bytes | None:
        """Return what is kept under `key`, or None."""
        return self._transaction.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Keep `value` under `key`; secrets are sealed first (vault.RoundKeys)."""
        self._transaction.put(key, value)

    def delete(self, key: str) -> None:
        """Keep nothing under `key`."""
        self._transaction.delete(key)

    def scan(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return all pairs whose key begins with `prefix`, in order of keys."""
        return self._transaction.scan(prefix)

    def send(self, to: str, kind: str, header: bytes, body: bytes = b"") -> None:
        """Send after commit, again and again until acknowledged, also after a restart.

        Messages to one peer arrive in the order of sending, each once; kinds `chunk` and `piece` in any order. What
        waits already is not sent beside itself, and a peer that has not acknowledged `MOST` is sent nothing more.
        Whoever asks again and again, and takes nothing, fills no disk.
        """
        message = Outgoing(self._rng(16), to, kind, header, body)
        waiting, same = self._transaction.waiting(message)
        if same or waiting >= MOST:
            return
        self._transaction.enqueue(message)
        self.effects.append(message)

    def withdraw(self, to: str) -> None:
        """Send `to` nothing more of what it has not acknowledged, for example because it is revoked."""
        self.effects.append(Withdrawn(self._transaction.withdraw(to)))

    def emit(self, to: str, kind: str, header: bytes, body: bytes = b"") -> None:
        """Send once after commit; it may be lost."""
        self.effects.append(Emit(to, kind, header, body))

    def reply(self, kind: str, header: bytes, body: bytes = b"") -> None:
        """Send once to whoever sent the message that is being handled; it may be lost."""
        if not self._sender:
            raise RuntimeError("there is nobody to reply to: this turn handles no message")
        self.emit(self._sender, kind, header, body)

    def after(self, name: str, seconds: float) -> None:
        """Call `wake(name)` once when `seconds` have passed; a timer of that name is replaced. Lost at a restart."""
        self.effects.append(After(name, seconds))

    def cancel(self, name: str) -> None:
        """Drop the timer of that name, if there is one."""
        self.effects.append(After(name, None))

    def run(self, name: str, work: Work) -> None:
        """Do `work` on the executor after commit; its value, or what it raised, comes back as `finished(name, …)`.

        The work sees no turn and no journal. It is lost at a restart: `start` asks for it again.
        """
        self.effects.append(Run(name, work))

    def tell(self, event: Event) -> None:
        """Log an event, and tell those who watch over the admin socket."""
        self.effects.append(Tell(event))

    def now(self) -> int:
        """Return wall time in whole seconds; for signed statements, never for deadlines."""
        return self._now


class Service(Protocol):
    """A role: pure decisions on what it has kept. Everything it knows between turns is in the journal."""

    def start(self, turn: Turn) -> None:
        """Take up what was kept: set timers again, ask again for work that was under way."""

    def receive(self, message: Received, turn: Turn) -> None:
        """Handle a message. Raising TryLater leaves it unacknowledged, so that it comes again."""

    def wake(self, name: str, turn: Turn) -> None:
        """Handle a timer."""

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        """Handle the outcome of work: what it returned, or the exception that it raised."""

    def command(self, request: dict[str, object], turn: Turn) -> Reply:
        """Answer a person at the admin socket."""
