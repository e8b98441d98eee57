"""Row 6: lies about who dropped out: another U2 for one node, signers outside U3, too few of them, a second attempt."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import BadSignature, Refused
from secagg.ids import EVERYBODY, RoundId
from secagg.protocol.masks import node, notices
from secagg.protocol.masks.messages import Agreement, DeliverShares, Freeze, MaskedInput, Open, ShareList
from secagg.protocol.masks.phases import Answered, Uploaded
from secagg.protocol.masks.rounds import Freezing
from secagg.protocol.memory import Accepted, Opened
from secagg.protocol.round.phases import Failed
from secagg.rehearsal.federation import START_OF_TIME, party, propose, table
from secagg.rehearsal.run import run_round
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.adversary import Scene, logged, proposal_of, stop_before
from support.federation import BEARS, another_key, inputs_of, make, sparse


def members(data: bytes) -> tuple[Signed, ...]:
    return decode(tuple[Signed, ...], data, LIMIT_BULK)


def without(data: bytes, name: str) -> bytes:
    return encode(tuple(entry for entry in members(data) if entry.sender != name))


def freeze(scene: Scene, u3: bytes) -> Freeze:
    """Return a freeze of any U3, correctly signed and logged by the malicious aggregator."""
    phase = scene.table.phase
    assert phase is not None
    u1, u2 = (getattr(phase, name) for name in ("u1", "u2"))
    frozen = Freezing(scene.scope, scene.table.manifest, members(u3)[0], (), u1, b"", u2, b"", u3)
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
    swapped = sign(key, "MaskedInput", scene.scope, "node-09", EVERYBODY, encode(other))
    assert refused(scene, freeze(scene, encode((*u3[:9], swapped)))) == "u3.same-u2"


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_a_header_of_another_length_than_the_manifests_stops_the_round(change: int) -> None:
    """The aggregator took it in all the same: what was opened then could be recomputed by nobody."""
    scene = stop_before("Freeze")
    *before, last = members(scene.body(Freeze).u3)
    header = decode(MaskedInput, last.body)
    lied = colluding(scene, "MaskedInput", last.sender, replace(header, length=header.length + change))
    assert refused(scene, freeze(scene, encode((*before, lied)))) == "upload.length"


def colluding(scene: Scene, kind: str, member: str, content: object) -> Signed:
    """Return what a colluding member signs in this round."""
    return sign(scene.federation.members[member], kind, scene.scope, member, EVERYBODY, encode(content))


def test_a_member_of_u2_that_was_never_in_u1_is_refused() -> None:
    """node-04 fell silent before its keys went out; it colludes, and signs a list of shares all the same."""
    scene = stop_before("DeliverShares", count=5, drops={"node-04": "AdvertiseKeys"})
    honest = scene.body(DeliverShares)
    own = decode(ShareList, members(honest.u2)[0].body, LIMIT_BULK)
    forged = colluding(scene, "ShareKeys", "node-04", own)
    assert refused(scene, DeliverShares(encode((*members(honest.u2), forged)), honest.pieces)) == "u2.subset"


def other_u1(own: ShareList) -> ShareList:
    return replace(own, u1=bytes(32))


def other_leaves(own: ShareList) -> ShareList:
    return replace(own, root=bytes(32))


@pytest.mark.parametrize(("change", "rule"), [(other_u1, "u2.same-u1"), (other_leaves, "u2.leaf")])
def test_shares_that_were_dealt_over_another_u1_are_refused(
    change: Callable[[ShareList], ShareList], rule: str
) -> None:
    """A list of roots says to whom its member dealt only to those who are shown their leaf under it."""
    scene = stop_before("DeliverShares")
    honest = scene.body(DeliverShares)
    *before, last = members(honest.u2)
    forged = colluding(scene, "ShareKeys", last.sender, change(decode(ShareList, last.body, LIMIT_BULK)))
    assert refused(scene, DeliverShares(encode((*before, forged)), honest.pieces)) == rule


def test_a_member_of_u3_that_was_never_in_u2_is_refused() -> None:
    """node-04 dealt no shares; it colludes, and signs the header of an upload, so that its masks would stay in."""
    scene = stop_before("Freeze", count=5, drops={"node-04": "ShareKeys"})
    u3 = members(scene.body(Freeze).u3)
    forged = colluding(scene, "MaskedInput", "node-04", decode(MaskedInput, u3[0].body))
    assert refused(scene, freeze(scene, encode((*u3, forged)))) == "u3.subset"


def test_a_neighbourhood_declared_dropped_is_refused_on_a_sparse_graph() -> None:
    """Enough members of the whole cohort are left, but too few who hold this node's shares."""
    scene = stop_before("Freeze", federation=sparse(), policy=BEARS)
    phase = scene.party.phase
    assert isinstance(phase, Uploaded)
    near = [held.owner for held in phase.held if held.owner != "node-00"]
    left = phase.manifest.share_threshold - 2
    gone = set(near[left:])
    u3 = tuple(entry for entry in members(scene.body(Freeze).u3) if entry.sender not in gone)
    assert len(u3) >= phase.manifest.needed
    assert refused(scene, freeze(scene, encode(u3))) == "u3.neighbours"


