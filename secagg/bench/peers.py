"""Members who say what members say and check nothing: the company that a measured role is kept in.

Rules: keys, shares, seals, signatures and answers are real, so that whoever is measured does exactly the work of a
round. Pieces are sealed to the measured members only, since nobody opens the others. What a member here skips is its
own checking. In a round of n members everybody verifies everybody, and only one of them is being measured.
Leaves to others: the measured roles (client.py, server.py), whole members (secagg.protocol.masks.node).
"""

from collections.abc import Callable, Collection

from secagg.crypto.agree import AgreementKey
from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey, seal
from secagg.crypto.shamir import split
from secagg.crypto.sign import SigningKey
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.checkpoint import Checkpoint, cosign
from secagg.protocol.binding import UNKNOWN
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import graph, keys
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
    OpenBeacon,
    OwnedShare,
    ShareKeys,
    ShareLeaf,
    ShareList,
    SharePair,
    Unmask,
)
from secagg.protocol.masks.phases import Masking, Peer, Protected
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, sign

Upload = Callable[[str, Masking], Protected]


class Member:
    """One member's keys of the round."""

    def __init__(self, name: str, key: SigningKey, rng: Rng) -> None:
        self.name, self.key = name, key
        self.sealing = SealingKey.from_private_bytes(rng(96))
        self.masking = AgreementKey.from_private_bytes(rng(32))
        self.chain, self.seed = rng(32), rng(keys.SEED_BYTES)


