"""A node's round of engine `masks`: check, then (the shell) save, then send.

How to read it: `start` answers a proposal, `advance` is the whole transition table, each phase has one legal message
and one function. The numbered checks are in checks.py and cite protocol §3. Values in, values out: the shell stores
`Step.phase` and `Step.records` in one transaction and only then sends `Step.send`.
Rules: nothing is taken from the aggregator on trust. The node derives itself what it reveals, never both shares of one
peer. Anything not listed in the table is the peer's fault.
Source: Bonawitz et al., CCS 2017 (eprint 2017/281), malicious variant; docs/protocol.md §3.
"""

from msgspec import UNSET

from secagg.crypto.agree import AgreementKey
from secagg.crypto.derive import sha256
from secagg.crypto.seal import SealingKey, seal
from secagg.crypto.shamir import split
from secagg.errors import ProtocolViolation
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.checkpoint import cosign
from secagg.protocol import inputs
from secagg.protocol.acceptance import accept
from secagg.protocol.masks import checks, fitting, graph, keys
from secagg.protocol.masks.dealing import tree_of
from secagg.protocol.masks.messages import (
    AdvertiseKeys,
    Agreement,
    Answer,
    Beacons,
    ConsistencyCheck,
    DeliverShares,
    Freeze,
    MaskedInput,
    MemberKeys,
    Open,
    OpenBeacon,
    OwnedShare,
    ShareKeys,
    ShareLeaf,
    ShareList,
    SharePair,
    Unmask,
)
from secagg.protocol.masks.phases import (
    Advertised,
    Agreed,
    Answered,
    Drawing,
    Held,
    Masking,
    Peer,
    Phase,
    Protected,
    Shared,
    Uploaded,
)
from secagg.protocol.memory import Opened, Witnessed, check_current, check_unopened
from secagg.protocol.round import events, parties
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import NodeContext
from secagg.protocol.round.phases import Over, unexpected
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, open_signed, sign

Step = events.Step[Phase]


def start(propose: Propose, ctx: NodeContext) -> Step:
    """Step 0 `AdvertiseKeys`: accept the manifest or raise; answer with fresh signed keys.

    Raises: Refused naming the rule; VerificationFailed when the log proof does not hold.
    """
    manifest, scope = accept(propose.manifest, ctx.expect, ctx.memory)
    parties.opening_key(manifest)
    seen = parties.logged_manifest(propose, scope, ctx.expect, ctx.memory)
    sealing = SealingKey.from_private_bytes(ctx.rng(96))
    masking = AgreementKey.from_private_bytes(ctx.rng(32))
    chain = ctx.rng(32) if manifest.degree else b""
    beacon = graph.commit(chain, scope, ctx.name) if chain else NO_DIGEST
    body = encode(AdvertiseKeys(sealing.public, masking.public, seen.size, beacon))
    own = sign(ctx.key, "AdvertiseKeys", scope, ctx.name, EVERYBODY, body)
    phase = Advertised(
        scope=scope,
        manifest=manifest,
        seal_private=sealing.private_bytes().reveal(),
        mask_private=masking.private_bytes().reveal(),
        own=own,
        seen=seen,
        chain=chain,
    )
    return Step(phase, (("AdvertiseKeys", encode(own)),), parties.entered(scope, seen))


def advance(phase: Phase, signed: Signed | Protected, ctx: NodeContext) -> Step:  # noqa: C901 - the whole table, one match
    """Take one message in one phase.

    Raises: ProtocolViolation (or a subclass naming the rule) when the message is not legal here or fails a check; the
    phase is then unchanged.
    """
    if isinstance(signed, Protected):
        if isinstance(phase, Masking):
            return _protected(phase, signed, ctx)
        raise unexpected(phase, "A Protected")
    if isinstance(phase, Over):
        raise unexpected(phase, f"A {signed.kind}")
    check_current(ctx.memory, phase.scope.round)
    body = open_signed(signed, ctx.expect.aggregator_key, signed.kind, phase.scope, ctx.name)
    match phase, signed.kind:
        case Advertised(), "MemberKeys":
            return _members(phase, decode(MemberKeys, body, LIMIT_LIST), ctx)
        case Drawing(), "Beacons":
            return _drawn(phase, decode(Beacons, body, LIMIT_LIST), ctx)
        case Shared(), "DeliverShares":
            return _hold(phase, decode(DeliverShares, body, LIMIT_LIST), ctx)
        case Uploaded(), "Freeze":
            return _agree(phase, decode(Freeze, body, LIMIT_LIST), ctx)
        case Agreed(), "Open":
            return _reveal(phase, decode(Open, body, LIMIT_LIST), ctx)
        case Answered(), "Open":
            return Step(phase, (("Unmask", encode(phase.answer)),))
        case _:
            raise unexpected(phase, f"A {signed.kind}")


