"""Row 13: every recorded message replayed in every other slot, to another receiver, round or attempt, is refused."""

import pytest
from msgspec.structs import replace

from secagg.errors import BadSignature, ProtocolViolation, WireError
from secagg.ids import EVERYBODY, RoundId
from secagg.protocol.masks import shell as aggregator
from secagg.protocol.masks.messages import DeliverShares
from secagg.protocol.round.events import FromNode, Send
from secagg.rehearsal.federation import AGGREGATOR
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.adversary import Scene, stop_before

KINDS = ("MemberKeys", "DeliverShares", "Freeze", "Open")


def recorded(scene: Scene) -> list[Send]:
    """Return everything the aggregator sent so far but the message the victim waits for."""
    return [item for item in scene.table.wire if isinstance(item, Send) and item is not scene.message]


@pytest.mark.parametrize("kind", KINDS)
def test_a_nodes_every_phase_refuses_every_other_recorded_message(kind: str) -> None:
    scene = stop_before(kind, "node-02")
    for item in recorded(scene):
        with pytest.raises((ProtocolViolation, WireError)):
            scene.deliver(item.data)


def refused(scene: Scene, message: Signed) -> str:
    with pytest.raises(BadSignature) as caught:
        scene.deliver(encode(message))
    return caught.value.rule


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_under_another_kind_sender_receiver_or_signature_is_refused(kind: str) -> None:
    scene = stop_before(kind, "node-02")
    honest = decode(Signed, scene.message.data, LIMIT_BULK)
    flipped = bytes([honest.signature[0] ^ 1]) + honest.signature[1:]
    for other in KINDS:
        if other != kind:
            assert refused(scene, replace(honest, kind=other)) == "signature.invalid"
    assert refused(scene, replace(honest, sender="node-01")) == "signature.invalid"
    assert refused(scene, replace(honest, signature=flipped)) == "signature.invalid"
    assert refused(scene, replace(honest, receiver="node-01")) == "signature.slot"


def test_a_message_for_another_member_is_refused_also_under_this_members_name() -> None:
    scene = stop_before("MemberKeys", "node-02")
    for_another = next(item for item in recorded(scene) if item.kind == "MemberKeys" and item.to == "node-01")
    message = decode(Signed, for_another.data, LIMIT_BULK)
    assert refused(scene, message) == "signature.slot"
    assert refused(scene, replace(message, receiver="node-02")) == "signature.invalid"


def test_a_members_message_of_one_kind_is_none_of_another() -> None:
    """node-03's signed header stands where its signed list belongs: both are bodies for everybody, in one round."""
    scene = stop_before("DeliverShares", "node-02")
    honest = scene.body(DeliverShares)
    *before, last = decode(tuple[Signed, ...], honest.u2, LIMIT_BULK)
    key = scene.federation.members[last.sender]
    other = sign(key, "AdvertiseKeys", scene.scope, last.sender, EVERYBODY, last.body)
    with pytest.raises(BadSignature) as caught:
        scene.show(replace(honest, u2=encode((*before, other))))
    assert caught.value.rule == "signature.slot"


ELSEWHERE = {
    "federation": Scope(RoundId("another-fed", "job", 1), bytes(32)),
    "job": Scope(RoundId("fed", "another-job", 1), bytes(32)),
    "round": Scope(RoundId("fed", "job", 2), bytes(32)),
    "attempt": Scope(RoundId("fed", "job", 1, 2), bytes(32)),
    "group": Scope(RoundId("fed", "job", 1, 1, 1), bytes(32)),
}


@pytest.mark.parametrize("where", [*ELSEWHERE, "manifest"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_was_signed_for_another_place_is_refused(kind: str, where: str) -> None:
    scene = stop_before(kind, "node-02")
    honest = decode(Signed, scene.message.data, LIMIT_BULK)
    place = Scope(scene.scope.round, bytes(32))
    if where != "manifest":
        place = replace(ELSEWHERE[where], manifest=scene.scope.manifest)
    moved = sign(scene.federation.aggregator, kind, place, AGGREGATOR, "node-02", honest.body)
    assert refused(scene, moved) == "signature.invalid"


@pytest.mark.parametrize("kind", ["AdvertiseKeys", "ShareKeys", "MaskedInput", "ConsistencyCheck"])
def test_the_aggregator_refuses_a_members_message_under_another_name_or_round(kind: str) -> None:
    scene = stop_before({"AdvertiseKeys": "MemberKeys", "ShareKeys": "DeliverShares", "MaskedInput": "Freeze",
                         "ConsistencyCheck": "Open"}[kind], "node-03")  # fmt: skip
    sent = scene.captured(kind)[0]
    assert scene.table.phase is not None
    phase, keeper = scene.table.phase, scene.table.keeper
    for event in (
        FromNode("node-02", kind, sent.data), FromNode("stranger", kind, sent.data),
        FromNode(sent.sender, "Unmask", sent.data),
    ):  # fmt: skip
        with pytest.raises(ProtocolViolation):
            aggregator.advance(phase, event, keeper)
