"""Rows 6, 7, 13, 23, 32, 34, 35 at the aggregator's door: a colluding member signs what would stop or bend the round.

What the members would refuse never reaches them: a message counts once, and only if it fits the sets of its round.
"""

from collections.abc import Callable

import pytest
from msgspec import Struct
from msgspec.structs import replace

from secagg.crypto.seal import seal
from secagg.errors import ProtocolViolation, VerificationFailed
from secagg.ids import EVERYBODY
from secagg.log.checkpoint import cosign
from secagg.protocol.engine import Phase
from secagg.protocol.masks import keys
from secagg.protocol.masks import shell as aggregator
from secagg.protocol.masks.dealing import tree_of
from secagg.protocol.masks.messages import (
    AdvertiseKeys,
    Agreement,
    Answer,
    ConsistencyCheck,
    MaskedInput,
    OpenBeacon,
    OwnedShare,
    ShareKeys,
    ShareLeaf,
    ShareList,
    Unmask,
)
from secagg.protocol.masks.rounds import Drawing, Opening, Sharing, Uploading
from secagg.protocol.round import messages
from secagg.protocol.round.events import FromNode, Turned
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.adversary import Scene, stop_before
from support.federation import BEARS, sparse

COLLUDER = "node-03"
Leaves = tuple[ShareLeaf, ...]
LAST = "node-29"
"""The last of a sparse federation."""


def waiting(kind: str) -> Scene:
    """Stop a round when everybody but the colluder has answered this message of the aggregator."""
    return stop_before(kind, COLLUDER)


def offer(scene: Scene, kind: str, data: bytes, sender: str = COLLUDER) -> Turned[Phase]:
    phase = scene.table.phase
    assert phase is not None
    return aggregator.advance(phase, FromNode(sender, kind, data), scene.table.keeper)


def refused(scene: Scene, kind: str, data: bytes, sender: str = COLLUDER) -> str:
    with pytest.raises(ProtocolViolation) as caught:
        offer(scene, kind, data, sender)
    return caught.value.rule


def signed(scene: Scene, kind: str, content: Struct, member: str = COLLUDER, receiver: str = EVERYBODY) -> Signed:
    """Return what the colluder signs in this round."""
    assert scene.table.phase is not None
    scope: Scope = scene.table.phase.scope
    return sign(scene.federation.members[member], kind, scope, member, receiver, encode(content))


def honest(scene: Scene) -> bytes:
    """Return what the colluder would send if it were honest."""
    return scene.deliver(scene.message.data).send[0][1]


def witness(scene: Scene) -> str:
    """Return the colluder's name as a witness."""
    return f"{scene.table.manifest.round.federation}/{COLLUDER}"


# Keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["mask_key", "seal_key"])
def test_two_members_do_not_advertise_one_key(key: str) -> None:
    scene = waiting("Propose")
    first, *_ = (decode(AdvertiseKeys, decode(Signed, item.data).body) for item in scene.captured("AdvertiseKeys"))
    own = decode(AdvertiseKeys, decode(Signed, scene.captured("AdvertiseKeys")[1].data).body)
    fresh = {"mask_key": b"\x09" + bytes(31), "seal_key": scene.federation.opening.public}
    assert offer(scene, "AdvertiseKeys", encode(signed(scene, "AdvertiseKeys", replace(own, **fresh)))).effects
    copied = replace(own, **{**fresh, key: getattr(first, key)})
    assert refused(scene, "AdvertiseKeys", encode(signed(scene, "AdvertiseKeys", copied))) == "u1.distinct"


# Shares --------------------------------------------------------------------------------------------------------------


def over_another_u1(own: ShareList, leaves: Leaves) -> tuple[ShareList, Leaves]:
    return replace(own, u1=bytes(32)), leaves


def to_fewer(own: ShareList, leaves: Leaves) -> tuple[ShareList, Leaves]:
    return rooted(own, leaves[:-1])


def to_somebody_else(own: ShareList, leaves: Leaves) -> tuple[ShareList, Leaves]:
    return rooted(own, (*leaves[:-1], replace(leaves[-1], x=leaves[-1].x + 1)))


def to_one_twice(own: ShareList, leaves: Leaves) -> tuple[ShareList, Leaves]:
    return rooted(own, (*leaves[:-1], replace(leaves[-1], x=leaves[-2].x)))


def under_another_root(own: ShareList, leaves: Leaves) -> tuple[ShareList, Leaves]:
    return replace(own, root=bytes(32)), leaves


