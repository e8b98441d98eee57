"""The aggregator's door: who is not in the cohort is named as such, whatever it signs."""

import pytest

from secagg.crypto.sign import SigningKey
from secagg.errors import ProtocolViolation
from secagg.ids import EVERYBODY
from secagg.protocol.masks import aggregator
from secagg.protocol.masks.rounds import Advertising
from secagg.protocol.round.events import FromNode
from secagg.wire.codec import encode
from secagg.wire.signed import sign
from support.adversary import stop_before


@pytest.mark.parametrize("kind", ["AdvertiseKeys", "Refuse"])
def test_an_enrolled_member_outside_the_cohort_is_a_stranger(kind: str) -> None:
    scene = stop_before("Propose")
    phase = scene.table.phase
    assert isinstance(phase, Advertising)
    key = SigningKey.from_private_bytes(bytes(32))
    body = encode(sign(key, kind, phase.scope, "elsewhere", EVERYBODY, b""))
    with pytest.raises(ProtocolViolation) as caught:
        aggregator.advance(phase, FromNode("elsewhere", kind, body), scene.table.keeper)
    assert caught.value.rule == "intake.stranger"
