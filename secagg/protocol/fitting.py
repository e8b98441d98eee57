"""Which of the members who uploaded can be summed together, when inputs are bound to sets.

Rules (protocol §6.5): a set is frozen only when every input in it may be summed over exactly this set; of the sets that
could be, the largest is taken, so that as few as possible are left out, and among equals the first by names, so that a
repeated decision is the same. Sets that inputs are bound to are known by digest: those that this aggregator froze
before, as they would be with today's seats. An input that a person lets overlap needs that word of every member of
either set. Leaves to others: what binds an input (inputs.py), refusing a set that does not fit (binding.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from secagg.log.statements import TEXT
from secagg.protocol.allowing import allowed_by
from secagg.protocol.binding import Bound, seats_digest, unfit
from secagg.protocol.manifest import Manifest, Seat

_ITS = "its data "

Earlier = Mapping[bytes, Sequence[str]]
"""Names of sets that were frozen before, by the digest of their seats."""


def choose(
    bounds: Mapping[str, Bound], seats: Mapping[str, Seat], earlier: Earlier, allowed: Collection[str]
) -> tuple[str, ...]:
    """Return whom to freeze, in the order of `bounds`; nobody when no set fits.

    `bounds` are the inputs at hand by member, `seats` those of the whole cohort, `allowed` who lets this job overlap.
    """
    best: tuple[str, ...] = ()
    for candidate in _candidates(bounds, earlier):
        names = tuple(name for name in bounds if name in candidate)
        if len(names) > len(best) and _fits(names, bounds, seats, earlier, allowed):
            best = names
    return best


def left_out(
    bounds: Mapping[str, Bound], manifest: Manifest, earlier: Earlier, allowances: Iterable[bytes]
) -> dict[str, str]:
    """Return who of those at hand is in no set that can be frozen, each with the reason that people read.

    `allowances` are signed `OverlapAllowed` entries of members for this job.
    """
    seats = {seat.name: seat for seat in manifest.members}
    allowed = allowed_by(allowances, manifest.round, manifest.members)
    chosen = choose(bounds, seats, earlier, allowed)
    return {name: _why(bound, earlier) for name, bound in bounds.items() if name not in chosen}


def is_reason(reason: str) -> bool:
    """Say whether a member was left out by this reason because of what its input is bound to."""
    return reason.startswith(_ITS)


def _why(bound: Bound, earlier: Earlier) -> str:
    names = ", ".join(earlier.get(bound.only.seats, ("others",)))
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
    known = [frozenset(earlier[digest]) for digest in wanted if digest in earlier]
    return [there, *(one for one in known if one <= there), free, plain]


def _fits(
    names: Sequence[str], bounds: Mapping[str, Bound], seats: Mapping[str, Seat], earlier: Earlier,
    allowed: Collection[str],
) -> bool:  # fmt: skip
    chosen = {name: bounds[name] for name in names}
    own = [seats[name] for name in names]
    if unfit(chosen, own):
        return False
    digest = seats_digest(own)
    others = {bound.only.seats for bound in chosen.values() if bound.only.kind == "overlap"} - {digest}
    if not others:
        return True
    asked = {*names, *(name for other in others for name in earlier.get(other, ()) if name in seats)}
    return asked <= set(allowed)
