"""Row 23: the aggregator swaps one public key in U1; keys are signed under the roster, so the node sees it."""

import pytest
from msgspec.structs import replace

from secagg.crypto.agree import AgreementKey
from secagg.errors import BadSignature, Refused
from secagg.protocol.masks.messages import AdvertiseKeys, MemberKeys
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed
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


def test_the_nodes_own_key_cannot_be_left_out() -> None:
    scene = stop_before("MemberKeys", count=5)
    entries = decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK)
    with pytest.raises(Refused) as caught:
        scene.show(MemberKeys(encode(entries[1:])))
    assert caught.value.rule == "u1.self"


def test_a_stranger_in_u1_is_refused() -> None:
    scene = stop_before("MemberKeys")
    entries = list(decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK))
    entries[3] = replace(entries[3], sender="stranger")
    with pytest.raises(Exception, match="stranger"):
        scene.show(MemberKeys(encode(tuple(entries))))
