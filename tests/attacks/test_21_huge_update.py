"""Row 21: a huge update. Honest code is bound by clip and weight bound; what a patched node can move is written down.

There is no range proof. A patched node that spoils a canary, or leaves nothing to divide by, loses everybody the round.
One that keeps the canaries right moves a coordinate as far as its slot reaches. That is as far as all members together
could (docs/threat-model.md, Known weaknesses).
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from node.work import Computed
from secagg.errors import BadInput, ProtocolViolation
from secagg.protocol import server_step
from secagg.protocol.lanes import Groups, Sums, encode_sum, encode_training, packing
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import Federation, propose, table
from secagg.rehearsal.run import run_round
from support.federation import make
from support.nodes import Ward

DOCS = Path(__file__).resolve().parents[2] / "docs" / "threat-model.md"
CLIP, W, PARAMETERS = 1.0, 100, 7
EXAMPLES = {"node-00": 40, "node-01": 60, "node-02": 20, "node-03": 80}
Vector = npt.NDArray[np.float64]
UPDATES = {name: np.linspace(-0.9, 0.9, PARAMETERS) / (index + 1) for index, name in enumerate(EXAMPLES)}


def clear(
    federation: Federation, updates: Mapping[str, Vector], examples: Mapping[str, int] = EXAMPLES
) -> dict[str, Groups]:
    manifest = propose(federation)
    return {
        name: encode_training(manifest, update, examples[name], {"loss": 1.0}, federation.rng)
        for name, update in updates.items()
    }


def result_of(federation: Federation, inputs: Mapping[str, Groups]) -> Sums:
    end = run_round(table(federation, inputs, {}))
    assert isinstance(end, Closed)
    return server_step.sums_of(federation.spec, end.published, propose(federation).round)


def mean_of(sums: Sums) -> Vector:
    return sums.update * W / sums.scalars["examples"]


@pytest.mark.parametrize("factor", [1e3, -1e3, 1e30, -1e38])
def test_an_honest_update_however_large_moves_the_mean_by_at_most_the_clip(factor: float) -> None:
    """Its weighted values saturate at the clip, and how many did is a lane of the sum.

    The clip is that of n_k/W · Δ. A run-away of few examples counts as one of W. That is at most the clip of the mean
    as long as all together have W examples.
    """
    federation = make(4)
    calm = result_of(federation, clear(federation, UPDATES))
    huge = UPDATES["node-03"] * factor
    sums = result_of(federation, clear(federation, {**UPDATES, "node-03": huge}))
    total = sum(EXAMPLES.values())
    assert total >= W
    step = 4 / 2**15  # Every one of four values is rounded to one of 2^16 steps.
    own = EXAMPLES["node-03"] / W * np.abs(UPDATES["node-03"])
    moved = np.abs(sums.update - calm.update)
    assert (moved <= CLIP + own + step).all()
    assert (moved[np.abs(huge) > 2 * CLIP] >= CLIP - own[np.abs(huge) > 2 * CLIP] - step).all()  # Heard, and held.
    assert np.abs(mean_of(sums) - mean_of(calm)).max() <= (CLIP + own.max() + step) * W / total
    assert sums.scalars["saturated"] == np.count_nonzero(np.abs(huge) * EXAMPLES["node-03"] / W > CLIP)


@pytest.mark.parametrize("examples", [W, W + 1, 10**6, 2**40])
def test_an_institution_weighs_at_most_the_weight_bound(examples: int) -> None:
    federation = make(4)
    sums = result_of(federation, clear(federation, UPDATES, {**EXAMPLES, "node-03": examples}))
    assert sums.scalars["examples"] == 40 + 60 + 20 + W
    assert np.abs(sums.update).max() <= 4 * CLIP


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_never_leaves(value: float) -> None:
    federation = make(4)
    spoilt = UPDATES["node-03"].copy()
    spoilt[4] = value
    with pytest.raises(BadInput, match="at index 4"):
        clear(federation, {"node-03": spoilt})


@pytest.mark.parametrize("value", [2.0**37, -(2.0**37), 1e300, np.nan, np.inf])
def test_a_sum_that_could_wrap_never_leaves(value: float) -> None:
    federation = make(4, purpose="sum", bits=64, scalars=())
    with pytest.raises(BadInput):
        encode_sum(propose(federation), np.full(PARAMETERS, value))


def patched(groups: Groups, federation: Federation, group: str, change: Callable[[Vector], None]) -> Groups:
    """Return clear words as a patched node makes them: any slots it likes."""
    manifest = propose(federation)
    found = next(entry for entry in manifest.groups if entry.name == group)
    slots = packing(found).unpack(groups[group])
    change(slots)  # type: ignore[arg-type]
    return {**groups, group: packing(found).pack(slots)}


def put(place: int, value: int) -> Callable[[Vector], None]:
    def change(slots: Vector) -> None:
        slots[place] = value

    return change


@pytest.mark.parametrize("canary", [0, 2, 2**18 - 1])
@pytest.mark.parametrize("group", ["scalars", "update"])
def test_a_wrong_canary_makes_the_result_worthless_for_everybody(group: str, canary: int) -> None:
    federation = make(4)
    inputs = clear(federation, UPDATES)
    inputs["node-03"] = patched(inputs["node-03"], federation, group, put(0, canary))
    with pytest.raises(ProtocolViolation) as caught:
        result_of(federation, inputs)
    assert caught.value.rule == "lanes.canary"


@pytest.mark.parametrize("claimed", [-(40 + 60 + 20), -(10**9)])
def test_weights_that_leave_nothing_to_divide_by_make_no_model(claimed: int) -> None:
    federation = make(4)
    inputs = clear(federation, UPDATES)
    inputs["node-03"] = patched(inputs["node-03"], federation, "scalars", put(1, claimed))
    sums = result_of(federation, inputs)
    with pytest.raises(BadInput, match="examples together"):
        server_step.next_model(federation.spec, {"w": np.zeros(PARAMETERS, np.float32)}, {}, sums)


def test_a_patched_node_moves_a_coordinate_as_far_as_all_together_and_the_threat_model_says_so() -> None:
    federation = make(4)
    manifest = propose(federation)
    update = next(group for group in manifest.groups if group.name == "update")
    honest = clear(federation, UPDATES)
    reach = []
    for value in (0, 2**update.slot_bits - 1):
        # Its neighbours' values are below half a slot here, so that nothing carries over.
        inputs = {**honest, "node-03": patched(honest["node-03"], federation, "update", put(3, value))}
        others = {name: patched(words, federation, "update", put(3, 0)) for name, words in honest.items()}
        reach.append(result_of(federation, {**others, "node-03": inputs["node-03"]}).update)
    distance = np.abs(reach[1] - reach[0])
    assert distance[2] > 2 * CLIP * len(EXAMPLES) * 0.999  # One honest member: 2 × clip.
    assert np.array_equal(np.delete(distance, 2), np.zeros(PARAMETERS - 1))
    assert "as far as all members together could" in " ".join(DOCS.read_text().split())


def test_a_round_that_a_patched_node_spoils_is_lost_for_good_and_nothing_is_published(tmp_path: Path) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)

    async def script(_: object) -> None:
        await ward.start_nodes()
        work = ward.nodes["node-03"].service._work
        whole = work.update

        def spoilt(manifest: object, spec: object, model: object, sums: object) -> Computed:
            made = whole(manifest, spec, model, sums)  # type: ignore[arg-type]
            made.contribution._groups["update"][0] += np.uint64(1)  # type: ignore[attr-defined]
            return made

        work.update = spoilt  # type: ignore[method-assign]
        ward.submit()
        await ward.wait(12)
        await ward.stop_nodes()

    ward.play(script)
    assert not ward.named("round_closed")
    lost = ward.named("round_aborted")[0]
    assert lost["lost"]
    assert "canary of lane group update" in str(lost["reason"])
    assert not list((tmp_path / "aggregator" / "audit" / "results").iterdir())
