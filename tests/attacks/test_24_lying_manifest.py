"""Rows 16 and 24: a manifest that lies in one field is refused, and the refusal names the field."""

from dataclasses import replace as with_fields
from typing import Any

import pytest
from msgspec.structs import replace

from secagg.errors import BadSignature, Refused, VerificationFailed
from secagg.ids import RoundId
from secagg.log.statements import JobCreated, sign_statement
from secagg.protocol.acceptance import Policy
from secagg.protocol.manifest import Custody, LaneGroup, Manifest, lane_groups
from secagg.protocol.masks import node
from secagg.protocol.round import parties
from secagg.rehearsal.federation import START_OF_TIME, Federation, party, propose
from secagg.wire.limits import LIMIT_BULK, LIMIT_CONTROL
from support.adversary import proposal_of
from support.federation import BEARS, lane, make, names_of, sparse

LIES: dict[str, Any] = {
    "federation": {"round": RoundId("another-fed", "job", 1)},
    "job": {"round": RoundId("fed", "another-job", 1)},
    "round": {"round": RoundId("fed", "job", 2)},
    "engine": "plain",
    "purpose": "sum",
    "task": "another",
    "job_digest": bytes(32),
    "model": b"m" * 32,
    "architecture": b"a" * 32,
    "roster_version": 2,
    "roster": b"r" * 32,
    "threshold": 2,
    "k_min": 2,
    "colluders": 0,
    "groups": (LaneGroup("scalars", "lane64", 64, 64, 4), LaneGroup("update", "3x21", 16, 17, 8)),
    "scalars": (),
    "weight_bound": 99,
    "lanes": (lane(clip_log2=3),),
    "prg": "mt19937",
    "suite": "none",
    "graph": "harary",
    "step_ms": 1,
    "round_ms": 1,
    "chunk_bytes": 4096,
    "aggregator": "somebody",
    "custody": Custody(b"key", 1, (), 1, 1, ()),
    "degree": 2,
    "share_threshold": 2,
}


@pytest.mark.parametrize("field", LIES)
def test_a_lie_in_one_field_is_refused_by_name(field: str) -> None:
    federation, lie = make(4), LIES[field]
    lie = replace(propose(federation), **(lie if isinstance(lie, dict) else {field: lie}))
    with pytest.raises(Refused) as refused:
        node.start(proposal_of(federation, lie), party(federation, "node-00").ctx)
    assert refused.value.rule == f"manifest.{field}"
    assert refused.value.remedy


def test_the_honest_manifest_is_accepted() -> None:
    federation = make(4)
    done = node.start(proposal_of(federation, propose(federation)), party(federation, "node-00").ctx)
    assert [kind for kind, _ in done.send] == ["AdvertiseKeys"]


def refused(federation: Federation, manifest: Manifest, ctx: parties.NodeContext | None = None) -> str:
    """Propose a manifest to node-00; return the rule that refuses it."""
    with pytest.raises(Refused) as caught:
        node.start(proposal_of(federation, manifest), ctx or party(federation, "node-00").ctx)
    return caught.value.rule


def knowing(ctx: parties.NodeContext, **changes: Any) -> parties.NodeContext:
    """Return a node that expects something else."""
    return with_fields(ctx, expect=with_fields(ctx.expect, **changes))


def of_four(federation: Federation) -> Manifest:
    """Return the manifest of a job for the first four of five members."""
    honest = propose(federation)
    groups = lane_groups(federation.spec, 4)
    return replace(honest, members=honest.members[:4], groups=groups, threshold=3, k_min=3, share_threshold=3)


def test_a_cohort_smaller_than_the_jobs_is_refused() -> None:
    federation = make(10)
    few = federation.seats[:6]
    groups = lane_groups(federation.spec, 6)
    lie = replace(propose(federation), members=few, groups=groups, threshold=5, k_min=5, share_threshold=5)
    assert refused(federation, lie) == "manifest.members"


def test_a_cohort_without_this_node_is_refused() -> None:
    federation = make(5, cohort=names_of(4))
    assert node.start(proposal_of(federation, of_four(federation)), party(federation, "node-00").ctx).send
    assert refused(federation, of_four(federation), party(federation, "node-04").ctx) == "manifest.members"


def test_a_round_beyond_the_signed_jobs_last_is_refused() -> None:
    federation = make(4)
    assert federation.spec.rounds == 9
    tenth = party(federation, "node-00", round_number=10)
    assert refused(federation, propose(federation, 10), tenth.ctx) == "manifest.round"


