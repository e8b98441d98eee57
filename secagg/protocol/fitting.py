"""Which of the members who uploaded can be summed together, when inputs are bound to sets.

Rules (protocol §6.5): a set is frozen only when every input in it may be summed over exactly this set. Of the sets that
could be, the largest is taken, so that as few as possible are left out. Among equals it is the one of free inputs,
because a member's word that it is bound is its own. Else it is the first by names, so that a repeated decision is the
same. Sets that inputs are bound to are known by digest: those that this aggregator froze before, as they would be with
today's seats. An input that a person lets overlap needs that word of every member of either set. An input that was
summed before is known by its member's key and its tag, whatever its header says. A member that repeats one as if it
were new would be refused by trustees and auditors, round after round. So it is bound here as an honest one would have
said.
Leaves to others: what binds an input (inputs.py), refusing a set that does not fit (binding.py), keeping what was
summed (aggregator.records).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from secagg.log.statements import TEXT
from secagg.protocol.allowing import allowed_by, lacking
from secagg.protocol.binding import Bound, Only, seats_digest, unfit
from secagg.protocol.manifest import Manifest, Seat

_ITS = "its data "

_UNKNOWN = "may be in an earlier sum whose end it does not know, or was in sums over more than one set"
"""A member says only that no set of now will do: which of the two it is, people read there."""

Earlier = Mapping[bytes, tuple[Seat, ...]]
"""Sets that were frozen before, by their digest."""

Remembered = Callable[[bytes, bytes], tuple[bytes, ...]]
"""The digests of the sets over which an input (its member's key, its tag) was summed before, the last one last."""


def never(key: bytes, tag: bytes) -> tuple[bytes, ...]:
    """Remember no sum."""
    return ()


class Known(NamedTuple):
    """What an aggregator knows beside a round: the sets frozen before, and members' signed `OverlapAllowed` entries for
    this job. It knows the seats of all members now, and what was summed over which sets."""

    earlier: Earlier = MappingProxyType({})
    allowances: tuple[bytes, ...] = ()
    roster: tuple[Seat, ...] = ()
    summed: Remembered = never


def choose(
    bounds: Mapping[str, Bound], seats: Mapping[str, Seat], earlier: Earlier, allowed: Collection[str],
    roster: Collection[Seat], summed: Remembered = never,
) -> tuple[str, ...]:  # fmt: skip
    """Return whom to freeze, in the order of `bounds`; nobody when no set fits.

    `bounds` are the inputs at hand by member, `seats` those of the whole cohort, `allowed` who lets this job overlap.
    `roster` holds the seats of all members now: nobody else is asked. `summed` is where each input was summed before.
    """
    best: tuple[str, ...] = ()
    before = {name: summed(seats[name].key, bound.input) for name, bound in bounds.items()}
    held = {name: _held(bound, before[name], allowed) for name, bound in bounds.items()}
    for candidate in _candidates(held, earlier):
        names = tuple(name for name in held if name in candidate)
        if len(names) > len(best) and _fits(names, held, before, seats, earlier, allowed, roster):
            best = names
    return best


def left_out(bounds: Mapping[str, Bound], manifest: Manifest, known: Known) -> dict[str, str]:
    """Return who of those at hand is in no set that can be frozen, each with the reason that people read."""
    seats = {seat.name: seat for seat in manifest.members}
    allowed = allowed_by(known.allowances, manifest.round, known.roster)
    chosen = choose(bounds, seats, known.earlier, allowed, known.roster, known.summed)
    held = {name: _held(bound, known.summed(seats[name].key, bound.input), allowed) for name, bound in bounds.items()}
    return {name: _why(bound, known.earlier) for name, bound in held.items() if name not in chosen}


def _held(bound: Bound, before: Sequence[bytes], allowed: Collection[str]) -> Bound:
    """Return to what an input is bound here: one that was summed before is, also where its header knows of no sum."""
    if bound.only.kind != "any" or not before:
        return bound
    return Bound(bound.input, Only("overlap" if allowed else "same", before[-1]))


def is_reason(reason: str) -> bool:
    """Say whether a member was left out by this reason because of what its input is bound to."""
    return reason.startswith(_ITS)


def is_unknown(reason: str) -> bool:
    """Say whether a member was left out by this reason because it named no set at all."""
    return reason == f"{_ITS}{_UNKNOWN}"


def _why(bound: Bound, earlier: Earlier) -> str:
    names = ", ".join(seat.name for seat in earlier.get(bound.only.seats, ())) or "others"
    match bound.only.kind:
        case "same":
            why = f"was summed over {names} before, and may be summed over these only"
        case "overlap":
            why = f"was summed over {names} before, and not all of both sets allow another one"
        case "nothing":
            why = _UNKNOWN
        case _:
            why = "may be summed, and not together with that of the others"
    return f"{_ITS}{why}"[:TEXT]


def _candidates(bounds: Mapping[str, Bound], earlier: Earlier) -> list[frozenset[str]]:
    there = frozenset(name for name, bound in bounds.items() if bound.only.kind != "nothing")
    free = frozenset(name for name in there if bounds[name].only.kind != "same")
    plain = frozenset(name for name in free if bounds[name].only.kind == "any")
    wanted = sorted({bounds[name].only.seats for name in there if bounds[name].only.kind in ("same", "overlap")})
    known = [frozenset(seat.name for seat in earlier[digest]) for digest in wanted if digest in earlier]
    return [there, plain, free, *(one for one in known if one <= there)]


def _fits(
    names: Sequence[str], bounds: Mapping[str, Bound], before: Mapping[str, Sequence[bytes]],
    seats: Mapping[str, Seat], earlier: Earlier, allowed: Collection[str], roster: Collection[Seat],
) -> bool:  # fmt: skip
    chosen = {name: bounds[name] for name in names}
    own = [seats[name] for name in names]
    if unfit(chosen, own):
        return False
    digest = seats_digest(own)
    others = {bound.only.seats for bound in chosen.values() if bound.only.kind == "overlap"}
    others = others.union(*(before[name] for name in names)) - {digest}
    return not others or not lacking((own, *(earlier.get(other, ()) for other in others)), allowed, roster)
