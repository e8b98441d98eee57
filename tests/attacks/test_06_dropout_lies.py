"""Row 6: lies about who dropped out: another U2 for one node, signers outside U3, too few of them, a second attempt."""

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import Refused
from secagg.protocol.masks import node, notices
from secagg.protocol.masks.messages import DeliverShares, Freeze, MaskedInput, Open
from secagg.protocol.masks.phases import Answered
from secagg.protocol.masks.rounds import Freezing
from secagg.protocol.rehearsal import START_OF_TIME, propose
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed
from support.adversary import Scene, logged, proposal_of, stop_before
from support.federation import make


def members(data: bytes) -> tuple[Signed, ...]:
    return decode(tuple[Signed, ...], data, LIMIT_BULK)


def without(data: bytes, name: str) -> bytes:
    return encode(tuple(entry for entry in members(data) if entry.sender != name))


def freeze(scene: Scene, u3: bytes) -> Freeze:
    """Return a freeze of any U3, correctly signed and logged by the malicious aggregator."""
    phase = scene.table.phase
    assert phase is not None
    u1, u2 = (getattr(phase, name) for name in ("u1", "u2"))
    frozen = Freezing(scene.scope, scene.table.manifest, members(u3)[0], (), u1, u2, u3)
    statement = notices.contributors(frozen, START_OF_TIME)
    old = decode(Freeze, decode(Signed, scene.message.data, LIMIT_BULK).body, LIMIT_BULK).proof.old_size
    leaf, proof = logged(scene.federation, statement, scene.table.log, old)  # type: ignore[arg-type]
    return Freeze(u3, leaf, proof)


def refused(scene: Scene, content: object) -> str:
    with pytest.raises(Refused) as caught:
        scene.show(content)
    return caught.value.rule


def test_an_upload_over_another_u2_stops_the_round_for_everybody() -> None:
    """n = 10, c = 3: node-09 is shown a U2 without node-08, so its upload names another H(U2) than everybody's."""
    victim = stop_before("DeliverShares", "node-09", count=10)
    honest = victim.body(DeliverShares)
    lied = DeliverShares(without(honest.u2, "node-08"), tuple(p for p in honest.pieces if p.sender != "node-08"))
    victim.show(lied)
    scene = stop_before("Freeze", "node-00", count=10)
    u3 = members(scene.body(Freeze).u3)
    header = decode(MaskedInput, u3[9].body)
    other = replace(header, u2=sha256(lied.u2))
    key = scene.federation.members["node-09"]
    from secagg.ids import EVERYBODY
    from secagg.wire.signed import sign

    swapped = sign(key, "MaskedInput", scene.scope, "node-09", EVERYBODY, encode(other))
    assert refused(scene, freeze(scene, encode((*u3[:9], swapped)))) == "u3.same-u2"


def test_a_u2_below_the_quorum_is_refused() -> None:
    scene = stop_before("DeliverShares")
    honest = scene.body(DeliverShares)
    u2 = without(without(honest.u2, "node-02"), "node-03")
    assert refused(scene, DeliverShares(u2, honest.pieces)) == "u2.enough"


def test_a_u2_without_this_node_is_refused() -> None:
    scene = stop_before("DeliverShares")
    honest = scene.body(DeliverShares)
    assert refused(scene, DeliverShares(without(honest.u2, "node-00"), honest.pieces)) == "u2.self"


def test_a_u3_without_this_node_or_below_the_quorum_is_refused() -> None:
    scene = stop_before("Freeze")
    u3 = scene.body(Freeze).u3
    assert refused(scene, freeze(scene, without(u3, "node-00"))) == "u3.self"
    assert refused(scene, freeze(scene, without(without(u3, "node-02"), "node-03"))) == "u3.enough"


def test_a_freeze_that_is_not_what_the_log_says_is_refused() -> None:
    scene = stop_before("Freeze")
    honest = scene.body(Freeze)
    assert refused(scene, replace(honest, u3=without(honest.u3, "node-03"))) == "freeze.statement"


def test_only_members_of_u3_count_as_signers() -> None:
    """node-03 dropped before its upload; its agreement cannot help to open the round, nor can one be counted twice."""
    scene = stop_before("Open")
    honest = scene.body(Open)
    twice = (honest.agreements[0],) * 4
    assert refused(scene, replace(honest, agreements=twice)) == "open.threshold"
    assert refused(scene, replace(honest, agreements=honest.agreements[:2])) == "open.threshold"
    dropped = stop_before("Open", federation=make(5))
    stranger = replace(dropped.body(Open).agreements[4], sender="node-09")
    assert refused(scene, replace(honest, agreements=(*honest.agreements, stranger))) == "open.signer"


def test_a_second_attempt_after_an_opening_is_refused() -> None:
    scene = stop_before("Open")
    assert isinstance(scene.deliver(scene.message.data).phase, Answered)
    again = propose(scene.federation, attempt=2)
    with pytest.raises(Refused) as caught:
        node.start(proposal_of(scene.federation, again), scene.party.ctx)
    assert caught.value.rule == "attempt.opened"


def test_an_earlier_attempt_and_a_second_manifest_are_refused() -> None:
    scene = stop_before("MemberKeys")
    changed = replace(propose(scene.federation), k_min=4)
    with pytest.raises(Refused) as second:
        node.start(proposal_of(scene.federation, changed, scene.table.log), scene.party.ctx)  # type: ignore[arg-type]
    assert second.value.rule == "attempt.second-manifest"


@pytest.mark.parametrize("kind", ["MemberKeys", "DeliverShares", "Freeze", "Open"])
def test_a_later_attempt_ends_the_earlier_one_in_every_phase(kind: str) -> None:
    """Two attempts that both reach agreement over different sets would give two chances to pick one to open."""
    scene = stop_before(kind)
    again = proposal_of(scene.federation, propose(scene.federation, attempt=2), scene.table.log)  # type: ignore[arg-type]
    last = scene.party.notebook.last(scene.party.ctx.expect.log_origin)
    assert last is not None
    proof = scene.table.log.prove(again.proof.index, last.size)
    scene.party.notebook.records.extend(node.start(replace(again, proof=proof), scene.party.ctx).records)
    with pytest.raises(Refused) as caught:
        scene.deliver(scene.message.data)
    assert caught.value.rule == "attempt.superseded"


def test_the_answer_is_repeated_byte_for_byte_and_never_remade() -> None:
    scene = stop_before("Open")
    first = scene.deliver(scene.message.data)
    again = scene.deliver(scene.message.data)
    assert first.send == again.send
    assert not again.records