@pytest.mark.parametrize("size", [LIMIT_CONTROL // 16 - 1, 2 * LIMIT_BULK])
def test_chunks_that_no_link_carries_are_refused_although_the_job_is_signed(size: int) -> None:
    federation = make(4, chunk_bytes=size)
    assert refused(federation, propose(federation)) == "manifest.chunk_bytes"


def test_trustees_have_no_part_in_this_engine_although_the_job_is_signed() -> None:
    federation = make(4, custody=LIES["custody"])
    assert refused(federation, replace(propose(federation), custody=LIES["custody"])) == "manifest.custody"


def test_trustees_are_those_of_the_signed_job() -> None:
    federation = make(4, engine="paillier", custody=LIES["custody"])
    other = replace(LIES["custody"], key=b"another")
    lying = replace(propose(federation), custody=other)
    assert refused(federation, lying) == "policy.engines"
    ctx = party(federation, "node-00", policy=Policy(engines=("masks", "paillier"))).ctx
    assert refused(federation, lying, ctx) == "manifest.custody"


def test_a_directory_that_this_node_was_not_shown_is_refused() -> None:
    federation = make(4)
    seat = party(federation, "node-00")
    statement = JobCreated(federation="fed", time=START_OF_TIME, job="job", spec="00" * 32)
    federation.directory.append(sign_statement(statement, "keyserver", federation.online))
    federation.directory.publish()
    assert refused(federation, propose(federation), seat.ctx) == "manifest.directory"
    nothing = knowing(party(federation, "node-00").ctx, directory=None)
    assert refused(federation, propose(federation), nothing) == "manifest.directory"


def test_a_directory_under_another_key_is_refused() -> None:
    federation = make(4)
    ctx = knowing(party(federation, "node-00").ctx, directory_key=federation.aggregator.public)
    with pytest.raises(VerificationFailed):
        node.start(proposal_of(federation, propose(federation)), ctx)


def test_a_hand_picked_cohort_does_not_lower_c() -> None:
    """Roster 50 with c = 16, a signed job for six of them: c stays 16 and K_min exceeds the cohort."""
    federation = make(6)
    ctx = party(federation, "node-00").ctx
    assert refused(federation, propose(federation), knowing(ctx, colluders=16)) == "manifest.colluders"
    honest = replace(propose(federation), colluders=16, threshold=12, k_min=18, share_threshold=12)
    assert refused(federation, honest, knowing(ctx, colluders=16)) == "manifest.k_min"
    strict = party(federation, "node-00", policy=Policy(exact_counts=True, max_colluders=16))
    assert refused(federation, propose(federation), strict.ctx) == "manifest.colluders"


POLICIES = {
    "min_nodes": Policy(exact_counts=True, min_nodes=5),
    "engines": Policy(exact_counts=True, engines=("paillier",)),
    "exact_counts": Policy(),
    "pinned_peers": Policy(exact_counts=True, pinned_peers=(("node-01", "00" * 32),)),
}


@pytest.mark.parametrize("name", POLICIES)
def test_the_institutions_policy_refuses_by_name(name: str) -> None:
    federation = make(4)
    member = party(federation, "node-00", policy=POLICIES[name])
    assert refused(federation, propose(federation), member.ctx) == f"policy.{name}"


def test_fewer_nodes_than_the_signed_job_itself_asks_for_are_refused() -> None:
    federation = make(4, min_nodes=5)
    assert refused(federation, propose(federation)) == "policy.min_nodes"


def test_rounds_beyond_the_policys_are_refused_whatever_was_opened_before() -> None:
    federation = make(4)
    policy = Policy(exact_counts=True, max_rounds_per_source=1)
    assert node.start(
        proposal_of(federation, propose(federation)), party(federation, "node-00", policy=policy).ctx
    ).send
    second = party(federation, "node-00", 2, policy)
    assert refused(federation, propose(federation, 2), second.ctx) == "policy.max_rounds_per_source"


def test_a_sparse_graph_needs_a_human_to_allow_it() -> None:
    federation = sparse()
    strict = party(federation, "node-00", policy=with_fields(BEARS, server="malicious"))
    assert refused(federation, propose(federation), strict.ctx) == "policy.server"


@pytest.mark.parametrize("change", [{"degree": 4}, {"share_threshold": 2}, {"degree": 0, "share_threshold": 16}])
def test_a_sparse_graph_that_is_thinner_than_the_parameters_is_refused(change: dict[str, int]) -> None:
    federation = sparse()
    ctx = party(federation, "node-00", policy=BEARS).ctx
    assert refused(federation, replace(propose(federation), **change), ctx).removeprefix("manifest.") in change


def test_a_manifest_of_another_signer_is_refused() -> None:
    federation, other = make(4), make(4, seed=b"other")
    honest = proposal_of(federation, propose(federation))
    forged = replace(honest, manifest=proposal_of(other, propose(federation)).manifest)
    with pytest.raises(BadSignature) as caught:
        node.start(forged, party(federation, "node-00").ctx)
    assert caught.value.rule == "signature.invalid"
