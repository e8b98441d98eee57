"""Row 49: a job is what was signed and logged once. Every leaf of it, changed and signed again by the rightful
aggregator, is refused at a node's door. It does not matter whether the log knows the other job. No manifest follows
from it in an auditor's eyes.
"""

from dataclasses import replace as with_fields
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.auditor.bundle import Bundle
from secagg.auditor.checks import c05_roster
from secagg.auditor.evidence import Evidence
from secagg.crypto.derive import sha256
from secagg.errors import VerificationFailed
from secagg.ids import EVERYBODY
from secagg.learning.algorithms import choose
from secagg.log.bundle import BundleWriter
from secagg.log.log import Log
from secagg.log.statements import JobCreated, sign_statement
from secagg.protocol.acceptance import Policy
from secagg.protocol.deriving import leaves
from secagg.protocol.manifest import JobSpec
from secagg.protocol.session import Announce, job_scope
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation, propose
from secagg.transport.link import Received
from secagg.wire.codec import encode
from secagg.wire.signed import Signed, sign
from support.bundles import append, propose_in, write_bundle
from support.entrusted import make
from support.entrusted_hall import EntrustedWard
from support.walking import changes

FREE = {"name": "a job of another name, signed and logged as such, is another job"}


def signed_of(federation: Federation, spec: JobSpec) -> Signed:
    """Sign a job as the aggregator."""
    return sign(federation.aggregator, "JobSpec", job_scope(spec), AGGREGATOR, EVERYBODY, encode(spec))


def logged(federation: Federation, log: Log, signed: Signed, spec: JobSpec) -> int:
    """State a job in the round log; return the entry's place."""
    stated = JobCreated(federation="fed", time=START_OF_TIME, job=spec.name, spec=sha256(encode(signed)).hex())
    index = log.append(sign_statement(stated, AGGREGATOR, federation.aggregator))
    log.publish()
    return index


class Door:
    """One node's door, and an aggregator that announces what it likes."""

    def __init__(self, ward: EntrustedWard) -> None:
        self.ward, self.node, self.count = ward, ward.nodes["node-00"], 0

    async def announce(self, spec: JobSpec, entry: int, held: int = 0) -> None:
        """Announce a job with any entry of the log; `held` is the log size that the node holds."""
        log, self.count = self.ward.rounds_log, self.count + 1
        announce = Announce(signed_of(self.ward.federation, spec), log.leaf(entry), log.prove(entry, held))
        id = sha256(self.count.to_bytes(4, "big"))[:16]
        self.ward.network.deliver("node-00", Received(AGGREGATOR, "announce", id, b"", encode(announce)))
        await self.ward.settle()

    def jobs(self) -> list[str]:
        """Return the jobs that this node took."""
        return [str(event["job"]) for event in self.node.named("announce")]

    def refusals(self, words: str) -> int:
        """Return how often the node's log says these words."""
        return self.node.log.getvalue().count(words)


def test_a_node_takes_no_job_that_differs_in_any_leaf_from_the_logged_one(tmp_path: Path) -> None:
    entrusted = make(4, uses=("earlier",), algorithm=choose("fedprox", {}))
    honest, seen = entrusted.nodes.spec, set()
    door = Door(EntrustedWard(entrusted, tmp_path, Policy(engines=("paillier",), exact_counts=True, allow_trials=True)))
    ward = door.ward

    async def main(_: object) -> None:
        await ward.start_nodes()
        entry = logged(ward.federation, ward.rounds_log, signed_of(ward.federation, honest), honest)
        for path, lie in changes(honest):
            seen.add(path)
            await door.announce(lie, entry)
        assert door.jobs() == []
        await door.announce(honest, entry)
        assert door.jobs() == ["job"]
        held, before = ward.rounds_log.size, door.refusals("Another job is announced as job")
        assert before == 0
        others = [lie for path, lie in changes(honest) if path not in FREE and path != "federation" and kept(lie)]
        for lie in others:
            entry = logged(ward.federation, ward.rounds_log, signed_of(ward.federation, lie), lie)
            await door.announce(lie, entry, held)
        assert door.jobs() == ["job"]
        assert door.refusals("Another job is announced as job") == len(others)
        await ward.stop_nodes()

    ward.play(main)
    assert seen == {path for path, _ in leaves(honest)}
    assert len(seen) > 50
    assert set(FREE) < seen


def kept(spec: JobSpec) -> bool:
    """Say whether the node is in the cohort: a job for others is refused before it is compared with anything."""
    return "node-00" in spec.cohort


@pytest.mark.parametrize("created", [False, True])
def test_an_auditor_derives_nothing_from_a_second_job_of_the_same_name(tmp_path: Path, created: bool) -> None:
    federation = write_bundle(tmp_path, rounds=0)
    other = replace(federation.spec, weight_bound=7)
    if created:
        signed = signed_of(federation, other)
        BundleWriter(tmp_path).put_file(encode(signed))
        stated = JobCreated(federation="fed", time=START_OF_TIME, job="job", spec=sha256(encode(signed)).hex())
        append(tmp_path, "rounds", stated, AGGREGATOR, federation.aggregator, federation.aggregator)
    propose_in(tmp_path, federation, propose(with_fields(federation, spec=other)))
    with pytest.raises(VerificationFailed, match="its job_digest does not follow from the signed job"):
        c05_roster.check(Evidence(Bundle(tmp_path)))
