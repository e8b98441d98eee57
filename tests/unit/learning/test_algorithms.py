"""The table of algorithms: what a job may name, what it has to say of it, and what no step may compute with."""

import ast
import inspect
import json
import math
import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from secagg.errors import Refused
from secagg.ids import NO_DIGEST
from secagg.learning import algorithm
from secagg.learning.algorithms import ALGORITHMS, DEFAULT, Chosen, Number, algorithm_of, choose
from secagg.learning.digest import model_digest, state_digest
from secagg.protocol.manifest import JobSpec
from secagg.protocol.server_step import algorithm_of as algorithm_of_job
from secagg.wire.codec import decode, encode
from support.federation import job, names_of

SPEC = job(names_of(4))
NUMPY = {"asarray", "errstate", "float32", "float64", "full", "maximum", "ndarray", "sign", "sqrt", "zeros"}
"""What a step may take from numpy: names of types, and operations whose every bit IEEE 754 gives."""


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_job_names_an_algorithm_and_all_of_its_numbers(name: str) -> None:
    chosen = choose(name, {})
    assert algorithm_of(chosen) == ALGORITHMS[name]()
    assert [number.name for number in chosen.numbers] == sorted(ALGORITHMS[name].__struct_fields__)
    assert decode(JobSpec, encode(replace(SPEC, algorithm=chosen))).algorithm == chosen
    for number in chosen.numbers:
        left = tuple(other for other in chosen.numbers if other != number)
        for wrong in (left, (*chosen.numbers, number), (number, *chosen.numbers)):
            with pytest.raises(Refused, match="each once and in this order") as caught:
                algorithm_of(Chosen(name, wrong))
            assert caught.value.rule == "algorithm.numbers"
        for value in (float("nan"), float("inf"), -1.0, 1.5):
            with pytest.raises(Refused, match=f"Algorithm {name} (takes finite numbers only|does not take these)"):
                choose(name, {number.name: value})


def test_a_job_without_a_word_of_it_trains_by_the_default() -> None:
    assert choose(DEFAULT, {}) == Chosen() == SPEC.algorithm


@pytest.mark.parametrize(
    ("chosen", "rule", "says"),
    [
        (Chosen("fedsplit"), "algorithm.name", f"Choose one of {', '.join(sorted(ALGORITHMS))}."),
        (Chosen("fedavg", (Number("mu", 0.5),)), "algorithm.numbers", "has no number mu; it has none"),
    ],
)
def test_what_the_table_does_not_know_is_refused_with_what_there_is(chosen: Chosen, rule: str, says: str) -> None:
    with pytest.raises(Refused, match=re.escape(says)) as caught:
        algorithm_of_job(replace(SPEC, algorithm=chosen))
    assert caught.value.rule == rule


FILE = Path(__file__).resolve().parents[2] / "vectors" / "algorithms.json"
ADAM = [case for case in json.loads(FILE.read_text())["accepted"] if case["in"]["algorithm"]["name"] == "fedadam"]


def exact(value: Fraction) -> Fraction:
    """Return the float64 that is nearest, as a fraction."""
    return Fraction(float(value))


def root(value: Fraction) -> Fraction:
    """Return the float64 that is nearest to a root; that it is, is shown in fractions."""
    found = math.sqrt(float(value))
    low, high = (Fraction(found) + Fraction(math.nextafter(found, way)) for way in (0.0, math.inf))
    assert (low / 2) ** 2 <= value <= (high / 2) ** 2
    return Fraction(found)


@pytest.mark.parametrize("case", ADAM, ids=[case["name"] for case in ADAM])
def test_fedadam_is_its_formula_rounded_after_each_operation(case: dict[str, Any]) -> None:
    """The file of vectors computed once more, in fractions: no float is added, multiplied or divided here."""
    given = case["in"]
    numbers = {name: Fraction(float.fromhex(value)) for name, value in given["algorithm"]["numbers"].items()}
    rate, tau, first, second = (numbers[name] for name in ("rate", "tau", "beta1", "beta2"))
    many = len(given["model"])
    x = [Fraction(float.fromhex(value)) for value in given["model"]]
    m, v = [Fraction(0)] * many, [exact(tau * tau)] * many
    for total, examples, out in zip(given["totals"], given["examples"], case["out"], strict=True):
        factor = exact(Fraction(given["weight_bound"], examples))
        for at, value in enumerate(total):
            mean = exact(Fraction(float.fromhex(value)) * factor)
            m[at] = exact(exact(m[at] * first) + exact(mean * exact(1 - first)))
            v[at] = exact(exact(v[at] * second) + exact(exact(mean * mean) * exact(1 - second)))
            by = exact(exact(m[at] * rate) / exact(root(v[at]) + tau))
            x[at] = exact(x[at] + by)
            if given["dtype"] == "float32":
                x[at] = Fraction(float(np.float32(float(x[at]))))
        assert [Fraction(float.fromhex(value)) for value in out["model"]] == x
        for name, values in (("m", m), ("v", v)):
            assert [Fraction(float.fromhex(value)) for value in out["state"][name]] == values


def test_known_answer_of_fedadam() -> None:
    (book,) = [case for case in ADAM if case["name"] == "fedadam, by hand"]
    wanted = [1.1307350401324516, -2.1333019936980473, 0.5990050974000751]
    assert [float.fromhex(value) for value in book["out"][-1]["model"]] == wanted


def test_a_state_is_named_by_every_bit_of_it_and_nothing_by_zeros() -> None:
    state = algorithm_of(choose("fedadam", {})).begin(3)
    moved = {**state, "m": np.nextafter(state["m"], 1.0)}
    digests = [state_digest(one) for one in ({}, state, moved, {"m": state["v"], "v": state["m"]})]
    assert digests[0] == NO_DIGEST
    assert len(set(digests)) == 4
    assert state_digest(state) != model_digest(state)


def test_a_sum_trains_by_nothing() -> None:
    total = replace(SPEC, purpose="sum")
    assert algorithm_of_job(total) == ALGORITHMS[DEFAULT]()
    with pytest.raises(Refused) as caught:
        algorithm_of_job(replace(total, algorithm=Chosen("fedsplit")))
    assert caught.value.rule == "algorithm.sum"


@pytest.mark.parametrize("module", [algorithm, *(sys.modules[kind.__module__] for kind in ALGORITHMS.values())])
def test_a_step_computes_with_nothing_whose_last_bit_a_machine_decides(module: object) -> None:
    """Dot products, norms, sums over a vector, exp, log and powers differ between machines, and so would digests."""
    tree = ast.parse(Path(inspect.getfile(module)).read_text())  # type: ignore[arg-type]  # a module of the table
    taken = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
    }
    assert taken <= NUMPY
    assert not {type(node) for node in ast.walk(tree)} & {ast.MatMult, ast.Pow}
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not called & {"sum", "pow"}
    methods = {n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    assert not methods & {"sum", "dot", "mean", "prod", "cumsum"}
