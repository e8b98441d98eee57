"""Row 23: the aggregator swaps one public key in U1; keys are signed under the roster, so the node sees it."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from secagg.crypto.agree import AgreementKey
from secagg.errors import BadSignature, ProtocolViolation, Refused
from secagg.ids import EVERYBODY
from secagg.protocol.masks.messages import AdvertiseKeys, MemberKeys
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.adversary import stop_before
from support.federation import counted_rng


def swapped(u1: bytes, position: int, key: bytes) -> bytes:
    entries = list(decode(tuple[Signed, ...], u1, LIMIT_BULK))
    body = replace(decode(AdvertiseKeys, entries[position].body), mask_key=key)
    entries[position] = replace(entries[position], body=encode(body))
    return encode(tuple(entries))


def test_a_peers_key_cannot_be_swapped() -> None:
    scene = stop_before("MemberKeys")
    own = AgreementKey.from_private_bytes(counted_rng(b"adversary")(32)).public
    with pytest.raises(BadSignature):
        scene.show(MemberKeys(swapped(scene.body(MemberKeys).u1, 2, own)))


def test_the_nodes_own_key_cannot_be_swapped() -> None:
    """A node takes its own entry without verifying it when it is the message that it signed, and only then."""
    scene = stop_before("MemberKeys")
    key = AgreementKey.from_private_bytes(counted_rng(b"adversary")(32)).public
    with pytest.raises(BadSignature):
        scene.show(MemberKeys(swapped(scene.body(MemberKeys).u1, 0, key)))


def test_the_nodes_own_key_cannot_be_left_out() -> None:
    scene = stop_before("MemberKeys", count=5)
    entries = decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK)
    with pytest.raises(Refused) as caught:
        scene.show(MemberKeys(encode(entries[1:])))
    assert caught.value.rule == "u1.self"


@pytest.mark.parametrize("key", ["mask_key", "seal_key"])
def test_a_colluding_member_cannot_advertise_anothers_key(key: str) -> None:
    """It would be masked, or dealt to, twice under one secret, and could answer for both."""
    scene = stop_before("MemberKeys")
    *before, last = decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK)
    copied = getattr(decode(AdvertiseKeys, before[2].body), key)
    body = replace(decode(AdvertiseKeys, last.body), **{key: copied})
    signer = scene.federation.members[last.sender]
    forged = sign(signer, "AdvertiseKeys", scene.scope, last.sender, EVERYBODY, encode(body))
    with pytest.raises(Refused) as caught:
        scene.show(MemberKeys(encode((*before, forged))))
    assert caught.value.rule == "u1.distinct"


def stranger(entries: list[Signed]) -> list[Signed]:
    return [*entries[:3], replace(entries[3], sender="stranger")]


def out_of_order(entries: list[Signed]) -> list[Signed]:
    return [entries[0], entries[2], entries[1], entries[3]]


def twice(entries: list[Signed]) -> list[Signed]:
    return [*entries[:2], entries[1], *entries[2:]]


@pytest.mark.parametrize("change", [stranger, out_of_order, twice])
def test_u1_holds_members_only_in_roster_order_and_once(change: Callable[[list[Signed]], list[Signed]]) -> None:
    scene = stop_before("MemberKeys")
    entries = list(decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK))
    with pytest.raises(ProtocolViolation) as caught:
        scene.show(MemberKeys(encode(tuple(change(entries)))))
    assert caught.value.rule == "list.members"
