"""Who is named by a proof, what is stated of it, and how an attempt ends that its members' reports make unusable.

Rules (protocol §3): nobody is named without a proof that convinces anybody. The proof is a side file of the round log
before the statement that names it. Who is named is out, and what it sends afterwards means nothing.
Leaves to others: proofs (faults.py, judging.py), when a step ends (aggregator.py).
"""

from collections.abc import Iterable, Mapping

from secagg.crypto.derive import sha256
from secagg.log.statements import INLINE, FaultKind
from secagg.protocol.masks import judging, notices
from secagg.protocol.masks.reports import Reports
from secagg.protocol.masks.rounds import Charge, Uploading
from secagg.protocol.round import stating
from secagg.protocol.round.events import Append, Effect, Keep
from secagg.protocol.round.phases import Failed, Out
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed

FAULTS: Mapping[FaultKind, str] = {
    "answer": "answered another share than its dealer listed, or left one out",
    "dealing": "dealt shares that are not of the secret it committed to",
    "two-lists": "signed two lists of shares",
    "reported": "dealt shares that more members than may collude could not use",
}
"""What each kind of proven fault is, for people."""


def named(
    scope: Scope, charges: Iterable[Charge], step: str, now: int
) -> tuple[tuple[Out, ...], tuple[Effect, ...]]:  # fmt: skip
    """Return who is out by a proof, each once, and what keeps and states it."""
    out: dict[str, Out] = {}
    effects: list[Effect] = []
    for charge in charges:
        if charge.member not in out:
            out[charge.member] = Out(charge.member, step, FAULTS[charge.kind], sha256(charge.proof))
            effects += (Keep(charge.proof), Append(notices.fault(scope, charge, now)))
    return tuple(out.values()), tuple(effects)


def unusable(
    phase: Uploading, found: Reports, out: tuple[Out, ...], step: str, now: int
) -> tuple[Failed, tuple[Effect, ...]]:
    """End an attempt for what its headers report, before anything is opened; name whom more than c members report."""
    headers = {entry.sender: entry for entry in phase.headers}
    lists = {entry.sender: entry for entry in decode(tuple[Signed, ...], phase.u2, LIMIT_LIST)}
    needed = phase.manifest.colluders + 1
    charges = (
        judging.reported(phase, lists[dealer], (headers[name] for name in found.by[dealer][:needed]))
        for dealer in found.accused
    )
    proven, effects = named(phase.scope, charges, step, now)
    dealers = (*found.accused, *(dealer for dealer in found.short if dealer not in found.accused))
    whose = ", ".join(dealers[:3]) + (f" and {len(dealers) - 3} more" if len(dealers) > 3 else "")
    reason = f"members report that they hold no usable share of {whose}"
    pairs = stating.reports(found.pairs())
    listed = (Keep(encode(pairs)),) if len(pairs) > INLINE else ()
    statement = stating.aborted(phase.scope, step, reason, (*out, *proven), now, pairs)
    return Failed(phase.scope, step, reason, (*out, *proven)), (*effects, *listed, Append(statement))
