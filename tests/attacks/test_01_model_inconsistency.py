"""Row 1: nodes that are shown different models refuse each other's messages, and their masks would not cancel."""

import pytest
from msgspec.structs import replace

from secagg.crypto.secret import Secret
from secagg.errors import BadSignature
from secagg.ids import RoundId
from secagg.protocol.masks import keys, node
from secagg.protocol.masks.messages import MemberKeys
from secagg.protocol.round import parties
from secagg.rehearsal.federation import party, propose
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed
from support.adversary import proposal_of, stop_before
from support.federation import make


def test_a_member_that_was_shown_another_model_cannot_join_the_others() -> None:
    """node-03 is shown, and expects, a model that differs in one bit; its signed keys do not verify for the others."""
    federation = make(4)
    other = bytes([1]) + bytes(31)
    member = party(federation, "node-03")
    expect = replace_expectation(member.ctx, other)
    shown = node.start(proposal_of(federation, replace(propose(federation), model=other)), expect)
    scene = stop_before("MemberKeys", federation=federation)
    honest = decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK)
    mixed = (*honest[:3], decode(Signed, shown.send[0][1]))
    with pytest.raises(BadSignature):
        scene.show(MemberKeys(encode(mixed)))


def replace_expectation(ctx: parties.NodeContext, model: bytes) -> parties.NodeContext:
    from dataclasses import replace as with_fields

    return with_fields(ctx, expect=with_fields(ctx.expect, model=model))


def test_pair_masks_of_different_manifests_share_nothing() -> None:
    secret, pair = Secret(bytes(32)), (("a", bytes(32)), ("b", bytes(32)))
    same, other = (Scope(RoundId("fed", "job", 1), bytes([bit]) * 32) for bit in (0, 1))
    derived = {
        keys.pair_key(secret, scope, bytes(32), *pair, group).reveal()
        for scope in (same, other, Scope(RoundId("fed", "job", 1, 2), bytes(32)))
        for group in ("scalars", "update")
    }
    assert len(derived) == 6
