"""Row 13: every recorded message replayed in every other slot, to another receiver, round or attempt, is refused."""

import pytest
from msgspec.structs import replace

from secagg.errors import ProtocolViolation, WireError
from secagg.protocol.masks import aggregator
from secagg.protocol.masks.rounds import FromNode, Send
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_under_another_kind_receiver_or_signature_is_refused(kind: str) -> None:
    scene = stop_before(kind, "node-02")
    honest = decode(Signed, scene.message.data, LIMIT_BULK)
    flipped = bytes([honest.signature[0] ^ 1]) + honest.signature[1:]
    others = [other for other in KINDS if other != kind]
    lies = [replace(honest, kind=other) for other in others]
    lies += [replace(honest, receiver="node-01"), replace(honest, signature=flipped)]
    for lie in lies:
        with pytest.raises(ProtocolViolation):
            scene.deliver(encode(lie))


@pytest.mark.parametrize("kind", ["AdvertiseKeys", "ShareKeys", "MaskedInput", "ConsistencyCheck"])
def test_the_aggregator_refuses_a_members_message_under_another_name_or_round(kind: str) -> None:
    scene = stop_before({"AdvertiseKeys": "MemberKeys", "ShareKeys": "DeliverShares", "MaskedInput": "Freeze",
                         "ConsistencyCheck": "Open"}[kind], "node-03")  # fmt: skip
    sent = scene.captured(kind)[0]
    assert scene.table.phase is not None
    phase, keeper = scene.table.phase, scene.table.keeper
    for other in ("node-02", "stranger"):
        with pytest.raises(ProtocolViolation):
            aggregator.advance(phase, FromNode(other, kind, sent.data), keeper)
    with pytest.raises(ProtocolViolation):
        aggregator.advance(phase, FromNode(sent.sender, "Unmask", sent.data), keeper)
