"""Whether a frozen set may be summed, going by what every header in it says of its input (protocol §6.5), in step 3.

Rules: an input that is bound fits its set only; another set beside an earlier one needs the signed word of every member
of either. Leaves to others: what binds an input (secagg.protocol.inputs), the other checks of step 3 (checks.py).
"""

from secagg.protocol.acceptance import Expectation
from secagg.protocol.allowing import allowed_by, require_allowed
from secagg.protocol.binding import Bound, check_fits, seats_digest
from secagg.protocol.manifest import Seat
from secagg.protocol.masks.messages import Freeze, MaskedInput
from secagg.protocol.masks.phases import Uploaded
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Signed


def bounds_of(u3: bytes) -> dict[str, Bound]:
    """Return what every header in a verified list says of its input, by member."""
    return {
        entry.sender: decode(MaskedInput, entry.body).bound for entry in decode(tuple[Signed, ...], u3, LIMIT_LIST)
    }


def bound_inputs(message: Freeze, phase: Uploaded, seats: tuple[Seat, ...], expect: Expectation) -> None:
    """Check that every input in U3 may be summed over this set (§6.5): as its header says, or as persons allowed.

    An input that somebody excused is summed over another set than before. The difference shows the inputs of those who
    are in one of the two sets only. So every member of either has to have allowed it.
    """
    bounds = bounds_of(message.u3)
    check_fits(bounds, seats)
    wanted = seats_digest(seats)
    others = any(bound.only.kind == "overlap" and bound.only.seats != wanted for bound in bounds.values())
    excused = [found for found in phase.excused if seats_digest(found) != wanted]
    if not others and not excused:
        return
    allowed = allowed_by(message.allowances, phase.scope.round, expect.seats)
    require_allowed((seats, *excused), allowed, expect.seats, phase.scope.round.job)
