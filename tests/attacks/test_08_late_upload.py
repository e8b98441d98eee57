"""Row 8: the upload of a node that was declared dropped comes late; its key shares are out, its self mask is not.

The adversary is the aggregator. It reads every message of the round, opens every answer, rebuilds the dropped node's
mask key, and subtracts every pair mask from the late vector. What is left must be noise.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from secagg.crypto import prg
from secagg.crypto.agree import AgreementKey
from secagg.crypto.derive import sha256
from secagg.crypto.shamir import combine
from secagg.errors import ProtocolViolation
from secagg.protocol.inputs import rehearsed
from secagg.protocol.lanes import Groups, Ready, encode_training, from_upload
from secagg.protocol.masks import keys, masking
from secagg.protocol.masks import member as node
from secagg.protocol.masks import shell as aggregator
from secagg.protocol.masks.messages import AdvertiseKeys, Answer, DeliverShares, MemberKeys, Unmask
from secagg.protocol.masks.phases import Masking, Protected
from secagg.protocol.round.events import FromNode, Send
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import AGGREGATOR, Federation, propose, table
from secagg.rehearsal.run import Table, run_round
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed
from support.adversary import Scene, stop_before
from support.aggregating import Hall, Member
from support.federation import counted_rng, make
from support.noise import is_noise

GONE = "node-03"
LENGTH = 6000


def inputs(federation: Federation) -> dict[str, Groups]:
    """Return the same clear words for everybody, which the adversary knows: it only has to tell them from others."""
    manifest, given = propose(federation), np.linspace(-1.0, 1.0, LENGTH)
    rng = counted_rng(b"rounding")
    return {name: encode_training(manifest, given, 100, {"loss": 1.0}, rng) for name in federation.members}


@pytest.fixture(scope="module")
def played() -> Table:
    """A round that was opened without node-03, which had dealt its shares and then fell silent."""
    federation = make(4, parameters=LENGTH)
    sat = table(federation, inputs(federation), {GONE: "MaskedInput"})
    assert isinstance(run_round(sat), Closed)
    return sat


def told(sat: Table, kind: str, to: str) -> Signed:
    """Return what the aggregator sent a member under a kind."""
    return next(
        decode(Signed, item.data, LIMIT_BULK)
        for item in sat.wire if isinstance(item, Send) and (item.kind, item.to) == (kind, to)
    )  # fmt: skip


def late(sat: Table) -> tuple[Masking, Mapping[str, np.ndarray]]:
    """Let the dropped node wake up and do what it was asked; return its phase and the words of its upload."""
    party = sat.parties[GONE]
    assert party.phase is not None
    done = node.advance(party.phase, told(sat, "DeliverShares", GONE), party.ctx)
    assert isinstance(done.phase, Masking)
    upload = masking.contribute(Ready(sat.inputs[GONE]), done.phase, GONE)  # type: ignore[arg-type]
    return done.phase, from_upload(sat.manifest, bytes(upload.data))


def answers(sat: Table) -> dict[str, Answer]:
    """Open every answer with the aggregator's key."""
    found = {}
    for item in sat.wire:
        if isinstance(item, FromNode) and item.kind == "Unmask":
            sealed = decode(Unmask, decode(Signed, item.data, LIMIT_BULK).body, LIMIT_BULK).sealed
            inner = sat.keeper.opening.open(sealed, keys.answer_info(scope_of(sat), item.sender, AGGREGATOR))
            found[item.sender] = decode(Answer, decode(Signed, inner, LIMIT_BULK).body, LIMIT_BULK)
    return found


def scope_of(sat: Table) -> Scope:
    assert isinstance(sat.phase, Closed)
    return sat.phase.scope


def test_everything_the_adversary_can_subtract_leaves_noise(played: Table) -> None:
    phase, words = late(played)
    pair_masks_subtracted(played, words)
    clear = played.inputs[GONE]
    assert isinstance(clear, dict)
    for guess in (0, clear["update"]):
        assert is_noise(words["update"] - guess)
    assert not np.intersect1d(words["update"], clear["update"]).size
    assert not np.intersect1d(words["scalars"], clear["scalars"]).size
    # It was the self mask and nothing else that hid them: with b_u they lie open.
    for group in ("scalars", "update"):
        prg.subtract(words[group], keys.self_key(phase.seed, phase.scope, GONE, group))
        assert words[group].tobytes() == clear[group].tobytes()


