"""Phases hold secrets and must not show them; they encode completely, so that recovery is decoding."""

import pytest

from secagg.protocol.masks.phases import Phase
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from support.adversary import stop_before

KINDS = ("MemberKeys", "DeliverShares", "Freeze", "Open")


@pytest.mark.parametrize("kind", KINDS)
def test_a_phase_survives_the_disk_and_goes_on_with_the_same_bytes(kind: str) -> None:
    scene = stop_before(kind)
    restored: Phase = decode(Phase, encode(scene.party.phase), LIMIT_BULK)  # type: ignore[arg-type]
    assert restored == scene.party.phase
    scene.party.phase = restored
    assert scene.deliver(scene.message.data).phase


@pytest.mark.parametrize("kind", KINDS)
def test_a_phase_prints_no_secret(kind: str) -> None:
    phase = stop_before(kind).party.phase
    shown = repr(phase)
    assert shown.endswith("(OMITTED)")
    assert len(shown) < 40
