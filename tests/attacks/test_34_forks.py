"""Row 34: an opening without a freeze or proof, from a stale checkpoint, and on a fork with one honest witness."""

import pytest
from msgspec.structs import replace

from secagg.errors import ProtocolViolation, Refused, VerificationFailed
from secagg.ids import EVERYBODY
from secagg.log.checkpoint import cosign, read_checkpoint
from secagg.log.log import MemoryLog
from secagg.log.statements import JobCreated
from secagg.log.witness import LogProof
from secagg.protocol.inputs import Counted
from secagg.protocol.masks import member as node
from secagg.protocol.masks.messages import ConsistencyCheck, Freeze, Open
from secagg.protocol.masks.phases import Agreed, Answered
from secagg.protocol.memory import Witnessed
from secagg.protocol.round.messages import Cosignature
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME
from secagg.wire.codec import decode, encode
from secagg.wire.signed import sign
from support.adversary import Scene, logged, stop_before


def test_a_freeze_without_any_proof_is_refused() -> None:
    scene = stop_before("Freeze")
    honest = scene.body(Freeze)
    nothing = LogProof(index=0, checkpoint=b"", inclusion=(), old_size=0, consistency=())
    for proof in (nothing, replace(nothing, old_size=honest.proof.old_size), replace(honest.proof, checkpoint=b"")):
        with pytest.raises(VerificationFailed):
            scene.show(replace(honest, proof=proof))


def test_an_opening_without_a_freeze_is_refused() -> None:
    """The aggregator skips step 3 for one member and hands it what the others agreed to."""
    opened = stop_before("Open", "node-01").body(Open)
    scene = stop_before("Freeze")
    with pytest.raises(ProtocolViolation) as caught:
        scene.show(opened, "Open")
    assert caught.value.rule == "phase.message"


def test_a_checkpoint_older_than_what_the_node_has_seen_is_refused() -> None:
    """The freeze is in both checkpoints; the older one is shown to hide what was logged in between."""
    scene = stop_before("Freeze")
    honest, log = scene.body(Freeze), scene.table.log
    stale = honest.proof
    assert isinstance(log, MemoryLog)
    logged(scene.federation, JobCreated(federation="fed", time=START_OF_TIME, job="job", spec="00" * 32), log)
    newer = read_checkpoint(log.checkpoint)
    scene.party.notebook.records.append(Witnessed(newer.origin, newer.size, newer.root))
    for proof in (stale, replace(stale, old_size=newer.size), replace(stale, old_size=newer.size, consistency=())):
        with pytest.raises(VerificationFailed):
            scene.show(replace(honest, proof=proof))
    scene.show(replace(honest, proof=log.prove(stale.index, newer.size)))


def fork_for(scene: Scene, honest: Freeze) -> LogProof:
    """Return the proof of the same freeze on a branch that begins behind what every member has seen."""
    origin, log = f"{scene.federation.spec.federation}/rounds", scene.table.log
    branch = MemoryLog(origin, origin, scene.federation.aggregator)
    for index in range(honest.proof.old_size):
        branch.append(log.leaf(index))
    logged(scene.federation, JobCreated(federation="fed", time=START_OF_TIME, job="hidden", spec="00" * 32), branch)
    index = branch.append(honest.leaf)
    branch.publish()
    return branch.prove(index, honest.proof.old_size)


def answers(scene: Scene, freezes: dict[str, Freeze]) -> dict[str, ConsistencyCheck]:
    """Return what every member says to the freeze that it is shown."""
    told = {}
    for name, freeze in freezes.items():
        seat = scene.table.parties[name]
        signed = sign(scene.federation.aggregator, "Freeze", scene.scope, AGGREGATOR, name, encode(freeze))
        assert seat.phase is not None
        done = node.advance(seat.phase, signed, seat.ctx)
        seat.phase = done.phase
        seat.notebook.records.extend(record for record in done.records if isinstance(record, Counted))
        told[name] = decode(ConsistencyCheck, done.send[0][1])
    return told


def test_one_honest_witness_on_a_branch_opens_nothing_there() -> None:
    """n = 4, c = 1, t = 3. All agree on the sets; node-00 alone is shown another branch of the log.

    node-03 colludes and co-signs both branches. On the honest one that makes three witnesses; on the other two, and the
    lines of the rest are on another checkpoint.
    """
    scene = stop_before("Freeze")
    honest = scene.body(Freeze)
    forked = replace(honest, proof=fork_for(scene, honest))
    told = answers(scene, {"node-00": forked, **dict.fromkeys(("node-01", "node-02", "node-03"), honest)})
    agreements = tuple(check.agreement for check in told.values())
    assert len({entry.body for entry in agreements}) == 1
    key = scene.federation.members["node-03"]
    colluder = Cosignature("node-03", cosign(forked.proof.checkpoint, "fed/node-03", key, START_OF_TIME))
    own = Cosignature("node-00", told["node-00"].rounds)
    with pytest.raises(Refused) as caught:
        scene.show(Open(agreements, (own, colluder)), "Open")
    assert caught.value.rule == "open.quorum"
    rest = tuple(Cosignature(name, told[name].rounds) for name in ("node-01", "node-02"))
    with pytest.raises(VerificationFailed):
        scene.show(Open(agreements, (own, colluder, *rest)), "Open")
    # The honest branch has its quorum, and opens: one, and only one.
    third = Cosignature("node-03", told["node-03"].rounds)
    seat = scene.table.parties["node-01"]
    message = encode(Open(agreements, (*rest, third)))
    signed = sign(scene.federation.aggregator, "Open", scene.scope, AGGREGATOR, "node-01", message)
    assert isinstance(seat.phase, Agreed)
    assert isinstance(node.advance(seat.phase, signed, seat.ctx).phase, Answered)


def test_with_one_honest_witness_on_every_branch_nothing_opens_at_all() -> None:
    scene = stop_before("Freeze")
    honest = scene.body(Freeze)
    forked = replace(honest, proof=fork_for(scene, honest))
    third = replace(honest, proof=fork_for(scene, replace(honest, proof=forked.proof)))
    told = answers(scene, {"node-00": forked, "node-01": honest, "node-02": third})
    key = scene.federation.members["node-03"]
    agreed = told["node-00"].agreement
    agreements = (*(check.agreement for check in told.values()),)
    agreements += (sign(key, "ConsistencyCheck", scene.scope, "node-03", EVERYBODY, agreed.body),)
    for name, shown in (("node-00", forked), ("node-01", honest), ("node-02", third)):
        seat = scene.table.parties[name]
        lines = (
            Cosignature(name, told[name].rounds),
            Cosignature("node-03", cosign(shown.proof.checkpoint, "fed/node-03", key, START_OF_TIME)),
        )
        message = encode(Open(agreements, lines))
        signed = sign(scene.federation.aggregator, "Open", scene.scope, AGGREGATOR, name, message)
        assert seat.phase is not None
        with pytest.raises(Refused) as caught:
            node.advance(seat.phase, signed, seat.ctx)
        assert caught.value.rule == "open.quorum"
        assert not seat.notebook.opened()
