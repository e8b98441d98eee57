"""The inputs in a frozen set, as a trustee holds them against what it decided to open before (protocol §6.5). And the
one that a node gives, as it holds it against its own ledger.

Rules: an input is what its owner's header calls it, by a keyed digest that nobody else can make. A member is its
signing key. Names of members, tasks, jobs and models are never compared, so that another name is no way round. What was
opened is never forgotten, and nothing here depends on whether the round then had a result. Trustees do not know the
sets that others opened, and nodes see no freeze. So a node says `overlap` only once it has seen the word of everybody
in the sets of its own ledger. Else it says what it would had nobody here allowed more.
Leaves to others: the headers' signatures and the freeze (checks.py), keeping what was decided (memory), what the
members' own ledgers say (node).
"""

from collections.abc import Mapping

from secagg.errors import Refused
from secagg.protocol.allowing import allowed_by, lacking, require_allowed
from secagg.protocol.binding import Bound, Only, check_fits, seats_digest
from secagg.protocol.inputs import Given
from secagg.protocol.manifest import Manifest, Seat
from secagg.protocol.memory import Summed, TrusteeMemory
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.protocol.paillier.phases import Encrypting
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Signed


def bounds_of(u: bytes) -> dict[str, Bound]:
    """Return what every header in a verified list says of its input, by member."""
    return {
        entry.sender: decode(EncryptedInput, entry.body).bound for entry in decode(tuple[Signed, ...], u, LIMIT_LIST)
    }


def own_bound(phase: Encrypting, given: Given, roster: tuple[Seat, ...]) -> Bound:
    """Return what a node's header says of its input; `roster` are the seats of all members now.

    Raises: Refused (`ledger.overlap`) naming who did not allow it, when the cohort is not the only set that was summed.
    """
    if not given.excused:
        return given.bound
    if not lacking(given.excused, phase.allowed, roster):
        return given.bound
    if given.otherwise != Only("same", seats_digest(phase.manifest.members)):
        require_allowed(given.excused, phase.allowed, roster, phase.manifest.round.job)
    return Bound(given.bound.input, given.otherwise)


def summed(u: bytes, manifest: Manifest) -> tuple[Summed, Mapping[str, Bound]]:
    """Return the record of a verified frozen set, and what every header in it says of its input."""
    bounds = bounds_of(u)
    seats = tuple(seat for seat in manifest.members if seat.name in bounds)
    return Summed(manifest.round, seats, tuple(bounds[seat.name].input for seat in seats)), bounds


def check_inputs(
    u: bytes, manifest: Manifest, allowances: tuple[bytes, ...], roster: tuple[Seat, ...], memory: TrusteeMemory
) -> Summed:
    """Check that every input in a frozen set may be summed over it; return what is remembered once it is decided.

    `allowances` are members' signed words that persons allow more, `roster` the seats of all members now.
    Raises: Refused: `ledger.only` when a header says another set, `trustee.input` when this trustee opened the input
    over another set. It is `ledger.overlap` when not everybody allowed it who had to.
    """
    found, bounds = summed(u, manifest)
    check_fits(bounds, found.seats)
    wanted = seats_digest(found.seats)
    judged = {wanted}
    if any(bound.only.kind == "overlap" and bound.only.seats != wanted for bound in bounds.values()):
        allowed = allowed_by(allowances, manifest.round, roster)
        require_allowed((found.seats,), allowed, roster, manifest.round.job)
    for seat, tag in zip(found.seats, found.inputs, strict=True):
        for earlier in memory.summed(seat.key, tag):
            if seats_digest(earlier.seats) not in judged:
                _require(seat, earlier, found, allowances, roster)
                judged.add(seats_digest(earlier.seats))
    return found


def _require(
    seat: Seat, earlier: Summed, found: Summed, allowances: tuple[bytes, ...], roster: tuple[Seat, ...]
) -> None:
    """Refuse an input that was opened over another set, unless every member of either set allowed it."""
    if not allowances:
        before = f"round {earlier.round.round} of {earlier.round.job}"
        raise Refused(
            f"This trustee decided to open the input of {seat.name} over another set of members, in {before}.",
            f"Repeat it with exactly that set, or at every institution: secagg node allow {found.round.job} --overlap.",
            rule="trustee.input",
        )  # fmt: skip
    allowed = allowed_by(allowances, found.round, roster)
    require_allowed((found.seats, earlier.seats), allowed, roster, found.round.job)
