"""Rows 16 and 24: a manifest that lies in one field is refused, and the refusal names the field."""

from typing import Any

import pytest
from msgspec.structs import replace

from secagg.errors import Refused
from secagg.protocol.acceptance import Policy
from secagg.protocol.manifest import LaneGroup, Seat
from secagg.protocol.masks import node
from secagg.protocol.rehearsal import party, propose
from secagg.wire.signed import Signed
from support.adversary import proposal_of
from support.federation import make

LIES: dict[str, Any] = {
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
    "bits": 8,
    "clip_log2": 3,
    "prg": "mt19937",
    "suite": "none",
    "graph": "harary",
    "step_ms": 1,
    "round_ms": 1,
    "chunk_bytes": 4096,
    "aggregator": "somebody",
}


@pytest.mark.parametrize("field", LIES)
def test_a_lie_in_one_field_is_refused_by_name(field: str) -> None:
    federation = make(4)
    lie = replace(propose(federation), **{field: LIES[field]})
    with pytest.raises(Refused) as refused:
        node.start(proposal_of(federation, lie), party(federation, "node-00").ctx)
    assert refused.value.rule == f"manifest.{field}"
    assert refused.value.remedy


def test_the_honest_manifest_is_accepted() -> None:
    federation = make(4)
    done = node.start(proposal_of(federation, propose(federation)), party(federation, "node-00").ctx)
    assert [kind for kind, _ in done.send] == ["AdvertiseKeys"]


def cohort(names: tuple[str, ...], seats: tuple[Seat, ...]) -> tuple[Seat, ...]:
    return tuple(seat for seat in seats if seat.name in names)


def test_a_cohort_smaller_than_the_jobs_is_refused() -> None:
    federation = make(10)
    few = cohort(tuple(federation.members)[:6], federation.seats)
    lie = replace(propose(federation), members=few, threshold=4, k_min=4)
    with pytest.raises(Refused) as refused:
        node.start(proposal_of(federation, lie), party(federation, "node-00").ctx)
    assert refused.value.rule in ("manifest.members", "manifest.groups")


def test_two_seats_of_one_organisation_are_refused() -> None:
    federation = make(4)
    honest = propose(federation)
    twin = replace(honest.members[1], organisation=honest.members[0].organisation)
    lie = replace(honest, members=(honest.members[0], twin, *honest.members[2:]))
    with pytest.raises(Refused) as refused:
        node.start(proposal_of(federation, lie), party(federation, "node-00").ctx)
    assert refused.value.rule == "manifest.members"


def test_a_hand_picked_cohort_does_not_lower_c() -> None:
    """Roster 50 with c = 16, a signed job for six of them: c stays 16 and K_min exceeds the cohort."""
    federation = make(6)
    strict = party(federation, "node-00", policy=Policy(exact_counts=True, max_colluders=16))
    with pytest.raises(Refused) as refused:
        node.start(proposal_of(federation, propose(federation)), strict.ctx)
    assert refused.value.rule == "manifest.colluders"
    honest = replace(propose(federation), colluders=16, threshold=12, k_min=18)
    with pytest.raises(Refused) as beyond:
        node.start(proposal_of(federation, honest), strict.ctx)
    assert beyond.value.rule == "manifest.k_min"


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
    with pytest.raises(Refused) as refused:
        node.start(proposal_of(federation, propose(federation)), member.ctx)
    assert refused.value.rule == f"policy.{name}"


def test_a_manifest_of_another_signer_is_refused() -> None:
    federation, other = make(4), make(4, seed=b"other")
    forged = proposal_of(other, propose(federation))
    assert isinstance(forged.manifest, Signed)
    with pytest.raises(Exception, match="does not verify"):
        node.start(forged, party(federation, "node-00").ctx)