def pair_masks_subtracted(sat: Table, words: Mapping[str, np.ndarray]) -> None:
    """Rebuild the dropped node's mask key from the answers and take every pair mask off its words, in place."""
    u1 = decode(tuple[Signed, ...], decode(MemberKeys, told(sat, "MemberKeys", "node-00").body, LIMIT_BULK).u1, 2**20)
    u2 = decode(DeliverShares, told(sat, "DeliverShares", "node-00").body, LIMIT_BULK).u2
    advertised = {entry.sender: decode(AdvertiseKeys, entry.body).mask_key for entry in u1}
    shares = {
        sat.manifest.index(member) + 1: share.share
        for member, answer in answers(sat).items() for share in answer.keys if share.owner == GONE
    }  # fmt: skip
    private = AgreementKey.from_private_bytes(combine(shares))
    assert private.public == advertised[GONE]
    for name, public in advertised.items():
        if name == GONE:
            continue
        low = sat.manifest.index(name) < sat.manifest.index(GONE)
        pair = sorted(((name, public), (GONE, private.public)), key=lambda side: sat.manifest.index(side[0]))
        for group, array in words.items():
            key = keys.pair_key(keys.pair_secret(private, public), scope_of(sat), sha256(u2), pair[0], pair[1], group)
            (prg.add if low else prg.subtract)(array, key)


def test_nobody_answers_with_a_share_of_the_dropped_nodes_self_mask(played: Table) -> None:
    found = answers(played)
    assert len(found) == 3
    for answer in found.values():
        assert GONE not in {share.owner for share in answer.seeds}
        assert {share.owner for share in answer.keys} == {GONE}


@pytest.mark.parametrize("kind", ["Freeze", "Open"])
def test_the_late_header_counts_no_more_once_the_set_is_frozen(kind: str) -> None:
    """An honest aggregator discards it; a malicious one that adds it to the set is seen by everybody (row 6)."""
    scene = stop_before(kind, drops={GONE: "MaskedInput"})
    phase, before = scene.table.phase, header_of(scene)
    assert phase is not None
    with pytest.raises(ProtocolViolation) as caught:
        aggregator.advance(phase, FromNode(GONE, "MaskedInput", before), scene.table.keeper)
    assert caught.value.rule == "phase.message"


def header_of(scene: Scene) -> bytes:
    """Return the signed header of the late upload, as its node makes it."""
    party = scene.table.parties[GONE]
    assert party.phase is not None
    done = node.advance(party.phase, told(scene.table, "DeliverShares", GONE), party.ctx)
    given = rehearsed(scene.table.manifest, scene.scope, GONE)
    sent = node.advance(done.phase, Protected(bytes(32), 1, (), given), party.ctx).send
    assert [name for name, _ in sent] == ["MaskedInput"]
    return encode(decode(Signed, sent[0][1]))


def test_chunks_that_come_after_the_freeze_are_neither_read_nor_kept_nor_acknowledged(tmp_path: Path) -> None:
    """The dropped member did everything in time; only its bytes come late, while the others still agree."""
    stage = Hall(make(7, chunk_bytes=4096), tmp_path)
    late, held, receipts = stage.members[GONE], [], []

    async def keep(phase: Masking, upload: bytes) -> None:
        held.append((phase, upload))

    def fate(to: str, message: Received) -> tuple[Received, ...]:
        if to == GONE and message.kind == "ack-chunk":
            receipts.append(message)
        return (message,)

    async def script(hall: Hall) -> None:
        late.upload = keep  # type: ignore[method-assign]
        hall.members["node-02"].silent = "ConsistencyCheck"
        hall.network._fate = fate
        await hall.push()
        await hall.gather()
        hall.submit()
        await hall.wait(4.0)
        assert hall.result_step() == "ConsistencyCheck"
        before = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
        ((phase, upload),) = held
        await Member.upload(late, phase, upload)
        await hall.settle()
        assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == before
        await hall.wait(8.0)

    stage.play(script)
    assert receipts == []
    assert stage.named("round_closed")[0]["contributors"] == [name for name in stage.members if name != GONE]
    assert stage.result()["values"] == [127.0 - 8.0] * 7
