"""What a node or a trustee remembers between rounds and what the protocol asks of that memory.

Rules (protocol §3): one manifest per (job, round, attempt); a later attempt ends the earlier ones; one opening per
(job, round, group) over all attempts. Records are written in the same transaction as the phase that depends on them,
but for entries of the ledger of inputs, which are written before it.
Leaves to others: durability (secagg.daemon.ledger over the journal, secagg.daemon.inputs), what follows from inputs
(secagg.protocol.inputs), policy.
"""

from typing import Protocol

from msgspec import Struct

from secagg.errors import Refused
from secagg.ids import NO_DIGEST, Digest, Name, RoundId
from secagg.log.checkpoint import Checkpoint
from secagg.protocol.inputs import Counted


class Accepted(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node took part in this attempt under this manifest."""

    round: RoundId
    manifest: Digest


class Opened(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node or trustee is about to release opening material for this set; the rest is what a trustee compares."""

    round: RoundId
    contributors: tuple[Name, ...]
    task: str = ""
    static: bool = False
    model: Digest = NO_DIGEST


class Witnessed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node accepted this checkpoint of the round log."""

    origin: str
    size: int
    root: Digest


Record = Accepted | Opened | Witnessed | Counted


class Memory(Protocol):
    """A node's view of its own records."""

    def accepted(self) -> tuple[Accepted, ...]:
        """Return every manifest this node took part in, oldest first."""
        ...

    def opened(self) -> tuple[Opened, ...]:
        """Return every opening this node released for, oldest first."""
        ...

    def counted(self, round_id: RoundId) -> Counted | None:
        """Return this node's entry of an attempt in the ledger of inputs."""
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

    def counted(self, round_id: RoundId) -> Counted | None:
        """Return this node's newest entry of an attempt."""
        found = [record for record in self.records if isinstance(record, Counted) and record.round == round_id]
        return found[-1] if found else None

    def entries(self) -> tuple[Counted, ...]:
        """Return the newest entry of every attempt."""
        return tuple({r.round: r for r in self.records if isinstance(r, Counted)}.values())

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
    """Allow a trustee to open a static input only for a set equal to, or disjoint from, every earlier one of its task.

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
