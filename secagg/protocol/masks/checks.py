"""The checks of protocol §3, one function per row of its table, in the node's words.

Rules: each raises an error that names its rule; none has an effect. `rule` names are what logs, tests and
tests/attacks/defences.toml use. Leaves to others: order and consequences (node.py), the manifest (acceptance.py).
"""

from collections.abc import Collection, Mapping

from secagg.crypto.derive import sha256
from secagg.crypto.seal import SealingKey
from secagg.errors import ProtocolViolation, Refused, SealBroken, WireError
from secagg.ids import EVERYBODY
from secagg.log.checkpoint import Checkpoint, verify_cosignature
from secagg.log.statements import Contributors
from secagg.log.witness import check as check_proof
from secagg.protocol.acceptance import Expectation
from secagg.protocol.lanes import check_signed_length
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import graph, keys, reports
from secagg.protocol.masks.dealing import check_leaf
from secagg.protocol.masks.messages import (
    AdvertiseKeys,
    Agreement,
    Freeze,
    MaskedInput,
    Open,
    OpenBeacon,
    Piece,
    ShareList,
    SharePair,
)
from secagg.protocol.masks.phases import Advertised, Agreed, Drawing, Held, Peer, Shared, Uploaded
from secagg.protocol.memory import Memory
from secagg.protocol.round.lists import signed_list
from secagg.protocol.round.parties import _round_of, statement_of
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, open_signed


def member_keys(u1: bytes, phase: Advertised, me: str, proven: Collection[bytes]) -> tuple[Peer, ...]:
    """Check U1 (§3 step 1): members, signatures, own entry unchanged, keys usable and distinct, enough of them. Nobody
    is in it whose fault in this job is proven to this node."""
    signed = _list(u1, phase.manifest, "AdvertiseKeys", phase.scope, "u1", phase.own)
    if signed.get(me) != phase.own:
        raise Refused("This node's own keys are missing from U1 or changed.", "Leave the round.", rule="u1.self")
    for name in signed:
        if phase.manifest.key(name) in proven:
            raise Refused(f"The fault of {name} in this job is proven.", "Propose a U1 without it.", rule="u1.named")
    peers = tuple(Peer(name, decode(AdvertiseKeys, entry.body)) for name, entry in signed.items())
    for peer in peers:
        try:
            keys.check_advertised(peer.keys.seal_key, peer.keys.mask_key)
        except ProtocolViolation:
            raise Refused(f"{peer.name} advertises a key that is none.", "Leave the round.", rule="u1.key") from None
    distinct = {peer.keys.seal_key for peer in peers}, {peer.keys.mask_key for peer in peers}
    if any(len(found) != len(peers) for found in distinct):
        raise Refused("Two members advertise the same key.", "Leave the round.", rule="u1.distinct")
    return peers


def beacons(data: bytes, phase: Drawing, me: str) -> frozenset[str]:
    """Check one draw of a sparse graph (§3 step 0b), within the members still in. Every value opens its commitment and
    follows the draw before, and the own one is unchanged. There are enough of them, and a draw is left when somebody is
    missing."""
    signed = _list(data, phase.manifest, "OpenBeacon", phase.scope, "beacon", phase.own)
    if signed.get(me) != phase.own:
        raise Refused("This node's own beacon is missing or changed.", "Leave the round.", rule="beacon.self")
    commitments = {peer.name: peer.keys.beacon for peer in phase.peers}
    for name, entry in signed.items():
        opened = decode(OpenBeacon, entry.body)
        if name not in commitments:
            raise Refused(f"{name} draws but is out.", "Leave the round.", rule="beacon.subset")
        if (opened.draw, opened.after) != (phase.draw, phase.after):
            raise Refused(f"{name} took part in another draw.", "Leave the round.", rule="beacon.draw")
        if not graph.opens(opened.value, commitments[name], phase.scope, name, phase.draw):
            raise Refused(f"The beacon of {name} does not open.", "Leave the round.", rule="beacon.commitment")
    if len(signed) < len(commitments) and phase.draw == graph.REDRAWS:
        raise Refused("Somebody was missing in the last draw.", "Leave the round.", rule="beacon.redraws")
    return frozenset(signed)


