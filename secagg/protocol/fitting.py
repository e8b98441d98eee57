"""Which of the members who uploaded can be summed together, when inputs are bound to sets.

Rules (protocol §6.5): a set is frozen only when every input in it may be summed over exactly this set; of the sets that
could be, the largest is taken, so that as few as possible are left out, and among equals the first by names, so that a
repeated decision is the same. Sets that inputs are bound to are known by digest: those that this aggregator froze
before, as they would be with today's seats. An input that a person lets overlap needs that word of every member of
either set. Leaves to others: what binds an input (inputs.py), refusing a set that does not fit (binding.py).
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from secagg.log.statements import TEXT
from secagg.protocol.allowing import allowed_by, lacking
from secagg.protocol.binding import Bound, seats_digest, unfit
from secagg.protocol.manifest import Manifest, Seat

_ITS = "its data "

Earlier = Mapping[bytes, tuple[Seat, ...]]
"""Sets that were frozen before, by their digest."""


class Known(NamedTuple):
    """What an aggregator knows beside a round: the sets frozen before, members' signed `OverlapAllowed` entries for
    this job, and the seats of all members now."""

    earlier: Earlier = MappingProxyType({})
    allowances: tuple[bytes, ...] = ()
    roster: tuple[Seat, ...] = ()


def choose(
    bounds: Mapping[str, Bound], seats: Mapping[str, Seat], earlier: Earlier, allowed: Collection[str],
    roster: Collection[Seat],
) -> tuple[str, ...]:  # fmt: skip
    """Return whom to freeze, in the order of `bounds`; nobody when no set fits.

    `bounds` are the inputs at hand by member, `seats` those of the whole cohort, `allowed` who lets this job overlap,
    `roster` the seats of all members now: nobody else is asked.
    """
    best: tuple[str, ...] = ()
    for candidate in _candidates(bounds, earlier):
        names = tuple(name for name in bounds if name in candidate)
        if len(names) > len(best) and _fits(names, bounds, seats, earlier, allowed, roster):
            best = names
    return best


def left_out(bounds: Mapping[str, Bound], manifest: Manifest, known: Known) -> dict[str, str]:
    """Return who of those at hand is in no set that can be frozen, each with the reason that people read."""
    seats = {seat.name: seat for seat in manifest.members}
    allowed = allowed_by(known.allowances, manifest.round, known.roster)
    chosen = choose(bounds, seats, known.earlier, allowed, known.roster)
    return {name: _why(bound, known.earlier) for name, bound in bounds.items() if name not in chosen}


def is_reason(reason: str) -> bool:
    """Say whether a member was left out by this reason because of what its input is bound to."""
    return reason.startswith(_ITS)


def _why(bound: Bound, earlier: Earlier) -> str:
    names = ", ".join(seat.name for seat in earlier.get(bound.only.seats, ())) or "others"
    match bound.only.kind:
        case "same":
            why = f"was summed over {names} before, and may be summed over these only"
        case "overlap":
            why = f"was summed over {names} before, and not all of both sets allow another one"
        case "nothing":
            why = "may be in an earlier sum, and it does not know yet how that round ended"
        case _:
            why = "may be summed, and not together with that of the others"
    return f"{_ITS}{why}"[:TEXT]


def _candidates(bounds: Mapping[str, Bound], earlier: Earlier) -> list[frozenset[str]]:
    there = frozenset(name for name, bound in bounds.items() if bound.only.kind != "nothing")
    free = frozenset(name for name in there if bounds[name].only.kind != "same")
    plain = frozenset(name for name in free if bounds[name].only.kind == "any")
    wanted = sorted({bounds[name].only.seats for name in there if bounds[name].only.kind == "same"})
    known = [frozenset(seat.name for seat in earlier[digest]) for digest in wanted if digest in earlier]
    return [there, *(one for one in known if one <= there), free, plain]


def _fits(
    names: Sequence[str], bounds: Mapping[str, Bound], seats: Mapping[str, Seat], earlier: Earlier,
    allowed: Collection[str], roster: Collection[Seat],
) -> bool:  # fmt: skip
    chosen = {name: bounds[name] for name in names}
    own = [seats[name] for name in names]
    if unfit(chosen, own):
        return False
    digest = seats_digest(own)
    others = {bound.only.seats for bound in chosen.values() if bound.only.kind == "overlap"} - {digest}
    return not others or not lacking((own, *(earlier.get(other, ()) for other in others)), allowed, roster)
