"""What every algorithm of the table keeps to, from what a member sends to the model that everybody computes.

A new algorithm passes these tests with its file and its line in the table. So does the toy algorithm of the tests,
which sums two vectors.
"""

from collections.abc import Mapping

import numpy as np
import pytest
from msgspec.structs import replace

from secagg.errors import BadInput, Refused
from secagg.learning import algorithms
from secagg.learning.algorithm import Algorithm, Totals
from secagg.learning.algorithms import ALGORITHMS, choose
from secagg.learning.layout import Arrays, Floats
from secagg.protocol import server_step
from secagg.protocol.lanes import Quantised
from secagg.protocol.manifest import Scalar
from secagg.protocol.ranges import check_lanes
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import propose, table
from secagg.rehearsal.run import run_round
from secagg.vector.codec import Lane, Offset
from support.federation import counted_rng, job, make, names_of
from support.toy_algorithm import Toy

NAMES = (*ALGORITHMS, "toy")
SIZE, BITS, WEIGHT = 7, 20, 100


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that an algorithm needs beside its file."""
    monkeypatch.setattr(algorithms, "ALGORITHMS", {**ALGORITHMS, "toy": Toy})


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def of(name: str) -> Algorithm:
    return algorithms.algorithm_of(choose(name, {}))


def fields(name: str) -> dict[str, object]:
    """What a job says when it trains by this algorithm."""
    lanes = tuple(Lane(vector.name, SIZE, Offset(BITS, 0), vector.weighted) for vector in of(name).vectors)
    own = Scalar("examples", WEIGHT), Scalar("saturated", SIZE * len(lanes))
    return {"algorithm": choose(name, {}), "lanes": lanes, "scalars": own, "weight_bound": WEIGHT}


def model() -> Arrays:
    return {"b": np.zeros(2, dtype=np.float32), "w": np.linspace(-1, 1, 5, dtype=np.float64)}


def deltas() -> dict[str, Floats]:
    return {
        member: np.linspace(-0.5, 0.5, SIZE, dtype=np.float32) * np.float32(1 if index % 2 else -1) / (index + 1)
        for index, member in enumerate(names_of(4))
    }


def totals(name: str, given: Mapping[str, Floats], examples: Mapping[str, int]) -> Totals:
    """What a round of these members publishes, without any rounding."""
    chosen = of(name)
    summed = {vector.name: np.zeros(SIZE) for vector in chosen.vectors}
    for member, delta in given.items():
        for vector in chosen.vectors:
            part = np.asarray(chosen.contribute(delta)[vector.name], dtype=np.float64)
            summed[vector.name] += part * (examples[member] / WEIGHT if vector.weighted else 1.0)
    return Totals(summed, sum(examples.values()), WEIGHT)


EXAMPLES = {member: 10 * (index + 1) for index, member in enumerate(names_of(4))}


def test_a_member_sends_every_vector_and_nothing_else(name: str) -> None:
    delta = next(iter(deltas().values()))
    sent = of(name).contribute(delta)
    assert tuple(sent) == tuple(vector.name for vector in of(name).vectors)
    assert {values.shape for values in sent.values()} == {(SIZE,)}


def test_a_step_gives_a_model_of_the_same_form_and_all_of_its_state(name: str) -> None:
    chosen, before = of(name), model()
    state = chosen.begin(SIZE)
    assert set(state) == set(chosen.keeps)
    after = chosen.step(before, state, totals(name, deltas(), EXAMPLES))
    assert {key: (value.shape, value.dtype) for key, value in after.model.items()} == {
        key: (value.shape, value.dtype) for key, value in before.items()
    }
    assert {key: (value.shape, value.dtype) for key, value in after.state.items()} == {
        key: ((SIZE,), np.dtype(np.float64)) for key in chosen.keeps
    }
    assert any((after.model[key] != before[key]).any() for key in before)


def test_a_step_changes_nothing_and_is_the_same_bytes_again(name: str) -> None:
    chosen, given, state = of(name), totals(name, deltas(), EXAMPLES), of(name).begin(SIZE)
    before = model()
    first, again = (chosen.step(before, state, given) for _ in range(2))
    assert {key: value.tobytes() for key, value in before.items()} == {
        key: value.tobytes() for key, value in model().items()
    }
    assert all((state[key] == chosen.begin(SIZE)[key]).all() for key in chosen.keeps)
    assert {key: value.tobytes() for key, value in first.model.items()} == {
        key: value.tobytes() for key, value in again.model.items()
    }
    second = chosen.step(first.model, first.state, given)
    assert set(second.state) == set(chosen.keeps)


def test_what_does_not_fit_the_model_is_refused(name: str) -> None:
    chosen, given = of(name), totals(name, deltas(), EXAMPLES)
    short = Totals({key: value[:-1] for key, value in given.vectors.items()}, given.examples, WEIGHT)
    nobody = given._replace(examples=0)
    endless = Totals({key: np.full(SIZE, np.inf) for key in given.vectors}, given.examples, WEIGHT)
    for wrong in (short, nobody, endless):
        with pytest.raises(BadInput), np.errstate(invalid="ignore"):
            chosen.step(model(), chosen.begin(SIZE), wrong)


def test_a_round_of_masks_sums_what_the_algorithm_steps_by(name: str) -> None:
    """Lanes, codes, masks, the published words and back: as far from the exact step as rounding may take it."""
    federation = make(4, b"seed", **fields(name))
    manifest, given, rng = propose(federation), deltas(), counted_rng(b"rounding")
    inputs = {
        member: Quantised(manifest, of(name).contribute(delta), EXAMPLES[member], {}, rng)
        for member, delta in given.items()
    }
    end = run_round(table(federation, inputs, {}))
    assert isinstance(end, Closed)
    sums = server_step.sums_of(federation.spec, end.published, manifest.round)
    exact = totals(name, given, EXAMPLES)
    assert sums.scalars == {"examples": exact.examples, "saturated": 0}
    assert set(sums.vectors) == set(exact.vectors)
    step = 2.0 / 2**BITS
    for key, values in exact.vectors.items():
        assert np.abs(sums.vectors[key] - values).max() <= 4 * step
    found = server_step.next_model(federation.spec, model(), {}, sums)
    wanted = of(name).step(model(), of(name).begin(SIZE), exact)
    for key, value in wanted.model.items():
        assert np.allclose(found.model[key], value, atol=1e-4)
    assert set(found.state) == set(of(name).keeps)


def test_a_job_has_the_lanes_of_its_algorithm_and_no_others(name: str) -> None:
    spec = job(names_of(4), **fields(name))
    check_lanes(spec)
    first, more = spec.lanes[0], Lane("more", SIZE, Offset(BITS, 0))
    for wrong in ((*spec.lanes, more), (more,), (first, first), (replace(first, weighted=False), *spec.lanes[1:])):
        with pytest.raises(Refused):
            check_lanes(replace(spec, lanes=wrong))
