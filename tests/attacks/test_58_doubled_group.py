"""Row 58: a result has one form, and one function reads it: whoever checks a sum and whoever goes on from it see the
same words. A lane group twice, in either order, is no result at node, auditor and pull alike.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from aggregator import jobs
from secagg.auditor.verify import verify
from secagg.crypto.derive import hmac_sha256
from secagg.errors import ProtocolViolation
from secagg.log.bundle import BundleWriter
from secagg.log.statements import AnyStatement, Result
from secagg.protocol import server_step
from secagg.protocol.lanes import encode_sum
from secagg.protocol.manifest import GroupSum, JobSpec, Published
from secagg.protocol.masks.rounds import Closed
from secagg.protocol.rehearsal import propose, table
from secagg.protocol.run import run_round
from secagg.wire.codec import decode, encode
from support.bundles import rewrite, write_bundle
from support.federation import make

Lie = Callable[[Published], Published]


def doubled(first: bool) -> Lie:
    """Return a lie that holds `update` twice, the true one first or last."""

    def lie(honest: Published) -> Published:
        update = honest.groups[-1]
        other = replace(update, words=bytes(len(update.words)))
        pair = (update, other) if first else (other, update)
        return replace(honest, groups=(*honest.groups[:-1], *pair))

    return lie


LIES: dict[str, tuple[Lie, str]] = {
    "update twice, the true one first": (doubled(True), "result.groups"),
    "update twice, the true one last": (doubled(False), "result.groups"),
    "a group more": (lambda p: replace(p, groups=(*p.groups, GroupSum("more", b""))), "result.groups"),
    "a group less": (lambda p: replace(p, groups=p.groups[:1]), "result.groups"),
    "another order": (lambda p: replace(p, groups=p.groups[::-1]), "result.groups"),
    "a word less": (
        lambda p: replace(p, groups=(p.groups[0], replace(p.groups[1], words=p.groups[1].words[:-8]))), "result.length"
    ),
    "a byte more": (
        lambda p: replace(p, groups=(p.groups[0], replace(p.groups[1], words=p.groups[1].words + b"0"))),
        "result.length",
    ),
    "another job": (lambda p: replace(p, round=replace(p.round, job="another")), "result.round"),
    "another federation": (lambda p: replace(p, round=replace(p.round, federation="other")), "result.round"),
    "a second group of members": (lambda p: replace(p, round=replace(p.round, group=1)), "result.round"),
    "a contributor twice": (
        lambda p: replace(p, contributors=(p.contributors[0], *p.contributors)), "result.contributors"
    ),
    "a stranger": (lambda p: replace(p, contributors=(*p.contributors, "zz")), "result.contributors"),
    "contributors in another order": (
        lambda p: replace(p, contributors=p.contributors[::-1]), "result.contributors"
    ),
    "nobody": (lambda p: replace(p, contributors=()), "result.contributors"),
}  # fmt: skip


@pytest.fixture(scope="module")
def honest() -> tuple[JobSpec, Published]:
    federation = make(4, purpose="sum", bits=64, scalars=(), weight_bound=1, clip_log2=0)
    manifest = propose(federation)
    inputs = {name: encode_sum(manifest, np.arange(7.0)) for name in federation.members}
    end = run_round(table(federation, inputs, {}))
    assert isinstance(end, Closed)
    return federation.spec, end.published


@pytest.mark.parametrize("name", LIES)
def test_nodes_and_whoever_pulls_a_sum_refuse_it_by_the_same_rule(
    honest: tuple[JobSpec, Published], name: str
) -> None:
    (spec, published), (lie, rule) = honest, LIES[name]
    for read in (
        lambda given: server_step.sums_of(spec, given), lambda given: jobs.vector_of(spec, encode(given))
    ):  # fmt: skip
        assert read(published) is not None
        with pytest.raises(ProtocolViolation) as caught:
            read(lie(published))
        assert caught.value.rule == rule


@pytest.mark.parametrize("name", LIES)
def test_an_auditor_refuses_it_although_it_is_logged_under_its_own_digest(tmp_path: Path, name: str) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    writer = BundleWriter(tmp_path)
    kept = next((tmp_path / "results").iterdir()).read_bytes()
    published, salt = decode(Published, kept, len(kept)), bytes(range(32))
    lie = LIES[name][0](published)
    writer.put_result(published.round, encode(lie), salt)

    def change(statement: AnyStatement) -> AnyStatement:
        if not isinstance(statement, Result):
            return statement
        return replace(statement, result=hmac_sha256(salt, encode(lie)).hex(), contributors=lie.contributors)

    rewrite(tmp_path, federation, change)
    assert [line.number for line in verify(tmp_path).checks if line.status == "fail"][-1] == 7