class Peers:
    """All members but the measured ones, in one round."""

    def __init__(
        self, manifest: Manifest, scope: Scope, signers: dict[str, SigningKey], rng: Rng, measured: Collection[str],
        upload: Upload, now: int,
    ) -> None:  # fmt: skip
        self._manifest, self._scope, self._rng, self._now = manifest, scope, rng, now
        self._measured, self._upload = measured, upload
        self._all = {name: Member(name, key, rng) for name, key in signers.items() if name not in measured}
        self._index = {name: index for index, name in enumerate(manifest.names())}
        self._u1 = self._u2 = self._basis = b""
        self._keys: dict[str, AdvertiseKeys] = {}
        self._near: dict[str, tuple[str, ...]] = {}
        self._dealt: dict[tuple[str, str], SharePair] = {}
        self._headers: dict[str, Signed] = {}

    def answer(self, to: str, kind: str, data: bytes) -> tuple[str, bytes]:
        """Return the kind and the bytes of a member's answer to one of the aggregator's messages."""
        member = self._all[to]
        if kind == "Propose":
            return "AdvertiseKeys", self._advertise(member)
        body = decode(Signed, data, LIMIT_LIST).body
        match kind:
            case "MemberKeys":
                self._learn(body)
                if self._manifest.degree:
                    return "OpenBeacon", self._open_beacon(member)
                return "ShareKeys", self._deal(member)
            case "Beacons":
                self._draw(body)
                return "ShareKeys", self._deal(member)
            case "DeliverShares":
                return "MaskedInput", self._protect(member, decode(DeliverShares, body, LIMIT_LIST))
            case "Freeze":
                return "ConsistencyCheck", self._agree(member, decode(Freeze, body, LIMIT_LIST))
            case _:
                return "Unmask", self._reveal(member)

    def _sign(self, member: Member, kind: str, body: object, receiver: str = EVERYBODY) -> Signed:
        return sign(member.key, kind, self._scope, member.name, receiver, encode(body))

    def _advertise(self, member: Member) -> bytes:
        beacon = graph.commit(member.chain, self._scope, member.name) if self._manifest.degree else NO_DIGEST
        body = AdvertiseKeys(member.sealing.public, member.masking.public, 0, beacon)
        return encode(self._sign(member, "AdvertiseKeys", body))

    def _learn(self, body: bytes) -> None:
        """Read U1 once: it is the same for everybody."""
        if self._keys:
            return
        u1 = decode(MemberKeys, body, LIMIT_LIST).u1
        entries = decode(tuple[Signed, ...], u1, LIMIT_LIST)
        self._keys = {entry.sender: decode(AdvertiseKeys, entry.body) for entry in entries}
        self._u1 = self._basis = sha256(u1)
        self._near = graph.neighbours(tuple(self._keys), 0, self._basis)

    def _draw(self, body: bytes) -> None:
        opened = sha256(decode(Beacons, body, LIMIT_LIST).beacons)
        if self._basis == self._u1:
            self._basis = graph.seed(self._scope, self._u1, opened)
            self._near = graph.neighbours(tuple(self._keys), self._manifest.degree, self._basis)

    def _open_beacon(self, member: Member) -> bytes:
        value = graph.opening(member.chain, self._scope, member.name, 0)
        return encode(self._sign(member, "OpenBeacon", OpenBeacon(0, self._u1, value)))

    def _deal(self, member: Member) -> bytes:
        near, manifest = self._near[member.name], self._manifest
        xs, t = [self._index[name] + 1 for name in near], manifest.share_threshold
        seeds = split(member.seed, t, xs, self._rng)
        privates = split(member.masking.private_bytes().reveal(), t, xs, self._rng)
        pieces, leaves = [], []
        for name, x, seed, private in zip(near, xs, seeds, privates, strict=True):
            pair = self._dealt[member.name, name] = SharePair(seed=seed, key=private)
            pieces.append(self._sealed(member.name, name, pair) if name in self._measured else b"")
            digests = (
                keys.share_digest("seed", member.name, x, seed),
                keys.share_digest("key", member.name, x, private),
            )
            leaves.append(ShareLeaf(x, sha256(pieces[-1]), *digests))
        root = tree_of(member.name, leaves).root()
        commitment = keys.commitment(member.seed, self._scope, member.name)
        shares = self._sign(member, "ShareKeys", ShareList(self._basis, root, commitment))
        witnessed = self._witnessed(member, self._manifest.directory)
        return encode(ShareKeys(shares, tuple(leaves), tuple(pieces), witnessed))

    def _witnessed(self, member: Member, note: bytes) -> bytes:
        return cosign(note, f"{self._scope.round.federation}/{member.name}", member.key, self._now)

    def _sealed(self, sender: str, receiver: str, pair: SharePair) -> bytes:
        return seal(self._keys[receiver].seal_key, encode(pair), keys.share_info(self._scope, sender, receiver))

    def _protect(self, member: Member, message: DeliverShares) -> bytes:
        if not self._u2:
            self._u2 = sha256(message.u2)
            entries = decode(tuple[Signed, ...], message.u2, LIMIT_LIST)
            self._dealers = tuple(entry.sender for entry in entries)
        near = [name for name in self._dealers if name in self._near[member.name]]
        phase = Masking(
            scope=self._scope, manifest=self._manifest, seal_private=b"",
            mask_private=member.masking.private_bytes().reveal(), seen=Checkpoint("bench", 0, bytes(32)),
            u1=self._basis, members=tuple(self._keys),
            peers=tuple(Peer(name, self._keys[name]) for name in near), seed=member.seed, u2=self._u2,
            u2_names=self._dealers, held=(),
        )  # fmt: skip
        done = self._upload(member.name, phase)
        header = self._sign(member, "MaskedInput", MaskedInput(done.upload, done.length, self._u2, (), UNKNOWN))
        self._headers[member.name] = header
        return encode(header)

    def _agree(self, member: Member, message: Freeze) -> bytes:
        self._u3 = sha256(message.u3)
        self._frozen = frozenset(entry.sender for entry in decode(tuple[Signed, ...], message.u3, LIMIT_LIST))
        agreement = self._sign(member, "ConsistencyCheck", Agreement(self._u2, self._u3))
        return encode(ConsistencyCheck(agreement, self._witnessed(member, message.proof.checkpoint)))

    def _reveal(self, member: Member) -> bytes:
        seeds, privates = [], []
        for owner in (name for name in self._dealers if name in self._near[member.name]):
            pair = self._dealt[owner, member.name]
            if owner in self._frozen:
                seeds.append(OwnedShare(owner, pair.seed))
            else:
                privates.append(OwnedShare(owner, pair.key))
        answer = Answer(self._u2, self._u3, tuple(seeds), tuple(privates))
        manifest = self._manifest
        inner = self._sign(member, "Answer", answer, manifest.aggregator)
        info = keys.answer_info(self._scope, member.name, manifest.aggregator)
        return encode(
            self._sign(member, "Unmask", Unmask(seal(manifest.opening_key, encode(inner), info)), manifest.aggregator)
        )
