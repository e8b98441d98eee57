"""Rounds on a sparse graph: exact for drop-outs at any step, drawn again without who stays away, refused when bent."""

import random
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from secagg.errors import Refused
from secagg.ids import STEPS
from secagg.protocol.masks import graph
from secagg.protocol.masks.messages import OpenBeacon
from secagg.protocol.round.events import FromNode, Send
from secagg.protocol.round.phases import Closed, Failed
from secagg.rehearsal.federation import Federation, party, propose, table
from secagg.rehearsal.run import Table, run_round
from secagg.wire.codec import decode
from secagg.wire.signed import Signed
from support.federation import BEARS, COLLUDERS, DROPOUTS, MEMBERS, inputs_of, names_of, reference, sparse


def seated(federation: Federation, drops: Mapping[str, str]) -> Table:
    parties = {name: party(federation, name, policy=BEARS) for name in federation.members}
    return table(federation, inputs_of(federation, propose(federation)), drops, parties=parties)


def hold(end: Closed | Failed, made: Table, drops: Mapping[str, str]) -> None:
    """Hold a round that completes against the integer reference."""
    gone = {name for name, step in drops.items() if STEPS.index(step) <= STEPS.index("MaskedInput")}
    contributors = tuple(name for name in made.parties if name not in gone)
    assert isinstance(end, Closed), end
    assert end.published.contributors == contributors
    assert {group.name: group.words for group in end.published.groups} == reference(made.inputs, contributors)


def test_the_graph_is_sparse_and_the_manifest_says_so() -> None:
    manifest = propose(sparse())
    assert (manifest.degree, manifest.share_threshold) == graph.parameters(MEMBERS, COLLUDERS, DROPOUTS)
    assert manifest.degree < MEMBERS // 3


@pytest.mark.parametrize("step", ["", *STEPS])
def test_two_drop_outs_in_a_step_leave_the_exact_sum(step: str) -> None:
    drops = {"node-03": step, "node-17": step} if step else {}
    made = seated(sparse(step.encode()), drops)
    hold(run_round(made), made, drops)


@pytest.mark.parametrize("case", range(12))
def test_drawn_drop_outs_leave_the_exact_sum(case: int) -> None:
    draw = random.Random(f"sparse-{case}")
    drops = {name: draw.choice(STEPS) for name in draw.sample(names_of(MEMBERS), DROPOUTS)}
    made = seated(sparse(f"drawn-{case}".encode()), drops)
    hold(run_round(made), made, drops)


def test_who_does_not_open_is_out_and_the_rest_draw_again() -> None:
    drops = {"node-03": "ShareKeys", "node-17": "ShareKeys"}
    made = seated(sparse(), drops)
    end = run_round(made)
    assert [(out.member, out.step) for out in end.out] == [(name, "OpenBeacon") for name in drops]
    draws = [decode(OpenBeacon, decode(Signed, m.data).body).draw for m in made.wire if _is(m, "OpenBeacon")]
    assert (draws.count(0), draws.count(1), max(draws)) == (MEMBERS - 2, MEMBERS - 2, 1)


def _is(message: FromNode | Send, kind: str) -> bool:
    return isinstance(message, FromNode) and message.kind == kind


def test_a_policy_that_was_not_changed_refuses_a_sparse_graph() -> None:
    federation = sparse()
    made = table(federation, inputs_of(federation, propose(federation)), {})
    with pytest.raises(Refused) as caught:
        run_round(made)
    assert caught.value.rule == "policy.server"


@pytest.mark.parametrize("field", ["degree", "share_threshold"])
def test_a_graph_thinner_than_the_parameters_is_refused_by_name(field: str) -> None:
    federation = sparse()
    manifest = propose(federation)
    lying = replace(manifest, **{field: getattr(manifest, field) - 2})
    made = seated(federation, {})
    made.manifest = lying
    with pytest.raises(Refused) as caught:
        run_round(made)
    assert caught.value.rule == f"manifest.{field}"
