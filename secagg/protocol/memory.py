"""What a node remembers between rounds and what the protocol asks of that memory.

Rules (protocol §3, §6.5): one manifest per (job, round, attempt); a later attempt ends the earlier ones; one opening
per (job, round, group) over all attempts; static inputs are opened only for the same set or a disjoint one. Records are
written in the same transaction as the phase that depends on them.
Leaves to others: durability (node.ledger over the journal), policy.
"""

from typing import Protocol

from msgspec import Struct

from secagg.errors import Refused
from secagg.ids import Digest, Name, RoundId
from secagg.log.checkpoint import Checkpoint


class Accepted(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node took part in this attempt under this manifest."""

    round: RoundId
    manifest: Digest


class Opened(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node is about to release opening material for this set; `static` if its input repeats over rounds."""

    round: RoundId
    task: Name
    contributors: tuple[Name, ...]
    static: bool
    model: Digest


class Witnessed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node accepted this checkpoint of the round log."""

    origin: str
    size: int
    root: Digest


Record = Accepted | Opened | Witnessed


class Memory(Protocol):
    """A node's view of its own records."""

    def accepted(self) -> tuple[Accepted, ...]:
        """Return every manifest this node took part in, oldest first."""
        ...

    def opened(self) -> tuple[Opened, ...]:
        """Return every opening this node released for, oldest first."""
        ...

    def last(self, origin: str) -> Checkpoint | None:
        """Return the last checkpoint of a log that this node accepted."""
        ...


class Notebook:
    """Memory in a list: for rounds in process and tests."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def accepted(self) -> tuple[Accepted, ...]:
        """Return every manifest this node took part in."""
        return tuple(record for record in self.records if isinstance(record, Accepted))

    def opened(self) -> tuple[Opened, ...]:
        """Return every opening this node released for."""
        return tuple(record for record in self.records if isinstance(record, Opened))

    def last(self, origin: str) -> Checkpoint | None:
        """Return the last checkpoint of a log that this node accepted."""
        seen = [record for record in self.records if isinstance(record, Witnessed) and record.origin == origin]
        return Checkpoint(origin=origin, size=seen[-1].size, root=seen[-1].root) if seen else None


def check_attempt(memory: Memory, round_id: RoundId, manifest: bytes) -> None:
    """Refuse a second manifest for one attempt, an attempt that a later one ended, and any attempt after an opening.

    Raises: Refused with rule `attempt.opened`, `attempt.superseded` or `attempt.second-manifest`.
    """
    check_unopened(memory, round_id)
    check_current(memory, round_id)
    for entry in memory.accepted():
        if entry.round == round_id and entry.manifest != manifest:
            raise Refused(
                f"A second manifest was proposed for {round_id.label()}.",
                "One manifest per attempt: propose the next attempt.",
                rule="attempt.second-manifest",
            )


def check_current(memory: Memory, round_id: RoundId) -> None:
    """Refuse an attempt that a later one has ended: it may neither agree nor open any more.

    Raises: Refused with rule `attempt.superseded`.
    """
    for entry in memory.accepted():
        if entry.round.opening == round_id.opening and entry.round.attempt > round_id.attempt:
            raise Refused(
                f"Attempt {entry.round.attempt} has ended attempt {round_id.attempt} of round {round_id.round}.",
                "Propose a higher attempt.",
                rule="attempt.superseded",
            )


def check_unopened(memory: Memory, round_id: RoundId) -> None:
    """Refuse everything about a round this node has already released opening material for.

    Raises: Refused with rule `attempt.opened`.
    """
    if any(entry.round.opening == round_id.opening for entry in memory.opened()):
        raise Refused(
            f"Round {round_id.round} of {round_id.job} has been opened once; it is never opened again.",
            "Start the next round with a new update.",
            rule="attempt.opened",
        )


def check_static(memory: Memory, entry: Opened) -> None:
    """Allow a static input to be opened only for a set equal to, or disjoint from, every earlier one of its task.

    Raises: Refused with rule `ledger.static`.
    """
    mine = set(entry.contributors)
    for earlier in memory.opened():
        if not (entry.static and earlier.static) or earlier.task != entry.task or earlier.model != entry.model:
            continue
        if set(earlier.contributors) != mine and mine & set(earlier.contributors):
            raise Refused(
                f"The input of task {entry.task} was already summed over an overlapping set of members.",
                "Repeat it with exactly the same set, or add noise.",
                rule="ledger.static",
            )