def share_lists(u2: bytes, phase: Shared, me: str) -> dict[str, ShareList]:
    """Check U2 (§3 step 2): within U1, every list signed and dealt over the same U1, own list unchanged."""
    signed = _list(u2, phase.manifest, "ShareKeys", phase.scope, "u2", phase.own_list)
    if signed.get(me) != phase.own_list:
        raise Refused("This node's own list is missing from U2 or changed.", "Leave the round.", rule="u2.self")
    names = {peer.name for peer in phase.peers}
    lists = {}
    for name, entry in signed.items():
        if name not in names:
            raise Refused(f"{name} is in U2 but not in U1.", "Leave the round.", rule="u2.subset")
        lists[name] = shares = decode(ShareList, entry.body, LIMIT_LIST)
        if shares.u1 != phase.u1:
            raise Refused(f"{name} was shown another U1.", "Leave the round.", rule="u2.same-u1")
    return lists


def own_piece(piece: Piece | None, shares: ShareList, phase: Shared, me: str, sender: str) -> Piece:
    """Check that this is the piece, and the leaf, that its dealer signed for this node (§3 step 2).

    Whoever relays pieces could bend them otherwise, and have this node report a dealer that did nothing.
    """
    if piece is None:
        raise Refused(f"The piece of {sender} was not delivered.", "Leave the round.", rule="u2.piece")
    near = dealt_to(tuple(peer.name for peer in phase.peers), phase.manifest, phase.u1)[sender]
    if piece.leaf.x != phase.manifest.index(me) + 1:
        raise Refused(f"The leaf of {sender} is another member's.", "Leave the round.", rule="u2.leaf")
    check_leaf(sender, piece.leaf, near.index(me), len(near), piece.path, shares.root)
    if sha256(piece.sealed) != piece.leaf.piece:
        raise Refused(f"The piece of {sender} is not the one it signed for.", "Leave the round.", rule="u2.piece")
    return piece


def open_piece(piece: Piece, key: SealingKey, info: bytes, sender: str) -> Held:
    """Open a piece; what does not open, or holds other shares than its dealer listed, is missing (§3 step 2)."""
    missing = Held(owner=sender, seed=b"", key=b"")
    try:
        pair = decode(SharePair, key.open(piece.sealed, info))
    except (SealBroken, WireError):
        return missing
    shares: tuple[tuple[keys.Part, bytes], ...] = (("seed", pair.seed), ("key", pair.key))
    found = tuple(keys.share_digest(part, sender, piece.leaf.x, share) for part, share in shares)
    return Held(owner=sender, seed=pair.seed, key=pair.key) if found == (piece.leaf.seed, piece.leaf.key) else missing


def dealt_to(members: tuple[str, ...], manifest: Manifest, u1: bytes) -> dict[str, tuple[str, ...]]:
    """Return to whom each of `members` dealt over `u1`."""
    return graph.neighbours(members, manifest.degree, u1)


def frozen_set(u3: bytes, phase: Uploaded, me: str) -> tuple[str, ...]:
    """Check U3 (§3 step 3): self in it with its own header, every header names my H(U2) and a whole upload. It is
    within U2 and has enough of them. What they report of their dealers leaves every secret of U2 recoverable."""
    signed = _list(u3, phase.manifest, "MaskedInput", phase.scope, "u3", phase.header)
    if signed.get(me) != phase.header:
        raise Refused("This node's upload is missing from U3 or changed.", "Leave the round.", rule="u3.self")
    headers = {name: decode(MaskedInput, entry.body) for name, entry in signed.items()}
    for name, header in headers.items():
        if name not in phase.u2_names:
            raise Refused(f"{name} is in U3 but not in U2.", "Leave the round.", rule="u3.subset")
        if header.u2 != phase.u2:
            raise Refused(f"{name} was shown another U2.", "Leave the round.", rule="u3.same-u2")
        check_signed_length(phase.manifest, name, header.length)
    near = sum(held.owner in signed for held in phase.held)
    if near < phase.manifest.share_threshold:
        raise Refused(
            f"{near} of this node's neighbourhood are in U3, fewer than {phase.manifest.share_threshold}.",
            "Leave the round.", rule="u3.neighbours",
        )  # fmt: skip
    recoverable(headers, phase)
    return tuple(signed)


