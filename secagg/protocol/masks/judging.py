"""What the aggregator does with a round's answers beside its loop: judge them, recover, prove whose fault is seen.

Rules (protocol §3): n² hashes and n interpolations, too long for a turn. Nothing is taken from memory, so that it is
done again after a restart. Whoever is named is named with a proof, which is checked here before it is said.
Leaves to others: what follows from it (aggregator.py), what convinces (faults.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from secagg.errors import SecaggError
from secagg.protocol.masks import intake
from secagg.protocol.masks.faults import Point, Proof, Reported, TwoLists, WrongAnswer, WrongDealing, check_fault
from secagg.protocol.masks.messages import MaskedInput
from secagg.protocol.masks.recovery import Evidence, Shares, Verdict, judge_answers, recover
from secagg.protocol.masks.rounds import Charge, Judged, Judging
from secagg.protocol.round.phases import Common
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Signed


def judge(phase: Judging) -> Judged:
    """Return what the answers give, and proofs of every fault seen in them."""
    evidence, headers = intake.evidence(phase), _by_sender(phase.u3)
    dealt = intake.dealt_leaves(phase.dealt)
    reported = {name: decode(MaskedInput, header.body).reported for name, header in headers.items()}
    by_x = {dealer: {leaf.x: leaf for leaf in leaves} for dealer, leaves in dealt.items()}
    verdict = judge_answers(evidence, by_x, reported)
    charges = _charges(phase, evidence, verdict, headers)
    kept = replace(evidence, answers={name: evidence.answers[name] for name in verdict.good})
    try:
        return Judged(kept, recover(kept), "", charges)
    except SecaggError as error:
        return Judged(kept, None, f"the answers do not open the round: {error.cause}", charges)


def two_lists(phase: Common, lists: tuple[Signed, Signed]) -> Charge:
    """Return the charge against a dealer that signed two lists."""
    return _charge(phase, TwoLists(*lists))


def reported(phase: Common, shares: Signed, headers: Iterable[Signed]) -> Charge:
    """Return the charge against the signer of this list, whom the signers of these headers report."""
    return _charge(phase, Reported(shares, tuple(headers)))


def _charges(
    phase: Judging, evidence: Evidence, verdict: Verdict, headers: Mapping[str, Signed]
) -> tuple[Charge, ...]:  # fmt: skip
    dealt, answers = intake.dealt_leaves(phase.dealt), {entry.sender: entry for entry in phase.answers}
    found = []
    for holder, dealer in verdict.liars.items():
        wrong = WrongAnswer(phase.u2, answers[holder], dealer, dealt[dealer])
        if dealer not in {share.owner for share in (*evidence.answers[holder].seeds, *evidence.answers[holder].keys)}:
            wrong = WrongAnswer(phase.u2, answers[holder], dealer, dealt[dealer], headers[holder], dealt[holder])
        found.append(_charge(phase, wrong))
    lists, advertised = _by_sender(phase.u2), _by_sender(phase.u1)
    for dealer, shares in verdict.dealers.items():
        part, points = evidence.part(dealer), _points(shares)
        signed = advertised[dealer] if part == "key" else None
        found.append(_charge(phase, WrongDealing(lists[dealer], dealt[dealer], part, points, signed)))
    return tuple(found)


def _points(shares: Shares) -> tuple[Point, ...]:
    return tuple(Point(x, share) for x, share in shares.items())


def _charge(phase: Common, fault: WrongAnswer | WrongDealing | TwoLists | Reported) -> Charge:
    data = encode(Proof(phase.signed.body, fault))
    proven = check_fault(data, phase.manifest.key)
    return Charge(proven.member, proven.kind, data)


def _by_sender(data: bytes) -> dict[str, Signed]:
    return {entry.sender: entry for entry in decode(tuple[Signed, ...], data, LIMIT_LIST)}
