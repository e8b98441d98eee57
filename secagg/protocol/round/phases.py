"""Phases and parts of phases that the rounds of every engine have.

Rules: a phase holds digests, signed messages and encoded lists, never vectors, and encodes completely. An engine's own
phases extend `Common`. Leaves to others: what moves them (events.py), the transitions (each engine's aggregator.py).
"""

from typing import Literal, TypeVar

from msgspec import Struct

from secagg.errors import ProtocolViolation
from secagg.ids import NO_DIGEST, Digest, Name
from secagg.log.witness import LogProof
from secagg.protocol.manifest import Manifest, Published
from secagg.wire.signed import Scope, Signed

T = TypeVar("T")


class Out(Struct, frozen=True, forbid_unknown_fields=True):
    """A member that is no longer waited for, with the step and the reason.

    `proof` is the SHA-256 of the side file that proves its fault, where one is proven.
    """

    member: Name
    step: str
    reason: str
    proof: Digest = NO_DIGEST


class Common(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of every open phase: `signed` is the manifest as sent, `out` everybody who dropped so far."""

    scope: Scope
    manifest: Manifest
    signed: Signed
    out: tuple[Out, ...]


class Standing(Struct, frozen=True, forbid_unknown_fields=True):
    """The size of the last log checkpoint that a member said it holds."""

    member: Name
    size: int


class Proposing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """The manifest is signed; waiting for its statement to be logged. `standings` say who holds which checkpoint."""

    standings: tuple[Standing, ...]


class Publishing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """The sum is clear; waiting for the result's statement to be logged."""

    published: Published
    salt: Digest


class Closed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """The result is logged; `proof` shows it."""

    scope: Scope
    published: Published
    salt: Digest
    leaf: bytes
    proof: LogProof
    out: tuple[Out, ...]


class Failed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """The round is over without a result; nothing was released."""

    scope: Scope
    step: str
    reason: str
    out: tuple[Out, ...]


class Over(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """This node is out of the round."""

    scope: Scope
    outcome: Literal["closed", "aborted", "refused"]
    rule: str = ""


def unexpected(phase: object, what: str) -> ProtocolViolation:
    """Return the error for what is not legal in a phase."""
    cause = f"{what} is not legal in phase {type(phase).__name__}."
    return ProtocolViolation(cause, "It is discarded.", rule="phase.message")


def within(found: object, kind: type[T]) -> T:
    """Return a phase, or a sum, as the type that its engine knows. Raises: ProtocolViolation when it is another."""
    if not isinstance(found, kind):
        raise ProtocolViolation(
            f"{type(found).__name__} is no {kind.__name__}.", "It is asked for in another phase.", rule="phase.message"
        )
    return found
