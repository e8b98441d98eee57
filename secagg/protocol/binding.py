"""What travels of a bound input: its tag, and the one set that it may still be summed over.

How to read it: a node says `Bound` in every signed header and, where it knows it before the round, in its word of
presence. `fits` is the one rule by which aggregator, nodes, trustees and auditor hold a frozen set against it. Rules
(protocol §6.5): the tag is a keyed digest that only its owner can make. It is equal for one input in every job, round,
attempt and engine. A set is one of seats, so a member that was enrolled anew is another one under its old name. Whoever
does not fit is left out of the set. A frozen set with somebody in it who does not fit is opened by nobody. Leaves to
others: what an input is and to what it is bound (secagg.protocol.inputs).
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.errors import Refused
from secagg.ids import NO_DIGEST, Digest
from secagg.protocol.manifest import Seat

SEATS_LABEL = "secagg/v2/seats"


class Only(Struct, frozen=True, forbid_unknown_fields=True):
    """The set that an input may be summed over.

    `any`: whatever set is frozen. `same`: the set with the digest `seats`. `overlap`: `seats` was summed before, and
    this institution allows another set beside it (`secagg node allow JOB --overlap`). `nothing`: an earlier header for
    this input has neither a freeze nor an end, so no set is known to be safe.
    """

    kind: Literal["any", "same", "overlap", "nothing"] = "any"
    seats: Digest = NO_DIGEST


class Bound(Struct, frozen=True, forbid_unknown_fields=True):
    """An input's tag (HMAC under the key of its owner's ledger) and the set that it is bound to."""

    input: Digest
    only: Only


ANY, NOTHING = Only(), Only("nothing")
UNKNOWN = Bound(NO_DIGEST, ANY)
"""What a word of presence says while an input is not known yet."""


def seats_digest(seats: Iterable[Seat]) -> bytes:
    """Return what names a set of seats everywhere: a SHA-256 over names and signing keys, in order of names."""
    ordered = sorted(seats, key=lambda seat: seat.name)
    return sha256(fields(SEATS_LABEL, *(part for seat in ordered for part in (seat.name, seat.key))))


def unfit(bounds: Mapping[str, Bound], seats: Iterable[Seat]) -> tuple[str, ...]:
    """Return the members of a set whose inputs are not to be summed over it, in the order of their names."""
    wanted = seats_digest(seats)
    return tuple(sorted(name for name, bound in bounds.items() if not _allows(bound.only, wanted)))


def check_fits(bounds: Mapping[str, Bound], seats: Iterable[Seat]) -> None:
    """Hold a frozen set against what every header in it says of its input.

    Raises: Refused (`ledger.only`) naming the first member that does not fit.
    """
    for name in unfit(bounds, seats):
        raise Refused(
            f"The input of {name} is bound to another set of members than the frozen one.",
            "The round cannot be opened: leave it, and ask the operator for the log.", rule="ledger.only",
        )  # fmt: skip


def _allows(only: Only, wanted: bytes) -> bool:
    return only.kind in ("any", "overlap") or (only.kind == "same" and only.seats == wanted)
