"""Opening with answers of which some are bad: who is named, what is recovered from the others, and with what proof."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from secagg.crypto.shamir import PRIME
from secagg.errors import ProtocolViolation, TryLater
from secagg.protocol.masks.messages import Answer, OwnedShare
from secagg.protocol.masks.recovery import Evidence, Verdict, judge_answers, recover
from secagg.protocol.masks.verify import recompute
from support.federation import make
from support.openings import Opened, opened


def spoiled(answer: Answer) -> Answer:
    """Return the answer with every share replaced by another field element."""
    seeds, privates = (
        tuple(OwnedShare(held.owner, other(held.share)) for held in part) for part in (answer.seeds, answer.keys)
    )
    return replace(answer, seeds=seeds, keys=privates)


def other(share: bytes) -> bytes:
    return ((3 * int.from_bytes(share, "big") + 7) % PRIME).to_bytes(33, "big")


def with_answers(round: Opened, **changed: Answer) -> Evidence:
    named = {name.replace("_", "-"): answer for name, answer in changed.items()}
    return round.evidence({**round.answers, **named})


def judged(round: Opened, evidence: Evidence, reported: Mapping[str, tuple[str, ...]] | None = None) -> Verdict:
    return judge_answers(evidence, round.leaves, reported or {})


def kept(evidence: Evidence, verdict: Verdict) -> Evidence:
    return Evidence(**{**vars(evidence), "answers": {name: evidence.answers[name] for name in verdict.good}})


@pytest.fixture(scope="module")
def honest() -> Opened:
    return opened()


def test_honest_answers_recover_every_seed(honest: Opened) -> None:
    evidence = honest.evidence()
    verdict = judged(honest, evidence)
    assert (verdict.good, dict(verdict.liars), dict(verdict.dealers)) == (tuple(honest.answers), {}, {})
    found = recover(evidence)
    assert set(found.seeds) == set(evidence.u3)
    assert not found.keys


@pytest.mark.parametrize("liar", ["node-00", "node-03", "node-05"])
def test_one_liar_about_a_dropped_members_mask_key_is_named_and_left_out(liar: str) -> None:
    round = opened(gone="node-06")
    truth = recover(round.evidence()).keys["node-06"].public
    evidence = with_answers(round, **{liar: replace(round.answers[liar], keys=spoiled(round.answers[liar]).keys)})
    verdict = judged(round, evidence)
    assert dict(verdict.liars) == {liar: "node-06"}
    assert liar not in verdict.good
    assert not verdict.dealers
    found = recover(kept(evidence, verdict))
    assert found.keys["node-06"].public == truth == evidence.advertised["node-06"].mask_key


@pytest.mark.parametrize("liar", ["node-00", "node-03", "node-06"])
def test_one_liar_is_named_and_left_out(honest: Opened, liar: str) -> None:
    evidence = with_answers(honest, **{liar: spoiled(honest.answers[liar])})
    verdict = judged(honest, evidence)
    assert dict(verdict.liars) == {liar: "node-00"}
    assert {name: seed.reveal() for name, seed in recover(kept(evidence, verdict)).seeds.items()} == {
        name: seed.reveal() for name, seed in recover(honest.evidence()).seeds.items()
    }


@pytest.mark.parametrize("missing", ["node-00", "node-02", "node-06"])
def test_who_leaves_one_share_out_is_named_unless_its_header_reported_it(honest: Opened, missing: str) -> None:
    answer = honest.answers["node-03"]
    seeds = tuple(entry for entry in answer.seeds if entry.owner != missing)
    evidence = with_answers(honest, **{"node-03": replace(answer, seeds=seeds)})
    assert dict(judged(honest, evidence).liars) == {"node-03": missing}
    excused = judged(honest, evidence, {"node-03": (missing,)})
    assert (dict(excused.liars), excused.good) == ({}, tuple(honest.answers))


def test_a_wrong_share_names_its_holder_whatever_its_header_reported(honest: Opened) -> None:
    evidence = with_answers(honest, **{"node-03": spoiled(honest.answers["node-03"])})
    assert dict(judged(honest, evidence, {"node-03": ("node-00",)}).liars) == {"node-03": "node-00"}


def test_fewer_good_shares_than_the_threshold_open_nothing(honest: Opened) -> None:
    lies = {name: spoiled(honest.answers[name]) for name in list(honest.answers)[: 7 - honest.manifest.threshold + 1]}
    evidence = with_answers(honest, **lies)
    verdict = judged(honest, evidence)
    assert set(verdict.liars) == set(lies)
    with pytest.raises(TryLater):
        recover(kept(evidence, verdict))


def test_shares_that_give_another_secret_open_nothing(honest: Opened) -> None:
    """Whoever recovers from answers that nobody judged checks every secret against what was committed to."""
    evidence = with_answers(honest, **{"node-00": spoiled(honest.answers["node-00"])})
    with pytest.raises(ProtocolViolation) as caught:
        recover(evidence)
    assert caught.value.rule == "shares.commitment"
    round = opened(gone="node-06")
    lied = replace(round.answers["node-00"], keys=spoiled(round.answers["node-00"]).keys)
    with pytest.raises(ProtocolViolation) as caught:
        recover(with_answers(round, **{"node-00": lied}))
    assert caught.value.rule == "shares.commitment"


def test_an_answer_with_a_key_share_of_a_contributor_is_refused(honest: Opened) -> None:
    answer = honest.answers["node-00"]
    for greedy in (replace(answer, keys=answer.seeds[:1]), replace(answer, seeds=(*answer.seeds, answer.seeds[0]))):
        with pytest.raises(ProtocolViolation) as caught:
            recover(with_answers(honest, **{"node-00": greedy}))
        assert caught.value.rule == "answer.sets"


def test_recomputing_needs_a_manifest_of_the_aggregator() -> None:
    federation = make(4)
    with pytest.raises(Exception, match="recomputed"):
        recompute(b"", b"", b"", b"", [], lambda member: b"", federation.aggregator.public)