def rooted(own: ShareList, leaves: Leaves) -> tuple[ShareList, Leaves]:
    return replace(own, root=tree_of(COLLUDER, leaves).root()), leaves


@pytest.mark.parametrize(
    ("change", "rule"),
    [(over_another_u1, "u2.same-u1"), (to_fewer, "u2.receivers"), (to_somebody_else, "u2.receivers"),
     (to_one_twice, "u2.root"), (under_another_root, "u2.root")],
)  # fmt: skip
def test_shares_are_dealt_over_the_same_u1(change: Callable[..., tuple[ShareList, Leaves]], rule: str) -> None:
    scene = waiting("MemberKeys")
    dealt = decode(ShareKeys, honest(scene), LIMIT_BULK)
    body, leaves = change(decode(ShareList, dealt.shares.body, LIMIT_BULK), dealt.leaves)
    pieces = dealt.pieces[: len(leaves)]
    lie = encode(ShareKeys(signed(scene, "ShareKeys", body), leaves, pieces, dealt.directory))
    assert refused(scene, "ShareKeys", lie) == rule


def test_pieces_are_those_that_were_signed_for() -> None:
    """Else the colluder could let an honest member look like one that keeps its shares back."""
    scene = waiting("MemberKeys")
    dealt = decode(ShareKeys, honest(scene), LIMIT_BULK)
    for pieces in (dealt.pieces[:-1], (*dealt.pieces[:-1], b"another"), dealt.pieces[::-1]):
        assert refused(scene, "ShareKeys", encode(replace(dealt, pieces=pieces))) == "u2.digests"


@pytest.mark.parametrize("change", [{"draw": 1}, {"after": bytes(32)}])
def test_a_beacon_is_of_this_draw(change: dict[str, object]) -> None:
    scene = stop_before("MemberKeys", LAST, federation=sparse(), policy=BEARS)
    assert isinstance(scene.table.phase, Drawing)
    own = decode(OpenBeacon, decode(Signed, honest(scene)).body)
    lie = encode(signed(scene, "OpenBeacon", replace(own, **change), LAST))
    assert refused(scene, "OpenBeacon", lie, LAST) == "beacon.draw"


def test_a_beacon_opens_its_commitment() -> None:
    scene = stop_before("MemberKeys", LAST, federation=sparse(), policy=BEARS)
    own = decode(OpenBeacon, decode(Signed, honest(scene)).body)
    lie = encode(signed(scene, "OpenBeacon", replace(own, value=bytes(32)), LAST))
    assert refused(scene, "OpenBeacon", lie, LAST) == "beacon.commitment"


# Sets ----------------------------------------------------------------------------------------------------------------


def header(scene: Scene, **changes: object) -> bytes:
    """Return the colluder's header of an upload: another member's, with these changes."""
    own = decode(MaskedInput, decode(Signed, scene.captured("MaskedInput")[0].data).body)
    return encode(signed(scene, "MaskedInput", replace(own, **changes)))


def test_an_upload_over_another_u2_does_not_count() -> None:
    scene = waiting("DeliverShares")
    assert isinstance(scene.table.phase, Uploading)
    assert refused(scene, "MaskedInput", header(scene, u2=bytes(32))) == "u3.same-u2"
    assert offer(scene, "MaskedInput", header(scene)).effects


@pytest.mark.parametrize("change", [{"u2": bytes(32)}, {"u3": bytes(32)}])
def test_an_agreement_to_other_sets_does_not_count(change: dict[str, object]) -> None:
    scene = waiting("Freeze")
    agreed = decode(ConsistencyCheck, honest(scene))
    lie = signed(scene, "ConsistencyCheck", replace(decode(Agreement, agreed.agreement.body), **change))
    assert refused(scene, "ConsistencyCheck", encode(replace(agreed, agreement=lie))) == "open.same-sets"


def test_a_witness_signs_the_checkpoint_of_this_freeze() -> None:
    """Each member is a witness of both logs; a line on another checkpoint would make the quorum unprovable."""
    scene = waiting("Freeze")
    agreed = decode(ConsistencyCheck, honest(scene))
    line = cosign(scene.table.manifest.directory, witness(scene), scene.federation.members[COLLUDER], START_OF_TIME)
    with pytest.raises(VerificationFailed):
        offer(scene, "ConsistencyCheck", encode(replace(agreed, rounds=line)))