def _members(phase: Advertised, message: MemberKeys, ctx: NodeContext) -> Step:
    """Check U1; on the complete graph go on to step 1, on a sparse one to step 0b."""
    peers, u1 = checks.member_keys(message.u1, phase, ctx.name, ctx.proven), sha256(message.u1)
    if phase.manifest.degree:
        return _open_beacon(phase, peers, u1, 0, u1, ctx)
    return _deal(phase, peers, tuple(peer.name for peer in peers), u1, ctx)


def _open_beacon(
    phase: Advertised | Drawing, peers: tuple[Peer, ...], u1: bytes, draw: int, after: bytes, ctx: NodeContext
) -> Step:
    """Step 0b `OpenBeacon`: open this member's value of a draw."""
    value = graph.opening(phase.chain, phase.scope, ctx.name, draw)
    body = encode(OpenBeacon(draw=draw, after=after, value=value))
    own = sign(ctx.key, "OpenBeacon", phase.scope, ctx.name, EVERYBODY, body)
    drawing = Drawing(
        scope=phase.scope, manifest=phase.manifest, seal_private=phase.seal_private, mask_private=phase.mask_private,
        seen=phase.seen, chain=phase.chain, u1=u1, peers=peers, draw=draw, after=after, own=own,
    )  # fmt: skip
    return Step(drawing, (("OpenBeacon", encode(own)),))


def _drawn(phase: Drawing, message: Beacons, ctx: NodeContext) -> Step:
    """Check a draw; deal over the graph when everybody opened, else draw again among those who did."""
    names, opened = checks.beacons(message.beacons, phase, ctx.name), sha256(message.beacons)
    peers = tuple(peer for peer in phase.peers if peer.name in names)
    if len(peers) < len(phase.peers):
        return _open_beacon(phase, peers, phase.u1, phase.draw + 1, opened, ctx)
    seed = graph.seed(phase.scope, phase.u1, opened)
    near = graph.neighbours(tuple(peer.name for peer in peers), phase.manifest.degree, seed)[ctx.name]
    return _deal(phase, peers, near, seed, ctx)


def _deal(
    phase: Advertised | Drawing, peers: tuple[Peer, ...], near: tuple[str, ...], u1: bytes, ctx: NodeContext
) -> Step:
    """Step 1 `ShareKeys`: draw b_u, deal shares of b_u and sk_mask to every member of `near`, itself among them."""
    manifest, scope = phase.manifest, phase.scope
    seed = ctx.rng(keys.SEED_BYTES)
    dealt = [peer for peer in peers if peer.name in near]
    xs = [manifest.index(peer.name) + 1 for peer in dealt]
    seeds = split(seed, manifest.share_threshold, xs, ctx.rng)
    privates = split(phase.mask_private, manifest.share_threshold, xs, ctx.rng)
    pieces, leaves, own = [], [], None
    for peer, x, seed_share, key_share in zip(dealt, xs, seeds, privates, strict=True):
        if peer.name == ctx.name:
            own = Held(owner=ctx.name, seed=seed_share, key=key_share)
        plain = encode(SharePair(seed=seed_share, key=key_share))
        sealed = seal(peer.keys.seal_key, plain, keys.share_info(scope, ctx.name, peer.name))
        pieces.append(sealed)
        leaves.append(
            ShareLeaf(
                x, sha256(sealed), keys.share_digest("seed", ctx.name, x, seed_share),
                keys.share_digest("key", ctx.name, x, key_share),
            )
        )  # fmt: skip
    if own is None:
        raise ProtocolViolation("U1 does not hold this node.", rule="u1.self")
    root = tree_of(ctx.name, leaves).root()
    body = encode(ShareList(u1=u1, root=root, commitment=keys.commitment(seed, scope, ctx.name)))
    shares = sign(ctx.key, "ShareKeys", scope, ctx.name, EVERYBODY, body)
    after = Shared(
        scope=scope, manifest=manifest, seal_private=phase.seal_private, mask_private=phase.mask_private,
        seen=phase.seen, u1=u1, near=near, peers=peers, seed=seed, own_shares=own, own_list=shares,
    )  # fmt: skip
    directory = cosign(manifest.directory, _witness(scope, ctx), ctx.key, ctx.now)
    return Step(after, (("ShareKeys", encode(ShareKeys(shares, tuple(leaves), tuple(pieces), directory))),))


