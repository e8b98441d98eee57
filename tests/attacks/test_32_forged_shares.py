"""Row 32: HPKE does not authenticate, so a share re-sealed under an honest name is known by the signed digest.

Whoever relays pieces could otherwise also have honest members report a dealer that did nothing (row 55). A node leaves
a round in which it is not given exactly what the dealer signed, and reports a dealer only for what that holds.
"""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.seal import seal
from secagg.errors import Refused
from secagg.ids import EVERYBODY
from secagg.protocol.masks import keys
from secagg.protocol.masks.dealing import tree_of
from secagg.protocol.masks.messages import DeliverShares, Piece, ShareKeys, ShareList, SharePair
from secagg.protocol.masks.phases import Shared
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.adversary import Scene, stop_before


def zero(scene: Scene, piece: Piece) -> bytes:
    """Return a share pair of zeros, sealed to the victim under its dealer's name."""
    phase = scene.party.phase
    assert isinstance(phase, Shared)
    mine = next(peer.keys.seal_key for peer in phase.peers if peer.name == scene.victim)
    plain = encode(SharePair(seed=bytes(33), key=bytes(33)))
    return seal(mine, plain, keys.share_info(scene.scope, piece.sender, scene.victim))


def resealed(scene: Scene, piece: Piece) -> Piece:
    return replace(piece, sealed=zero(scene, piece))


def resealed_with_its_leaf(scene: Scene, piece: Piece) -> Piece:
    sealed = zero(scene, piece)
    return replace(piece, sealed=sealed, leaf=replace(piece.leaf, piece=sha256(sealed)))


def without_a_path(scene: Scene, piece: Piece) -> Piece:
    return replace(piece, path=())


@pytest.mark.parametrize(
    ("change", "rule"),
    [(resealed, "u2.piece"), (resealed_with_its_leaf, "u2.leaf"), (without_a_path, "u2.leaf")],
)  # fmt: skip
def test_a_piece_that_its_dealer_did_not_sign_is_refused(change: Callable[[Scene, Piece], Piece], rule: str) -> None:
    scene = stop_before("DeliverShares")
    first, *others = scene.body(DeliverShares).pieces
    with pytest.raises(Refused) as caught:
        scene.show(replace(scene.body(DeliverShares), pieces=(change(scene, first), *others)))
    assert caught.value.rule == rule


def test_a_leaf_of_another_receiver_is_refused() -> None:
    """Its dealer put somebody else's coordinate where this node's stands: no share of it would count for this node."""
    scene = stop_before("DeliverShares")
    honest = scene.body(DeliverShares)
    dealer, bent = honest.pieces[0].sender, replace(honest.pieces[0].leaf, x=9)
    dealt = next(item for item in scene.captured("ShareKeys") if item.sender == dealer)
    leaves = decode(ShareKeys, dealt.data, LIMIT_BULK).leaves
    tree = tree_of(dealer, (bent, *leaves[1:]))
    entries = decode(tuple[Signed, ...], honest.u2, LIMIT_BULK)
    own = next(entry for entry in entries if entry.sender == dealer)
    body = encode(replace(decode(ShareList, own.body), root=tree.root()))
    lied = sign(scene.federation.members[dealer], "ShareKeys", scene.scope, dealer, EVERYBODY, body)
    u2 = encode(tuple(lied if entry is own else entry for entry in entries))
    piece = replace(honest.pieces[0], leaf=bent, path=tree.inclusion(0, tree.size))
    with pytest.raises(Refused) as caught:
        scene.show(DeliverShares(u2, (piece, *honest.pieces[1:])))
    assert caught.value.rule == "u2.leaf"


def test_a_piece_that_is_kept_back_is_refused() -> None:
    scene = stop_before("DeliverShares")
    honest = scene.body(DeliverShares)
    with pytest.raises(Refused) as caught:
        scene.show(replace(honest, pieces=honest.pieces[1:]))
    assert caught.value.rule == "u2.piece"
