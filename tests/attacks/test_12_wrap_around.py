"""Row 12: a modulus too small, sums that wrap: what could not hold the sum is refused; what saturates is counted.

Every layout is filled to its edge: as many members as its slots have room for, all of them at one end of every lane.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from aggregator.jobs import JobFile, Model
from aggregator.planning import plan
from secagg.errors import BadInput, ProtocolViolation, Refused
from secagg.protocol import server_step
from secagg.protocol.lanes import Groups, encode_sum, encode_training, packing
from secagg.protocol.manifest import LaneGroup, Manifest, Published, Scalar, lane_groups
from secagg.protocol.masks import node
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import Federation, party, propose, table
from secagg.rehearsal.run import run_round
from support.adversary import proposal_of
from support.federation import counted_rng, job, make, names_of

MOST = 2**53 - 1
"""The largest bound that a lane may have."""

LAYOUTS = {"3x21": 19, "3bytes": 22, "lane32": 30}
"""Bits of a value that, with four members, fill a slot of the layout to its last bit."""

LANES = (Scalar("examples", 100), Scalar("saturated", 10_000), Scalar("top", MOST), Scalar("bottom", MOST))
LENGTH = 8
Given = tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], Mapping[str, float]]


def played(federation: Federation, inputs: Mapping[str, Groups]) -> Published:
    """Run a round over these words; return what is published."""
    end = run_round(table(federation, inputs, {}))
    assert isinstance(end, Closed)
    return end.published


def extreme(federation: Federation, values: list[float]) -> dict[str, Groups]:
    """Let every member send these updates, in units of the clip, at the greatest weight and the bounds of metrics."""
    manifest, update = propose(federation), np.resize(np.array(values), LENGTH)
    metrics = {"top": float(MOST), "bottom": -float(MOST)}
    rng = counted_rng(b"rounding")
    return {name: encode_training(manifest, update, 10**6, metrics, rng) for name in federation.members}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("values", [[1e30], [-1e30], [1e30, -1e30], [0.0, 1e30]], ids=["top", "low", "ends", "mixed"])
def test_all_members_at_the_ends_of_every_lane_sum_exactly(layout: str, values: list[float]) -> None:
    federation = make(4, bits=LAYOUTS[layout], parameters=LENGTH, scalars=LANES)
    (update,) = (group for group in propose(federation).groups if group.name == "update")
    widest = {"3x21": 21, "3bytes": 24, "lane32": 32}[layout]
    assert (update.layout, update.slot_bits) == (layout, widest), "the slot is not full: the test shows nothing"
    published = played(federation, extreme(federation, values))
    sums = server_step.sums_of(federation.spec, published, propose(federation).round)
    half = 2 ** (LAYOUTS[layout] - 1)
    ends = {1e30: half - 1, -1e30: -half, 0.0: 0}
    expected = np.resize(np.array([4 * ends[value] for value in values], dtype=np.float64), LENGTH)
    assert (sums.update * half).tolist() == expected.tolist()
    counted = sum(value != 0.0 for value in np.resize(np.array(values), LENGTH))
    assert sums.scalars == {"examples": 400, "saturated": 4 * counted, "top": 4 * MOST, "bottom": -4 * MOST}


def test_lossless_sums_are_exact_up_to_the_largest_value_and_refuse_the_next() -> None:
    federation = make(4, purpose="sum", bits=64, scalars=(), parameters=3)
    manifest = propose(federation)
    limit = 2.0**38 / 4
    largest = limit - 2.0**-14
    given = {name: encode_sum(manifest, np.array([largest, -largest, 2.0**-24])) for name in federation.members}
    sums = server_step.sums_of(federation.spec, played(federation, given), propose(federation).round)
    assert sums.update.tolist() == [4 * largest, -4 * largest, 2.0**-22]
    for beyond in (limit, -limit, 1e300):
        with pytest.raises(BadInput, match="the largest that a sum can hold"):
            encode_sum(manifest, np.array([0.0, beyond, 0.0]))


@pytest.mark.parametrize("value", [float(MOST) + 1, -float(MOST) - 1, float("inf"), float("nan")])
def test_a_metric_beyond_its_lane_is_refused_before_it_is_masked(value: float) -> None:
    manifest = propose(make(4, parameters=LENGTH, scalars=LANES))
    with pytest.raises(BadInput, match="metric top"):
        encode_training(manifest, np.zeros(LENGTH), 1, {"top": value, "bottom": 0.0}, counted_rng(b"rounding"))


def test_a_weight_beyond_the_bound_counts_as_the_bound() -> None:
    federation = make(4, parameters=LENGTH)
    manifest = propose(federation)
    given = {
        name: encode_training(manifest, np.ones(LENGTH), 10**9, {"loss": 0.0}, counted_rng(b"rounding"))
        for name in federation.members
    }
    sums = server_step.sums_of(federation.spec, played(federation, given), propose(federation).round)
    assert sums.scalars["examples"] == 4 * federation.spec.weight_bound


# What could not hold the sum -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "nodes"), [(31, 4), (30, 5)])
def test_the_plan_refuses_bits_that_fit_no_word(bits: int, nodes: int) -> None:
    with pytest.raises(BadInput, match="word"):
        lane_groups(job(names_of(4), bits=bits), nodes)


def test_the_plan_refuses_members_that_fit_no_slot() -> None:
    """30 bits have room for four members in the widest packed lane, and for no fifth."""
    file = {"job": {"name": "job", "task": "task"}, "engine": {"bits": 30}}
    asked, model = msgspec.convert(file, JobFile), Model(LENGTH, bytes(32), bytes(32))
    assert plan(asked, 4, model)["layout"] == "lane32"
    with pytest.raises(BadInput, match="fits no word"):
        plan(asked, 5, model)


def test_the_plan_refuses_a_metric_whose_sum_leaves_its_lane() -> None:
    """1,024 members at the largest bound just fit 64 bits with a sign; the next one wraps."""
    lanes = (Scalar("metric", MOST),)
    assert lane_groups(job(names_of(4), scalars=lanes), 1024)
    with pytest.raises(BadInput, match="metric"):
        lane_groups(job(names_of(4), scalars=lanes), 1025)


def narrow(manifest: Manifest) -> dict[str, LaneGroup]:
    """Return update lanes that lack room for the cohort: a slot too narrow, and one for two members only."""
    scalars, update = manifest.groups
    assert scalars.name == "scalars"
    return {
        "slot": replace(update, slot_bits=update.value_bits),
        "members": replace(update, slot_bits=update.value_bits + 1),
        "layout": replace(update, layout="3bytes"),
    }


@pytest.mark.parametrize("which", ["slot", "members", "layout"])
def test_a_manifest_with_less_room_than_the_cohort_needs_is_refused(which: str) -> None:
    federation = make(4)
    honest = propose(federation)
    lie = replace(honest, groups=(honest.groups[0], narrow(honest)[which]))
    with pytest.raises(Refused) as caught:
        node.start(proposal_of(federation, lie), party(federation, "node-00").ctx)
    assert caught.value.rule == "manifest.groups"


# The canary ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["scalars", "update"])
@pytest.mark.parametrize("canary", [0, 2, 2**18 - 1])
def test_a_member_that_is_not_counted_once_aborts_the_round(group: str, canary: int) -> None:
    federation = make(4)
    manifest = propose(federation)
    given = {
        name: encode_training(manifest, np.zeros(7), 10, {"loss": 0.0}, counted_rng(b"rounding"))
        for name in federation.members
    }
    spec = federation.spec
    assert server_step.sums_of(spec, played(federation, given), propose(federation).round).scalars["examples"] == 40
    pack = packing(next(found for found in manifest.groups if found.name == group))
    slots = pack.unpack(given["node-02"][group])
    slots[0] = canary
    given["node-02"][group] = pack.pack(slots)
    with pytest.raises(ProtocolViolation) as caught:
        server_step.sums_of(spec, played(federation, given), propose(federation).round)
    assert caught.value.rule == "lanes.canary"


def test_an_overflow_into_a_neighbour_is_what_an_honest_node_cannot_send() -> None:
    """A slot that does not fit is refused when it is packed, whoever made it."""
    for group in propose(make(4)).groups[1:]:
        pack = packing(group)
        slots = np.zeros(pack.count, dtype=np.uint64)
        slots[1] = 1 << pack.slot_bits
        with pytest.raises(BadInput, match="does not fit its slot"):
            pack.pack(slots)
