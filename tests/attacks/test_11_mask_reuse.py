"""Row 11: one mask under two vectors reveals their difference: no two lane groups, rounds or attempts share one.

A node that restarts sends the very bytes it has saved, or takes part in a new attempt. It never masks a second vector
under keys that have masked one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace as with_fields
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from node.config import OwnTask
from secagg.errors import ProtocolViolation, Refused
from secagg.ids import RoundId
from secagg.learning.layout import encode_model
from secagg.protocol.inputs import rehearsed
from secagg.protocol.lanes import Ready, from_upload, packing
from secagg.protocol.manifest import LaneGroup
from secagg.protocol.masks import masking, node
from secagg.protocol.masks.messages import DeliverShares
from secagg.protocol.masks.phases import Advertised, Masking, Protected, Uploaded
from secagg.rehearsal.federation import propose
from secagg.rehearsal.notebook import Notebook
from secagg.transport.link import Received
from secagg.wire.chunks import ChunkHeader
from secagg.wire.codec import decode
from secagg.wire.signed import Scope, Signed
from support.adversary import Scene, proposal_of, stop_before
from support.federation import another_key, make
from support.nodes import Ward
from support.noise import blocks, is_noise

TORCH = Path(__file__).resolve().parents[1] / "support" / "torch_tasks.py"
PURPOSES = ("self", "pair")
Words = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.unsignedinteger]]]


def ready() -> tuple[Scene, Masking]:
    """Return a scene whose victim knows U2 and is about to mask 3,000 numbers."""
    scene = stop_before("DeliverShares", federation=make(4, purpose="sum", bits=64, scalars=(), parameters=3000))
    phase = scene.deliver(scene.message.data).phase
    assert isinstance(phase, Masking)
    return scene, phase


def laid_on(phase: Masking) -> Words:
    """Return what masks zeros become: the masks themselves, canaries taken off."""
    zeros = {group.name: np.zeros(packing(group).words, dtype=np.uint64) for group in phase.manifest.groups}
    upload = masking.contribute(Ready(zeros), phase, "node-00")
    return from_upload(phase.manifest, bytes(upload.data))


def masks(phase: Masking, purpose: str) -> Words:
    """Return the self mask alone, or the mask of one pair alone."""
    own = laid_on(replace(phase, peers=()))
    if purpose == "self":
        return own
    both = laid_on(replace(phase, peers=phase.peers[1:2]))
    return {group: words - own[group] for group, words in both.items()}


def independent(one: Words, other: Words, *groups: str) -> bool:
    """Say whether two masks share no block and differ by noise; `groups` names one lane group of each."""
    first, second = one[groups[0]], other[groups[-1]]
    return not blocks(first) & blocks(second) and is_noise(first - second) and is_noise(first)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_two_lane_groups_have_independent_masks(purpose: str) -> None:
    """`scalars` is made as wide as `update` here, so that a stream they shared would show."""
    _, phase = ready()
    wide = LaneGroup("scalars", "lane64", 64, 64, 3001)
    phase = replace(phase, manifest=replace(phase.manifest, groups=(wide, phase.manifest.groups[1])))
    found = masks(phase, purpose)
    assert independent(found, found, "scalars", "update")


def test_the_self_mask_and_the_masks_of_two_pairs_are_independent() -> None:
    _, phase = ready()
    own, pair = masks(phase, "self"), masks(phase, "pair")
    another = masks(replace(phase, peers=(phase.peers[0], *phase.peers[2:])), "pair")
    assert independent(own, pair, "update")
    assert independent(pair, another, "update")
    assert independent(own, another, "update")


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize(
    "where",
    [
        RoundId("fed", "job", 1, 2), RoundId("fed", "job", 2), RoundId("fed", "another-job", 1),
        RoundId("another-fed", "job", 1), RoundId("fed", "job", 1, 1, 1),
    ],
    ids=["attempt", "round", "job", "federation", "group"],
)  # fmt: skip
def test_even_a_node_that_kept_its_secrets_has_other_masks_elsewhere(where: RoundId, purpose: str) -> None:
    """The keys of a round are fresh; were they not, its place alone would make the masks independent."""
    _, phase = ready()
    moved = replace(phase, scope=Scope(where, phase.scope.manifest))
    assert independent(masks(phase, purpose), masks(moved, purpose), "update")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_another_manifest_gives_other_masks(purpose: str) -> None:
    _, phase = ready()
    other = replace(phase, scope=Scope(phase.scope.round, b"m" * 32))
    assert independent(masks(phase, purpose), masks(other, purpose), "update")


def test_another_u2_gives_other_masks() -> None:
    _, phase = ready()
    assert independent(masks(phase, "pair"), masks(replace(phase, u2=b"u" * 32), "pair"), "update")


def test_the_next_attempt_has_fresh_keys() -> None:
    scene = stop_before("MemberKeys")
    first = scene.party.phase
    # The second proposal comes with a log of its own, so the victim forgets what it saw of the first.
    ctx = with_fields(scene.party.ctx, memory=Notebook())
    again = node.start(proposal_of(scene.federation, propose(scene.federation, attempt=2)), ctx).phase
    assert isinstance(first, Advertised)
    assert isinstance(again, Advertised)
    assert first.mask_private != again.mask_private
    assert first.seal_private != again.seal_private


def test_a_second_vector_is_not_taken_under_the_masks_of_the_first() -> None:
    """Work that ends twice, before or after a restart, brings two uploads; only the first is ever signed."""
    scene, phase = ready()
    once, entry = scene.party.ctx, rehearsed(phase.manifest, phase.scope, scene.party.ctx.name)
    uploaded = node.advance(phase, Protected(b"r" * 32, 9, (b"u" * 32,), entry), once)
    assert isinstance(uploaded.phase, Uploaded)
    with pytest.raises(ProtocolViolation) as caught:
        node.advance(uploaded.phase, Protected(b"s" * 32, 9, (b"v" * 32,), entry), once)
    assert caught.value.rule == "phase.message"


def test_shares_are_dealt_once_and_u2_is_taken_once() -> None:
    scene, _ = ready()
    with pytest.raises(ProtocolViolation) as caught:
        scene.deliver(scene.message.data)
    assert caught.value.rule == "phase.message"
    other = scene.body(DeliverShares)
    with pytest.raises(ProtocolViolation):
        scene.show(replace(other, pieces=()))


def test_one_attempt_has_one_manifest() -> None:
    """A second manifest of the same attempt would ask for a second vector while the first may be on its way."""
    scene = stop_before("DeliverShares")
    changed = replace(propose(scene.federation), opening_key=another_key())
    with pytest.raises(Refused) as caught:
        node.start(proposal_of(scene.federation, changed), scene.party.ctx)
    assert caught.value.rule == "attempt.second-manifest"


# Restarts, with the real services ------------------------------------------------------------------------------------


def spied(ward: Ward) -> dict[tuple[RoundId, int], list[bytes]]:
    """Return every chunk that node-02 puts on the wire; its first one is lost."""
    chunks: dict[tuple[RoundId, int], list[bytes]] = defaultdict(list)
    lost = [1]

    def fate(to: str, message: Received) -> Sequence[Received]:
        if message.sender == "node-02" and message.kind == "chunk":
            header = decode(ChunkHeader, decode(Signed, message.header).body)
            chunks[header.round, header.index].append(message.body)
            if lost[0]:
                lost[0] -= 1
                return ()
        return ward._count(to, message)

    ward.network._fate = fate
    return chunks


def trained(ward: Ward) -> None:
    """Submit a training job: its rounding is random, so a vector that is made again is another vector."""
    for site in ward.nodes.values():
        site.data.write_text("1 3\n2 5\n")
        site.tasks["task"] = OwnTask("task", f"{TORCH}:Line", site.data, {})
    file = ward.state / "line.safetensors"
    zeros = {"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    file.write_bytes(encode_model(zeros))
    ward.submit(file, purpose="training", length=0, rounds=2)


@pytest.mark.parametrize("step", ["ShareKeys", "MaskedInput", "ConsistencyCheck", "Unmask"])
def test_a_node_killed_at_any_step_sends_the_same_bytes_or_takes_part_in_a_new_attempt(
    tmp_path: Path, step: str
) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    chunks = spied(ward)
    ward.kills["node-02"] = step
    for site in ward.nodes.values():
        # The node that dies is missing in one round, and there in the next.
        site.policy = with_fields(site.policy, changing_sets=True, min_change=0.0)

    async def script(_: object) -> None:
        await ward.start_nodes()
        trained(ward)
        await ward.wait(4)
        assert not ward.nodes["node-02"].alive
        ward.revive("node-02")
        await ward.wait(12)
        await ward.stop_nodes()

    ward.play(script)
    assert chunks
    assert {len(set(bodies)) for bodies in chunks.values()} == {1}
    assert max(map(len, chunks.values())) > 1, "nothing was sent again: the test shows nothing"
    assert ward.named("job_done")