@pytest.mark.parametrize("step", ["AdvertiseKeys", "ShareKeys", "MaskedInput"])
def test_a_step_that_too_few_members_take_ends_the_round_and_opens_nothing(step: str) -> None:
    federation = make(4)
    given = inputs_of(federation, propose(federation))
    sat = table(federation, given, {"node-02": step, "node-03": step})
    end = run_round(sat)
    assert isinstance(end, Failed)
    assert (end.step, [out.member for out in end.out]) == (step, ["node-02", "node-03"])
    assert not [item for item in sat.wire if item.kind in ("Freeze", "Open", "Unmask")]


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
    stranger = replace(dropped.body(Open).agreements[-1], sender="node-09")
    assert refused(scene, replace(honest, agreements=(*honest.agreements, stranger))) == "open.signer"


def test_agreements_are_verified_and_name_the_sets_that_this_node_signed() -> None:
    scene = stop_before("Open")
    honest = scene.body(Open)
    *before, last = honest.agreements
    flipped = replace(last, signature=bytes([last.signature[0] ^ 1]) + last.signature[1:])
    with pytest.raises(BadSignature):
        scene.show(replace(honest, agreements=(*before, flipped)))
    mine = decode(Agreement, last.body)
    for sets in (replace(mine, u2=bytes(32)), replace(mine, u3=bytes(32))):
        lied = colluding(scene, "ConsistencyCheck", last.sender, sets)
        assert refused(scene, replace(honest, agreements=(*before, lied))) == "open.same-sets"


def test_a_round_that_was_opened_meanwhile_is_not_opened_again() -> None:
    """The ledger is asked where the material is released, whatever phase the node is in."""
    scene = stop_before("Open")
    where = scene.scope.round
    scene.party.notebook.records.append(Opened(where, ("node-00",)))
    with pytest.raises(Refused) as caught:
        scene.deliver(scene.message.data)
    assert caught.value.rule == "attempt.opened"


def test_an_attempt_is_not_entered_once_a_later_one_was() -> None:
    federation = make(4)
    seat = party(federation, "node-00")
    seat.notebook.records.append(Accepted(RoundId("fed", "job", 1, 2), bytes(32)))
    with pytest.raises(Refused) as caught:
        node.start(proposal_of(federation, propose(federation)), seat.ctx)
    assert caught.value.rule == "attempt.superseded"


def test_a_second_attempt_after_an_opening_is_refused() -> None:
    scene = stop_before("Open")
    assert isinstance(scene.deliver(scene.message.data).phase, Answered)
    again = propose(scene.federation, attempt=2)
    with pytest.raises(Refused) as caught:
        node.start(proposal_of(scene.federation, again), scene.party.ctx)
    assert caught.value.rule == "attempt.opened"


def test_an_earlier_attempt_and_a_second_manifest_are_refused() -> None:
    scene = stop_before("MemberKeys")
    changed = replace(propose(scene.federation), opening_key=another_key())
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
