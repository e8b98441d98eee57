"""Row 32: HPKE does not authenticate, so a share re-sealed under an honest name must be known by the signed digest."""

from msgspec.structs import replace

from secagg.crypto.seal import seal
from secagg.protocol.masks import keys
from secagg.protocol.masks.messages import DeliverShares, Piece, SharePair
from secagg.protocol.masks.phases import Masking, Shared
from secagg.wire.codec import encode
from support.adversary import stop_before


def test_a_resealed_zero_share_is_kept_as_missing() -> None:
    scene = stop_before("DeliverShares")
    honest, phase = scene.body(DeliverShares), scene.party.phase
    assert isinstance(phase, Shared)
    mine = next(peer.keys.seal_key for peer in phase.peers if peer.name == "node-00")
    zero = encode(SharePair(seed=bytes(33), key=bytes(33)))
    forged = Piece("node-01", seal(mine, zero, keys.share_info(scene.scope, "node-01", "node-00")))
    pieces = tuple(forged if piece.sender == "node-01" else piece for piece in honest.pieces)
    after = scene.show(replace(honest, pieces=pieces)).phase
    assert isinstance(after, Masking)
    held = {entry.owner: (entry.seed, entry.key) for entry in after.held}
    assert held["node-01"] == (b"", b"")
    assert all(all(parts) for owner, parts in held.items() if owner != "node-01")
