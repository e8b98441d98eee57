"""What moves a round, and what a round asks its shell to do, whatever its engine.

Rule: effects are carried out in order, after the phase is saved. Leaves to others: events and effects of one engine
alone (its rounds.py), carrying them out (the daemons; in one process the rehearsal).
"""

from dataclasses import dataclass

from secagg.log.statements import Statement
from secagg.log.witness import LogProof


@dataclass(frozen=True)
class FromNode:
    """A message of a member, as the link stamped its sender."""

    sender: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class Deadline:
    """The time for a step is over."""

    step: str


@dataclass(frozen=True)
class Logged:
    """A statement asked for by `Log` is in a published checkpoint; one proof per old size asked for."""

    leaf: bytes
    proofs: tuple[LogProof, ...]


@dataclass(frozen=True)
class Send:
    """Send one message to one member."""

    to: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class Append:
    """Append a statement to the log; nothing waits for it."""

    statement: Statement


@dataclass(frozen=True)
class Log:
    """Append a statement, publish a checkpoint, come back with `Logged`."""

    statement: Statement
    old_sizes: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Keep:
    """Keep these bytes as a side file of the audit, named by their SHA-256, before what follows is done."""

    data: bytes