def recoverable(headers: Mapping[str, MaskedInput], phase: Uploaded) -> None:
    """Check that no dealer is reported by more than c headers or left with fewer than t unreported holders (§3)."""
    dealt = dealt_to(phase.members, phase.manifest, phase.u1)
    found = reports.judge(headers, {name: dealt[name] for name in phase.u2_names}, phase.manifest)
    if found.accused:
        raise Refused(
            f"More than {phase.manifest.colluders} members report {found.accused[0]}.", "Leave the round.",
            rule="u3.reported",
        )  # fmt: skip
    if found.short:
        raise Refused(
            f"Fewer than {phase.manifest.share_threshold} members of U3 hold shares of {found.short[0]}.",
            "Leave the round.", rule="u3.holders",
        )  # fmt: skip


def logged_freeze(
    message: Freeze, phase: Uploaded, names: tuple[str, ...], expect: Expectation, memory: Memory
) -> Checkpoint:
    """Check that exactly this contributor set is frozen in the log (§6.2): statement, inclusion, consistency.

    Consistency is with the last checkpoint that this node accepted, which a job or a result may have moved on since the
    manifest. One that was compared with the manifest's alone could lie on another branch.
    """
    statement = statement_of(message.leaf, expect, Contributors)
    same = (
        statement.manifest == phase.scope.manifest.hex(),
        _round_of(statement) == _round_of(phase.scope.round),
        statement.u2 == phase.u2.hex(),
        statement.u3 == sha256(message.u3).hex(),
        # A statement over many members names their list instead; U3, which it also names, is the set itself.
        bool(statement.listed) or tuple(entry.member for entry in statement.members) == names,
    )
    if not all(same):
        raise Refused("The logged freeze names another contributor set.", "Leave the round.", rule="freeze.statement")
    last = memory.last(expect.log_origin) or phase.seen
    return check_proof(message.leaf, message.proof, expect.log_origin, expect.aggregator_key, last)


def agreements(message: Open, phase: Agreed) -> None:
    """Check at least t distinct valid signatures by members of U3 on the (H(U2), H(U3)) I signed (§3 step 4)."""
    sets, needed = Agreement(phase.u2, phase.u3), phase.manifest.threshold
    agreed(message.agreements, phase.manifest, phase.scope, sets, phase.u3_names, needed)


def agreed(
    given: tuple[Signed, ...], manifest: Manifest, scope: Scope, sets: Agreement, u3: tuple[str, ...], needed: int
) -> None:
    """Check at least `needed` distinct valid signatures by members of `u3` on exactly these sets.

    Raises: Refused naming the member, or how many there are; ProtocolViolation when a signature does not verify.
    """
    signers = set()
    for signed in given:
        if signed.sender not in u3:
            raise Refused(f"{signed.sender} signs but is not in U3.", "Leave the round.", rule="open.signer")
        body = open_signed(signed, manifest.key(signed.sender), "ConsistencyCheck", scope, EVERYBODY)
        if decode(Agreement, body) != sets:
            raise Refused(f"{signed.sender} signed other sets.", "Leave the round.", rule="open.same-sets")
        signers.add(signed.sender)
    if len(signers) < needed:
        raise Refused(
            f"{len(signers)} agreements are fewer than the threshold {needed}.",
            "Wait for more members.",
            rule="open.threshold",
        )


def witness_quorum(message: Open, phase: Agreed) -> None:
    """Check at least t distinct members' co-signatures on the checkpoint of the freeze (§6.2)."""
    manifest, witnesses = phase.manifest, set()
    federation = phase.scope.round.federation
    for entry in message.cosignatures:
        if entry.member not in manifest.names():
            raise Refused(f"{entry.member} is not a witness of this round.", "Leave the round.", rule="open.witness")
        name = f"{federation}/{entry.member}"
        verify_cosignature(phase.frozen, entry.line, name, manifest.key(entry.member))
        witnesses.add(entry.member)
    if len(witnesses) < manifest.threshold:
        raise Refused(
            f"{len(witnesses)} witnesses are fewer than the quorum {manifest.threshold}.",
            "Wait for more members.",
            rule="open.quorum",
        )


def _list(data: bytes, manifest: Manifest, kind: str, scope: Scope, rule: str, own: Signed) -> dict[str, Signed]:
    found = signed_list(data, manifest, kind, scope, own)
    if len(found) < manifest.needed:
        raise Refused(
            f"{len(found)} members are fewer than the {manifest.needed} this round needs.",
            "The round cannot go on.",
            rule=f"{rule}.enough",
        )
    return found
