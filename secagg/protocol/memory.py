"""What a node or a trustee remembers between rounds and what the protocol asks of that memory.

Rules (protocol §3, §6.5): one manifest per (job, round, attempt); a later attempt ends the earlier ones; one opening
per (job, round, group) over all attempts; static inputs are opened only for the same set or a disjoint one, and by one
group of trustees only, because each knows only the sets that it opened itself. Records are written in the same
transaction as the phase that depends on them.
Leaves to others: durability (secagg.daemon.ledger over the journal), policy.
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


class Entrusted(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node is about to upload what the holders of `key` (its digest) can open, for a set that they will know."""

    round: RoundId
    task: Name
    static: bool
    model: Digest
    key: Digest


class Witnessed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node accepted this checkpoint of the round log."""

    origin: str
    size: int
    root: Digest


Record = Accepted | Opened | Entrusted | Witnessed


class Memory(Protocol):
    """A node's view of its own records."""

    def accepted(self) -> tuple[Accepted, ...]:
        """Return every manifest this node took part in, oldest first."""
        ...

    def opened(self) -> tuple[Opened, ...]:
        """Return every opening this node released for, oldest first."""
        ...

    def entrusted(self) -> tuple[Entrusted, ...]:
        """Return every upload that trustees may open, oldest first."""
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

    def entrusted(self) -> tuple[Entrusted, ...]:
        """Return every upload that trustees may open."""
        return tuple(record for record in self.records if isinstance(record, Entrusted))

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
    if entry.static and any(_same_input(earlier, entry) for earlier in memory.entrusted()):
        raise _by_others(entry.task)
    for earlier in memory.opened():
        if not (entry.static and earlier.static) or earlier.task != entry.task or earlier.model != entry.model:
            continue
        if set(earlier.contributors) != mine and mine & set(earlier.contributors):
            raise Refused(
                f"The input of task {entry.task} was already summed over an overlapping set of members.",
                "Repeat it with exactly the same set, or add noise.",
                rule="ledger.static",
            )


def check_entrusted(memory: Memory, entry: Entrusted) -> None:
    """Allow a static input to be uploaded for one group of trustees only, who then know every set it was summed over.

    Raises: Refused with rule `ledger.static`.
    """
    if not entry.static:
        return
    opened = any(earlier.static and _same_input(earlier, entry) for earlier in memory.opened())
    if opened or any(_same_input(earlier, entry) and earlier.key != entry.key for earlier in memory.entrusted()):
        raise _by_others(entry.task)


def trained(memory: Memory, task: str) -> set[tuple[str, str, int]]:
    """Return the rounds in which this task's training data was, or may have been, opened."""
    released: tuple[Opened | Entrusted, ...] = (*memory.opened(), *memory.entrusted())
    return {entry.round.opening for entry in released if entry.task == task and not entry.static}


def _same_input(earlier: Opened | Entrusted, entry: Opened | Entrusted) -> bool:
    return earlier.static and (earlier.task, earlier.model) == (entry.task, entry.model)


def _by_others(task: str) -> Refused:
    return Refused(
        f"The input of task {task} was already summed with other holders, who know nothing of this set.",
        "Repeat it with the same engine and the same trustees.", rule="ledger.static",
    )  # fmt: skip
