"""Row 34: opening demanded without a logged freeze, on a forked log, or without the witness quorum."""

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import Refused, VerificationFailed
from secagg.log.checkpoint import cosign
from secagg.log.log import MemoryLog
from secagg.log.statements import JobCreated, open_statement, sign_statement
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.masks import node, notices
from secagg.protocol.masks.messages import Freeze, Open
from secagg.protocol.masks.rounds import Agreeing, Freezing
from secagg.protocol.memory import Witnessed
from secagg.protocol.round import stating
from secagg.protocol.round.events import Send
from secagg.protocol.round.messages import Cosignature, Propose
from secagg.rehearsal.federation import START_OF_TIME, Federation, party, propose
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed
from support.adversary import Scene, logged, proposal_of, stop_before
from support.federation import make


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


def entry_of(federation: Federation, proposed: Manifest, **changes: object) -> Propose:
    """Return an honest proposal whose log entry says something else; it is logged as it should be."""
    honest = proposal_of(federation, proposed)
    scope = Scope(proposed.round, digest(honest.manifest.body))
    statement = replace(stating.manifest_logged(scope, honest.manifest, 1, START_OF_TIME), **changes)
    return Propose(honest.manifest, *logged(federation, statement))


def begin(federation: Federation, propose: Propose) -> None:
    node.start(propose, party(federation, "node-00").ctx)


@pytest.mark.parametrize(
    "changes", [{"manifest": "00" * 32}, {"round": 2}, {"attempt": 2}, {"job": "another"}, {"group": 1}],
    ids=["manifest", "round", "attempt", "job", "group"],
)  # fmt: skip
def test_a_manifest_whose_log_entry_is_of_another_one_is_refused(changes: dict[str, object]) -> None:
    federation = make(4)
    begin(federation, entry_of(federation, propose(federation)))
    with pytest.raises(VerificationFailed, match="names another manifest"):
        begin(federation, entry_of(federation, propose(federation), **changes))


def test_a_manifest_that_is_not_in_the_log_is_refused() -> None:
    """The proof is of another entry of the same log; and of a log that this node never heard of."""
    federation = make(4)
    origin = "fed/rounds"
    log = MemoryLog(origin, origin, federation.aggregator)
    logged(federation, JobCreated(federation="fed", time=START_OF_TIME, job="job", spec="00" * 32), log)
    honest = proposal_of(federation, propose(federation), log)
    begin(federation, honest)
    with pytest.raises(VerificationFailed):
        begin(federation, replace(honest, proof=log.prove(0)))
    seat = party(federation, "node-00")
    seat.notebook.records.append(Witnessed(origin, 1, sha256(b"another branch")))
    with pytest.raises(VerificationFailed):
        node.start(replace(honest, proof=log.prove(1, 1)), seat.ctx)


def freezing(scene: Scene, **changes: object) -> Freeze:
    """Return the honest freeze with a statement that says something else, logged as it should be."""
    phase, honest = scene.table.phase, scene.body(Freeze)
    assert isinstance(phase, Agreeing)
    headers = decode(tuple[Signed, ...], honest.u3, LIMIT_BULK)
    frozen = Freezing(scene.scope, scene.table.manifest, headers[0], (), phase.u1, b"", phase.u2, b"", phase.u3)
    statement = replace(notices.contributors(frozen, START_OF_TIME), **changes)
    assert isinstance(scene.table.log, MemoryLog)
    return Freeze(honest.u3, *logged(scene.federation, statement, scene.table.log, honest.proof.old_size))


@pytest.mark.parametrize(
    "changes",
    [{"manifest": "00" * 32}, {"round": 2}, {"attempt": 2}, {"u2": "00" * 32}, {"u3": "00" * 32}, {"members": ()}],
    ids=["manifest", "round", "attempt", "U2", "U3", "members"],
)  # fmt: skip
def test_a_freeze_whose_log_entry_is_of_another_set_is_refused(changes: dict[str, object]) -> None:
    scene = stop_before("Freeze")
    with pytest.raises(Refused) as caught:
        scene.show(freezing(scene, **changes))
    assert caught.value.rule == "freeze.statement"


def test_a_freeze_that_is_logged_as_something_else_is_refused() -> None:
    scene = stop_before("Freeze")
    proposal = next(item for item in scene.table.wire if isinstance(item, Send) and item.kind == "Propose")
    shown = decode(Propose, proposal.data, LIMIT_BULK)
    with pytest.raises(VerificationFailed, match="of another type"):
        scene.show(replace(scene.body(Freeze), leaf=shown.leaf, proof=shown.proof))


def test_a_statement_under_somebody_elses_name_is_refused() -> None:
    """The entry's signature is the aggregator's, but it says that node-01 signed."""
    scene = stop_before("Freeze")
    honest, log = scene.body(Freeze), scene.table.log
    statement, _ = open_statement(honest.leaf, lambda _: scene.federation.aggregator.public)
    index = log.append(sign_statement(statement, "node-01", scene.federation.aggregator))
    log.publish()
    proof = log.prove(index, honest.proof.old_size)
    with pytest.raises(VerificationFailed, match="that is the aggregator's"):
        scene.show(Freeze(honest.u3, log.leaf(index), proof))


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


def test_a_witness_that_is_no_member_is_refused() -> None:
    scene = stop_before("Open")
    honest = scene.body(Open)
    stranger = Cosignature("stranger", honest.cosignatures[0].line)
    with pytest.raises(Refused) as caught:
        scene.show(replace(honest, cosignatures=(*honest.cosignatures, stranger)))
    assert caught.value.rule == "open.witness"


def test_a_cosignature_on_another_checkpoint_is_refused() -> None:
    scene = stop_before("Open")
    honest = scene.body(Open)
    note = scene.federation.directory_note
    line = cosign(note, "fed/node-01", scene.federation.members["node-01"], START_OF_TIME)
    with pytest.raises(VerificationFailed):
        scene.show(replace(honest, cosignatures=(*honest.cosignatures[1:], Cosignature("node-01", line))))
