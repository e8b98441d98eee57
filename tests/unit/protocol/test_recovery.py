"""Opening with bad shares: other subsets are tried, the liar is named, and too few good shares open nothing."""

import pytest
from msgspec.structs import replace

from secagg.crypto.shamir import PRIME
from secagg.errors import ProtocolViolation, TryLater
from secagg.protocol.masks import keys
from secagg.protocol.masks.messages import Answer, OwnedShare, Unmask
from secagg.protocol.masks.recovery import Evidence, recover
from secagg.protocol.masks.verify import recompute
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed
from support.adversary import stop_before
from support.federation import make


def opened(count: int = 7, gone: str = "") -> Evidence:
    """Return the evidence of an honest round, the answer of every member in it but `gone`, who never uploaded."""
    scene = stop_before("Open", count=count, drops={gone: "MaskedInput"} if gone else {})
    manifest = scene.table.manifest
    answers = {}
    for name, party in scene.table.parties.items():
        if name == gone:
            continue
        from secagg.protocol.masks import node
        from secagg.wire.signed import sign

        assert party.phase is not None
        body = encode(decode_open(scene.message.data))
        data = sign(scene.federation.aggregator, "Open", scene.scope, manifest.aggregator, name, body)
        envelope = decode(Signed, node.advance(party.phase, data, party.ctx).send[0][1], LIMIT_BULK)
        info = keys.answer_info(scene.scope, name, manifest.aggregator)
        plain = scene.federation.opening.open(decode(Unmask, envelope.body, LIMIT_BULK).sealed, info)
        answers[name] = decode(Answer, decode(Signed, plain, LIMIT_BULK).body, LIMIT_BULK)
    from secagg.protocol.masks.intake import evidence
    from secagg.protocol.masks.rounds import Opening

    phase = scene.table.phase
    assert isinstance(phase, Opening)
    return Evidence(**{**vars(evidence(phase)), "answers": answers})


def decode_open(data: bytes) -> object:
    from secagg.protocol.masks.messages import Open

    return decode(Open, decode(Signed, data, LIMIT_BULK).body, LIMIT_BULK)


def spoiled(answer: Answer) -> Answer:
    """Return the answer with every share replaced by another field element."""
    seeds, privates = (
        tuple(OwnedShare(held.owner, _other(held.share)) for held in part) for part in (answer.seeds, answer.keys)
    )
    return replace(answer, seeds=seeds, keys=privates)


def _other(share: bytes) -> bytes:
    return ((3 * int.from_bytes(share, "big") + 7) % PRIME).to_bytes(33, "big")


def with_answers(evidence: Evidence, **changed: Answer) -> Evidence:
    named = {name.replace("_", "-"): answer for name, answer in changed.items()}
    return Evidence(**{**vars(evidence), "answers": {**evidence.answers, **named}})


@pytest.fixture(scope="module")
def honest() -> Evidence:
    return opened()


def test_honest_answers_recover_every_seed(honest: Evidence) -> None:
    found = recover(honest)
    assert set(found.seeds) == set(honest.u3)
    assert not found.keys
    assert not found.liars


@pytest.mark.parametrize("liar", ["node-00", "node-03", "node-05"])
def test_one_liar_about_a_dropped_members_mask_key_is_outvoted_and_named(liar: str) -> None:
    evidence = opened(gone="node-06")
    truth = recover(evidence).keys["node-06"].public
    answer = evidence.answers[liar]
    lied = replace(answer, keys=spoiled(answer).keys)
    found = recover(with_answers(evidence, **{liar: lied}))
    assert found.liars == {liar}
    assert found.keys["node-06"].public == truth == evidence.advertised["node-06"].mask_key


@pytest.mark.parametrize("liar", ["node-00", "node-03", "node-06"])
def test_one_liar_is_outvoted_and_named(honest: Evidence, liar: str) -> None:
    lied = with_answers(honest, **{liar: spoiled(honest.answers[liar])})
    found = recover(lied)
    assert found.liars == {liar}
    assert {name: seed.reveal() for name, seed in found.seeds.items()} == {
        name: seed.reveal() for name, seed in recover(honest).seeds.items()
    }


def test_fewer_good_shares_than_the_threshold_open_nothing(honest: Evidence) -> None:
    lies = {name: spoiled(honest.answers[name]) for name in list(honest.answers)[: 7 - honest.manifest.threshold + 1]}
    with pytest.raises(TryLater):
        recover(with_answers(honest, **lies))


def test_an_answer_with_a_key_share_of_a_contributor_is_refused(honest: Evidence) -> None:
    answer = honest.answers["node-00"]
    greedy = replace(answer, keys=answer.seeds[:1])
    with pytest.raises(ProtocolViolation) as caught:
        recover(with_answers(honest, **{"node-00": greedy}))
    assert caught.value.rule == "answer.sets"


def test_recomputing_needs_a_manifest_of_the_aggregator() -> None:
    federation = make(4)
    with pytest.raises(Exception, match="recomputed"):
        recompute(b"", b"", b"", b"", [], lambda member: b"", federation.aggregator.public)
