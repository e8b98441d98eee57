"""What moves a round, and what a round asks its shell to do, whatever its engine.

Rule: effects are carried out in order, after the phase is saved. Leaves to others: events and effects of one engine
alone (its rounds.py), carrying them out (the daemons; in one process the rehearsal).
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from secagg.log.statements import Statement
from secagg.log.witness import LogProof
from secagg.protocol.memory import Record
from secagg.protocol.round.phases import Closed, Common, Failed

Phase = TypeVar("Phase", bound=Common | Closed | Failed, covariant=True)
Own = TypeVar("Own", covariant=True)


class Event:
    """Something that happened to a round."""


class Effect:
    """Something that a round asks for."""


@dataclass(frozen=True)
class Turned(Generic[Phase]):
    """What the shell saves (`phase`) and then does (`effects`, in order)."""

    phase: Phase
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True)
class Step(Generic[Own]):
    """What a member or a trustee saves (`phase`, `records`) and then sends (`send`: kind and message), in this order.
    """

    phase: Own
    send: tuple[tuple[str, bytes], ...] = ()
    records: tuple[Record, ...] = ()


@dataclass(frozen=True)
class FromNode(Event):
    """A message of a member, as the link stamped its sender."""

    sender: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class Deadline(Event):
    """The time for a step is over."""

    step: str


@dataclass(frozen=True)
class Logged(Event):
    """A statement asked for by `Log` is in a published checkpoint; one proof per old size asked for."""

    leaf: bytes
    proofs: tuple[LogProof, ...]


@dataclass(frozen=True)
class Send(Effect):
    """Send one message to one member."""

    to: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class Append(Effect):
    """Append a statement to the log; nothing waits for it."""

    statement: Statement


@dataclass(frozen=True)
class Log(Effect):
    """Append a statement, publish a checkpoint, come back with `Logged`."""

    statement: Statement
    old_sizes: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Keep(Effect):
    """Keep these bytes as a side file of the audit, named by their SHA-256, before what follows is done."""

    data: bytes


@dataclass(frozen=True)
class Judge(Effect):
    """Hold the answers against what was signed of them, and come back with what the engine makes of it."""


@dataclass(frozen=True)
class Open(Effect):
    """Open the sum of the frozen uploads: each engine says what it takes."""
