"""Row 34: opening demanded without a logged freeze, on a forked log, or without the witness quorum."""

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import Refused, VerificationFailed
from secagg.log.checkpoint import cosign
from secagg.log.log import MemoryLog
from secagg.log.statements import JobCreated
from secagg.protocol.masks.messages import Cosignature, Freeze, Open
from secagg.protocol.memory import Witnessed
from secagg.protocol.rehearsal import START_OF_TIME
from support.adversary import logged, stop_before


def test_a_freeze_without_inclusion_is_refused() -> None:
    scene = stop_before("Freeze")
    honest = scene.body(Freeze)
    for proof in (
        replace(honest.proof, inclusion=()),
        replace(honest.proof, index=honest.proof.index - 1),
        replace(honest.proof, old_size=honest.proof.old_size + 1),
    ):
        with pytest.raises(VerificationFailed):
            scene.show(replace(honest, proof=proof))


def test_a_forked_log_is_refused() -> None:
    """The aggregator shows this node another log than the one it proposed the manifest from."""
    scene = stop_before("Freeze")
    honest = scene.body(Freeze)
    origin = f"{scene.federation.spec.federation}/rounds"
    fork = MemoryLog(origin, origin, scene.federation.aggregator)
    logged(scene.federation, JobCreated(federation="fed", time=START_OF_TIME, job="job", spec="00" * 32), fork)
    index = fork.append(honest.leaf)
    fork.publish()
    with pytest.raises(VerificationFailed):
        scene.show(replace(honest, proof=fork.prove(index, honest.proof.old_size)))


def test_a_freeze_on_another_branch_than_what_was_accepted_since_the_manifest_is_refused() -> None:
    """In mid-round the victim is shown a job on one branch of the log, and then the freeze on the other."""
    scene = stop_before("Freeze")
    honest, origin = scene.body(Freeze), f"{scene.federation.spec.federation}/rounds"
    seen = scene.party.notebook.last(origin)
    assert seen is not None
    scene.party.notebook.records.append(Witnessed(origin, seen.size + 1, sha256(b"another branch")))
    with pytest.raises(VerificationFailed):
        scene.show(honest)
    # A proof from the accepted size does not help either: the two branches differ below it.
    with pytest.raises(VerificationFailed):
        scene.show(replace(honest, proof=replace(honest.proof, old_size=seen.size + 1)))


def test_a_checkpoint_of_another_key_is_refused() -> None:
    scene = stop_before("Freeze")
    honest = scene.body(Freeze)
    origin = f"{scene.federation.spec.federation}/rounds"
    other = MemoryLog(origin, origin, scene.federation.online)
    index = other.append(honest.leaf)
    other.publish()
    with pytest.raises(VerificationFailed):
        scene.show(replace(honest, proof=other.prove(index)))


def test_the_witness_quorum_is_counted_by_distinct_members() -> None:
    scene = stop_before("Open")
    honest = scene.body(Open)
    for lines in (honest.cosignatures[:2], (honest.cosignatures[0],) * 4):
        with pytest.raises(Refused) as caught:
            scene.show(replace(honest, cosignatures=lines))
        assert caught.value.rule == "open.quorum"


def test_a_cosignature_on_another_checkpoint_is_refused() -> None:
    scene = stop_before("Open")
    honest = scene.body(Open)
    note = scene.federation.directory_note
    line = cosign(note, "fed/node-01", scene.federation.members["node-01"], START_OF_TIME)
    with pytest.raises(VerificationFailed):
        scene.show(replace(honest, cosignatures=(*honest.cosignatures[1:], Cosignature("node-01", line))))
