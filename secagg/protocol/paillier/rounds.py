"""The aggregator's phases of a round of engine `paillier`; most events and effects are those of engine `masks`.

Rules: a phase holds digests, signed headers and encoded lists, never vectors: answers of trustees are side files that
it names. It encodes completely; effects are carried out in order, after the phase is saved.
Leaves to others: the transitions (aggregator.py).
"""

from dataclasses import dataclass

from msgspec import Struct

from secagg.ids import Count, Digest, Name, Ordinal
from secagg.protocol.lanes import Groups
from secagg.protocol.round.events import Event, Open
from secagg.protocol.round.messages import Cosignature
from secagg.protocol.round.phases import Closed, Common, Failed, Proposing, Publishing, Standing
from secagg.wire.signed import Signed


class Given(Struct, frozen=True, forbid_unknown_fields=True):
    """A signed piece of a trustee's answer, kept as a side file of this SHA-256."""

    trustee: Name
    digest: Digest
    index: Count = 0
    count: Ordinal = 1


def complete(answers: tuple[Given, ...]) -> dict[str, tuple[Given, ...]]:
    """Return the pieces of every trustee whose answer is whole, in their order; trustees as their answers came."""
    found: dict[str, list[Given]] = {}
    for entry in answers:
        found.setdefault(entry.trustee, []).append(entry)
    whole = {name: pieces for name, pieces in found.items() if len(pieces) == pieces[0].count}
    return {name: tuple(sorted(pieces, key=lambda piece: piece.index)) for name, pieces in whole.items()}


class Collecting(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Members encrypt; collecting headers of complete, verified uploads, and the trustees that attend.

    `size` is that of the checkpoint in which the manifest was proposed: where a trustee stands that is only slow.
    """

    size: Count
    attending: tuple[Standing, ...] = ()
    headers: tuple[Signed, ...] = ()


class Freezing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """U is fixed; waiting for its statement to be logged."""

    size: Count
    attending: tuple[Standing, ...]
    u: bytes


class Witnessing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """The freeze is out to `shown`; collecting agreements and co-signatures. `present` said a word at all."""

    shown: tuple[Name, ...]
    present: tuple[Name, ...]
    u: bytes
    checkpoint: bytes
    agreements: tuple[Signed, ...] = ()
    cosignatures: tuple[Cosignature, ...] = ()
    directory: tuple[Cosignature, ...] = ()


class Opening(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """The quorum is out; collecting answers. `trying` are those whose answers the shell is putting together now.

    A trustee that witnesses late is asked late: `asked` grows. When the step's time is over while answers are being
    put together, the phase is `overdue`: what they give is the end.
    """

    shown: tuple[Name, ...]
    present: tuple[Name, ...]
    u: bytes
    checkpoint: bytes
    agreements: tuple[Signed, ...]
    cosignatures: tuple[Cosignature, ...]
    witnesses: bytes
    asked: tuple[Name, ...]
    answers: tuple[Given, ...] = ()
    trying: tuple[Name, ...] = ()
    doubled: tuple[Name, ...] = ()
    overdue: bool = False


Phase = Proposing | Collecting | Freezing | Witnessing | Opening | Publishing | Closed | Failed
Waiting = Collecting | Witnessing | Opening
"""Phases that wait for messages and have a deadline."""


@dataclass(frozen=True)
class Combine(Open):
    """Multiply U's uploads, put the answers of `trying` together, come back with `Combined`."""


@dataclass(frozen=True)
class Combined(Event):
    """What the answers gave: clear words per lane group, whose they were, and who answered wrongly.

    Without enough right answers `used` is empty and there are no words.
    """

    groups: Groups
    used: tuple[str, ...]
    wrong: tuple[str, ...]


