"""Row 5: sybils and stuffed cohorts: two keys of one organisation, a seat nobody enrolled, a newcomer nobody pinned."""

from dataclasses import replace as with_fields

import pytest
from msgspec.structs import replace

from secagg.errors import Refused
from secagg.protocol.acceptance import Policy
from secagg.protocol.manifest import Manifest, Seat, lane_groups
from secagg.protocol.masks import node
from secagg.protocol.round import parties
from secagg.rehearsal.federation import Federation, party, propose
from support.adversary import proposal_of
from support.federation import counted_rng, make


def refused(federation: Federation, manifest: Manifest, ctx: parties.NodeContext) -> tuple[str, str]:
    """Propose a manifest to a node; return the rule that refuses it, and the sentence."""
    with pytest.raises(Refused) as caught:
        node.start(proposal_of(federation, manifest), ctx)
    return caught.value.rule, caught.value.cause


def enrolled(ctx: parties.NodeContext, *seats: Seat) -> parties.NodeContext:
    """Return a node whose verified roster holds exactly these seats."""
    return with_fields(ctx, expect=with_fields(ctx.expect, seats=seats))


def test_two_enrolled_keys_of_one_organisation_get_one_seat() -> None:
    """The key server has enrolled a second key of node-01's organisation as node-02: the roster itself says so."""
    federation = make(4)
    honest = propose(federation)
    twin = replace(honest.members[2], organisation=honest.members[1].organisation)
    seats = (*honest.members[:2], twin, *honest.members[3:])
    ctx = enrolled(party(federation, "node-00").ctx, *seats)
    rule, cause = refused(federation, replace(honest, members=seats), ctx)
    assert (rule, "one organisation two seats" in cause) == ("manifest.members", True)


def test_one_key_does_not_sit_under_two_names_or_twice() -> None:
    federation = make(4)
    honest = propose(federation)
    seats = (*honest.members[:2], replace(honest.members[2], key=honest.members[1].key), *honest.members[3:])
    ctx = enrolled(party(federation, "node-00").ctx, *seats)
    rule, cause = refused(federation, replace(honest, members=seats), ctx)
    assert (rule, "one key two seats" in cause) == ("manifest.members", True)
    twice = (*honest.members[:2], *honest.members[1:3])
    rule, cause = refused(federation, replace(honest, members=twice), party(federation, "node-00").ctx)
    assert (rule, "members.2.name" in cause) == ("manifest.members", True)


def test_a_seat_that_the_roster_does_not_hold_is_refused() -> None:
    """The aggregator writes a key of its own under an enrolled name, or seats a name that was never enrolled."""
    federation = make(4)
    honest, own = propose(federation), counted_rng(b"sybil")(32)
    for stuffed in (replace(honest.members[2], key=own), replace(honest.members[2], organisation="shell-company")):
        lie = replace(honest, members=(*honest.members[:2], stuffed, *honest.members[3:]))
        rule, cause = refused(federation, lie, party(federation, "node-00").ctx)
        assert (rule, "roster" in cause) == ("manifest.members", True)
    unknown = enrolled(party(federation, "node-00").ctx, *honest.members[:3])
    rule, cause = refused(federation, honest, unknown)
    assert (rule, "roster" in cause) == ("manifest.members", True)


def test_a_cohort_stuffed_beyond_the_signed_job_is_refused() -> None:
    """All five are enrolled; the signed job is for four of them."""
    federation = make(4)
    honest = propose(federation)
    fifth = Seat("node-99", "node-99", counted_rng(b"sybil")(32))
    groups = lane_groups(federation.spec, 5)
    stuffed = replace(honest, members=(*honest.members, fifth), groups=groups, threshold=4, k_min=4, share_threshold=4)
    ctx = enrolled(party(federation, "node-00").ctx, *honest.members, fifth)
    rule, cause = refused(federation, stuffed, ctx)
    assert (rule, "members.length" in cause) == ("manifest.members", True)


def pins(federation: Federation, *names: str) -> Policy:
    keys = {name: federation.members[name].public.hex() for name in names}
    return Policy(exact_counts=True, pinned_peers=tuple(keys.items()))


def test_a_newcomer_that_the_policy_does_not_pin_is_refused() -> None:
    federation = make(4)
    shy = party(federation, "node-00", policy=pins(federation, "node-01", "node-02"))
    rule, cause = refused(federation, propose(federation), shy.ctx)
    assert (rule, "node-03 is none of them" in cause) == ("policy.pinned_peers", True)


def test_a_pinned_peer_under_another_key_is_refused() -> None:
    federation = make(4)
    others = tuple(name for name in federation.members if name != "node-00")
    policy = pins(federation, *others)
    moved = Policy(exact_counts=True, pinned_peers=(*policy.pinned_peers[:2], ("node-03", "00" * 32)))
    rule, cause = refused(federation, propose(federation), party(federation, "node-00", policy=moved).ctx)
    assert (rule, "another key for node-03" in cause) == ("policy.pinned_peers", True)


def test_a_cohort_of_pinned_peers_is_joined() -> None:
    federation = make(4)
    others = tuple(name for name in federation.members if name != "node-00")
    ctx = party(federation, "node-00", policy=pins(federation, *others)).ctx
    assert [kind for kind, _ in node.start(proposal_of(federation, propose(federation)), ctx).send] == ["AdvertiseKeys"]