def _hold(phase: Shared, message: DeliverShares, ctx: NodeContext) -> Step:
    """Step 2 `MaskedInput`, first half: check U2, open the pieces, hand over to the shell for masking."""
    lists = checks.share_lists(message.u2, phase, ctx.name)
    sealing = SealingKey.from_private_bytes(phase.seal_private)
    by_sender = {piece.sender: piece for piece in message.pieces}
    near = tuple(name for name in lists if name in phase.near)
    held = tuple(
        phase.own_shares if name == ctx.name
        else checks.open_piece(
            checks.own_piece(by_sender.get(name), lists[name], phase, ctx.name, name), sealing,
            keys.share_info(phase.scope, name, ctx.name), name,
        )
        for name in near
    )  # fmt: skip
    after = Masking(
        scope=phase.scope, manifest=phase.manifest, seal_private=b"", mask_private=phase.mask_private, seen=phase.seen,
        u1=phase.u1, members=tuple(peer.name for peer in phase.peers),
        peers=tuple(peer for peer in phase.peers if peer.name in near),
        seed=phase.seed, u2=sha256(message.u2), u2_names=tuple(lists), held=held,
    )  # fmt: skip
    return Step(after)


def _protected(phase: Masking, done: Protected, ctx: NodeContext) -> Step:
    """Step 2, second half: the upload is stored; sign its header, with what the ledger says of the input."""
    if done.given is UNSET:
        raise unexpected(phase, "A Protected without its entry in the ledger")
    reported = tuple(entry.owner for entry in phase.held if not entry.seed)
    body = encode(
        MaskedInput(upload=done.upload, length=done.length, u2=phase.u2, reported=reported, bound=done.given.bound)
    )
    header = sign(ctx.key, "MaskedInput", phase.scope, ctx.name, EVERYBODY, body)
    after = Uploaded(
        scope=phase.scope, manifest=phase.manifest, seal_private=b"", mask_private=b"", seen=phase.seen, u1=phase.u1,
        members=phase.members, u2=phase.u2, u2_names=phase.u2_names, held=phase.held, header=header,
        excused=done.given.excused,
    )  # fmt: skip
    return Step(after, (("MaskedInput", encode(header)),), (done.given.counted,))


def _agree(phase: Uploaded, message: Freeze, ctx: NodeContext) -> Step:
    """Step 3 `ConsistencyCheck`: check U3, the freeze and the ledger; sign (H(U2), H(U3)), co-sign the checkpoint."""
    manifest, scope = phase.manifest, phase.scope
    names = checks.frozen_set(message.u3, phase, ctx.name)
    frozen = checks.logged_freeze(message, phase, names, ctx.expect, ctx.memory)
    seats = tuple(seat for seat in manifest.members if seat.name in names)
    fitting.bound_inputs(message, phase, seats, ctx.expect)
    counted = inputs.froze(inputs.required(ctx.memory.counted(scope.round), scope.round), seats)
    u3 = sha256(message.u3)
    body = encode(Agreement(u2=phase.u2, u3=u3))
    agreement = sign(ctx.key, "ConsistencyCheck", scope, ctx.name, EVERYBODY, body)
    sent = ConsistencyCheck(agreement, cosign(message.proof.checkpoint, _witness(scope, ctx), ctx.key, ctx.now))
    after = Agreed(
        scope=scope, manifest=manifest, seal_private=b"", mask_private=b"", u2=phase.u2, u2_names=phase.u2_names,
        u3=u3, u3_names=names, held=phase.held, frozen=frozen,
    )  # fmt: skip
    witnessed = Witnessed(origin=frozen.origin, size=frozen.size, root=frozen.root)
    return Step(after, (("ConsistencyCheck", encode(sent)),), (counted, witnessed))


def _reveal(phase: Agreed, message: Open, ctx: NodeContext) -> Step:
    """Step 4 `Unmask`: check the signatures and the witness quorum, record the opening, answer once."""
    manifest, scope = phase.manifest, phase.scope
    checks.agreements(message, phase)
    checks.witness_quorum(message, phase)
    check_unopened(ctx.memory, scope.round)
    opening = Opened(round=manifest.round, contributors=phase.u3_names)
    counted = inputs.answer(inputs.required(ctx.memory.counted(scope.round), scope.round))
    frozen = set(phase.u3_names)
    answer = Answer(
        u2=phase.u2,
        u3=phase.u3,
        seeds=tuple(OwnedShare(h.owner, h.seed) for h in phase.held if h.owner in frozen and h.seed),
        keys=tuple(OwnedShare(h.owner, h.key) for h in phase.held if h.owner not in frozen and h.key),
    )
    inner = sign(ctx.key, "Answer", scope, ctx.name, manifest.aggregator, encode(answer))
    info = keys.answer_info(scope, ctx.name, manifest.aggregator)
    body = encode(Unmask(sealed=seal(manifest.opening_key, encode(inner), info)))
    envelope = sign(ctx.key, "Unmask", scope, ctx.name, manifest.aggregator, body)
    return Step(
        Answered(scope=scope, answer=envelope, u3=phase.u3), (("Unmask", encode(envelope)),), (counted, opening)
    )


def _witness(scope: Scope, ctx: NodeContext) -> str:
    return f"{scope.round.federation}/{ctx.name}"
