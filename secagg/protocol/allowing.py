"""What persons allowed of a job: to sum an input over another set than before (`secagg node allow JOB --overlap`).

How to read it: `allowed_by` reads the signed statements that came with a freeze; `require_allowed` asks everybody whom
the difference of two sets could show. Rules (protocol §6.5): the difference of two overlapping sums shows those who are
in one of the sets only. So every member of either has to have written it, for exactly this job. A seat that is revoked
or has left has no word any more. Where its organisation has another one now, because it was enrolled anew, that one is
asked: the data is the same people's. One function says so for members, aggregator, trustees and auditor. Leaves to
others: which sets an input was in (the ledgers of nodes and trustees, the auditor).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable

from secagg.errors import Refused, VerificationFailed
from secagg.ids import RoundId
from secagg.log.statements import OverlapAllowed, open_statement
from secagg.protocol.manifest import Seat


def allowed_by(leaves: Iterable[bytes], round_id: RoundId, roster: Iterable[Seat]) -> frozenset[str]:
    """Return who allowed this job to sum inputs over other sets than before; `roster` are the seats of all members.

    What is no statement of a member allows nothing, and takes nothing from the words beside it. Whoever is revoked
    between its word and the freeze would stop everybody else.
    """
    keys, found = {seat.name: seat.key for seat in roster}, set()
    for leaf in leaves:
        try:
            # Nobody's signature holds under no key.
            statement, signer = open_statement(leaf, lambda signer: keys.get(signer, b""))
        except VerificationFailed:
            continue
        if not isinstance(statement, OverlapAllowed):
            continue
        if (statement.federation, statement.job, statement.member) == (round_id.federation, round_id.job, signer):
            found.add(signer)
    return frozenset(found)


def lacking(sets: Iterable[Iterable[Seat]], allowed: Collection[str], roster: Iterable[Seat]) -> tuple[str, ...]:
    """Return who did not allow it of those who were asked, in order of names.

    Asked is every member of any of the sets; for a seat that is gone, whoever has a seat of its organisation now.
    """
    seats, now = set(), defaultdict(set)
    for seat in roster:
        seats.add((seat.name, seat.key))
        now[seat.organisation].add(seat.name)
    gone: set[str] = set()
    asked: set[str] = set()
    for seat in (seat for found in sets for seat in found):
        if (seat.name, seat.key) in seats:
            asked.add(seat.name)
        else:
            gone.add(seat.organisation)
    return tuple(sorted(asked.union(*(now[one] for one in gone)) - set(allowed)))


def require_allowed(
    sets: Iterable[Iterable[Seat]], allowed: Collection[str], roster: Iterable[Seat], job: str
) -> None:
    """Refuse to sum an input over another set unless every member of either allowed it.

    Raises: Refused (`ledger.overlap`) naming who did not.
    """
    missing = lacking(sets, allowed, roster)
    if missing:
        raise Refused(
            f"{missing[0]} did not allow {job} to sum its input over another set than before.",
            f"secagg node allow {job} --overlap, at {', '.join(missing)}.", rule="ledger.overlap",
        )  # fmt: skip
