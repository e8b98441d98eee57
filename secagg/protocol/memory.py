"""What a node or a trustee remembers between rounds and what the protocol asks of that memory.

Rules (protocol §3): one manifest per (job, round, attempt). A later attempt ends the earlier ones. One opening per
(federation, job, round), whatever the attempt or the group. Records are written in the same transaction as the phase
that depends on them. Only entries of the ledger of inputs are written before it.
Leaves to others: durability (secagg.daemon.ledger over the journal, secagg.daemon.inputs), what follows from inputs
(secagg.protocol.inputs), policy.
"""

from typing import Protocol

from msgspec import Struct

from secagg.errors import Refused
from secagg.ids import Digest, Name, RoundId
from secagg.log.checkpoint import Checkpoint
from secagg.protocol.inputs import Counted
from secagg.protocol.manifest import Seat
from secagg.wire.signed import Scope, Signed


class Accepted(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node took part in this attempt under this manifest."""

    round: RoundId
    manifest: Digest


class Opened(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node or trustee is about to release opening material for this set."""

    round: RoundId
    contributors: tuple[Name, ...]


class Summed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This trustee decided to open this set; `inputs` are what the headers call their inputs, in the order of seats."""

    round: RoundId
    seats: tuple[Seat, ...]
    inputs: tuple[Digest, ...]


class AttemptOver(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This trustee never answers this attempt; `word` is its signed word of that, to be repeated as it is."""

    round: RoundId
    manifest: Digest
    word: Signed


class Witnessed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node accepted this checkpoint of the round log."""

    origin: str
    size: int
    root: Digest


Record = Accepted | Opened | Summed | AttemptOver | Witnessed | Counted


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


class TrusteeMemory(Memory, Protocol):
    """A trustee's view of its own records."""

    def summed(self, key: bytes, tag: bytes) -> tuple[Summed, ...]:
        """Return the sets over which this trustee opened the input `tag` of the seat with this key, each set once."""
        ...

    def over(self, round_id: RoundId, manifest: bytes) -> AttemptOver | None:
        """Return the word that an attempt is over for this trustee, if it gave it."""
        ...


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


def check_going(memory: TrusteeMemory, scope: Scope) -> None:
    """Refuse an attempt that a trustee has said is over for it.

    Raises: Refused with rule `ledger.lifted`.
    """
    if memory.over(scope.round, scope.manifest) is not None:
        raise Refused(
            f"Attempt {scope.round.attempt} of round {scope.round.round} is over for this trustee.",
            "Propose the next attempt.", rule="ledger.lifted",
        )  # fmt: skip