def lines(scene: Scene, honest: bytes) -> dict[str, bytes]:
    """Return witness lines on the directory that are none: of another checkpoint, member or form."""
    federation, manifest = scene.federation, scene.table.manifest
    key, other = federation.members[COLLUDER], federation.members["node-00"]
    return {
        "of the round log": cosign(scene.table.log.prove(0).checkpoint, witness(scene), key, START_OF_TIME),
        "replayed, of another federation": cosign(manifest.directory, f"elsewhere/{COLLUDER}", key, START_OF_TIME),
        "replayed, of another member": cosign(manifest.directory, witness(scene), other, START_OF_TIME),
        "under another name": honest.replace(b" ", b" A", 1),
        "twice": honest * 2,
        "with text behind it": honest + b"x",
        "empty": b"",
        "no line": b"\xff" * 40,
        "huge": b"\xe2\x80\x94 " + b"a" * 900_000 + b" AAAA\n",
    }


def test_a_witness_signs_the_directory_that_the_manifest_names() -> None:
    scene = waiting("MemberKeys")
    dealt = decode(ShareKeys, honest(scene), LIMIT_BULK)
    for line in lines(scene, dealt.directory).values():
        with pytest.raises(VerificationFailed):
            offer(scene, "ShareKeys", encode(replace(dealt, directory=line)))
    assert offer(scene, "ShareKeys", encode(dealt)).effects


def test_an_answer_holds_shares_of_one_kind() -> None:
    """Row 7: a colluder that answers with a mask key's share of a contributor gives the aggregator both kinds."""
    scene = stop_before("Open", COLLUDER, count=5)
    manifest, phase = scene.table.manifest, scene.table.phase
    assert phase is not None
    envelope = decode(Signed, honest(scene), LIMIT_BULK)
    info = keys.answer_info(phase.scope, COLLUDER, AGGREGATOR)
    plain = scene.federation.opening.open(decode(Unmask, envelope.body, LIMIT_BULK).sealed, info)
    answer = decode(Answer, decode(Signed, plain, LIMIT_BULK).body)

    def sealed(content: Answer) -> bytes:
        inner = encode(signed(scene, "Answer", content, receiver=AGGREGATOR))
        unmask = Unmask(seal(manifest.opening_key, inner, info))
        return encode(signed(scene, "Unmask", unmask, receiver=AGGREGATOR))

    for lie in (
        replace(answer, keys=(OwnedShare("node-00", bytes(33)),)),
        replace(answer, seeds=(*answer.seeds, OwnedShare("stranger", bytes(33)))),
        replace(answer, u2=bytes(32)),
    ):
        assert refused(scene, "Unmask", sealed(lie)) == "answer.sets"
    taken = offer(scene, "Unmask", sealed(answer)).phase
    assert isinstance(taken, Opening)
    assert len(taken.answers) == 4


# Who, and how often --------------------------------------------------------------------------------------------------


def test_a_member_that_is_not_in_the_set_is_not_waited_for() -> None:
    """node-03 dealt no shares; it signs the header of an upload all the same."""
    scene = stop_before("DeliverShares", "node-02", drops={COLLUDER: "ShareKeys"})
    assert isinstance(scene.table.phase, Uploading)
    assert refused(scene, "MaskedInput", header(scene)) == "intake.stranger"


def test_a_member_that_left_does_not_come_back() -> None:
    scene = stop_before("DeliverShares", "node-02", count=5)
    leave = encode(signed(scene, "Refuse", messages.Refuse("policy.min_nodes")))
    scene.table.phase = offer(scene, "Refuse", leave).phase
    assert refused(scene, "MaskedInput", header(scene)) == "intake.stranger"
    assert refused(scene, "Refuse", leave) == "intake.stranger"


def test_a_message_counts_for_its_signer_alone() -> None:
    scene = waiting("MemberKeys")
    of_another = scene.captured("ShareKeys")[0].data
    assert refused(scene, "ShareKeys", of_another) == "intake.sender"


def test_a_message_counts_once_and_the_first_stays() -> None:
    scene = stop_before("DeliverShares", "node-02", count=5)
    before = scene.table.phase
    assert isinstance(before, Uploading)
    assert [entry.sender for entry in before.headers] == ["node-00", "node-01"]
    first = header(scene, upload=b"1" * 32)
    scene.table.phase = once = offer(scene, "MaskedInput", first).phase
    assert offer(scene, "MaskedInput", first).phase == once
    assert offer(scene, "MaskedInput", header(scene, upload=b"2" * 32)).phase == once


def test_a_message_comes_in_its_step_only() -> None:
    scene = waiting("MemberKeys")
    assert isinstance(scene.table.phase, Sharing)
    late = scene.captured("AdvertiseKeys")[0]
    assert refused(scene, "AdvertiseKeys", late.data, late.sender) == "phase.message"
