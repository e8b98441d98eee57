"""The formulas of protocol §3 against the values of the specification, and what lane groups refuse."""

import pytest

from secagg.errors import BadInput
from secagg.protocol import manifest as rules
from support.federation import job, names_of


@pytest.mark.parametrize(("n", "c", "t"), [(4, 1, 3), (5, 1, 4), (10, 3, 7), (20, 6, 14), (50, 16, 34)])
def test_thresholds_of_the_specification(n: int, c: int, t: int) -> None:
    assert rules.default_colluders(n) == c
    assert rules.threshold(n, c) == t
    assert 2 * t > n + c
    assert 2 * (t - 1) <= n + c
    assert rules.minimum_contributors(n, c) == max(t, c + 2, 3)


@pytest.mark.parametrize(("bits", "nodes", "layout"), [(16, 32, "3x21"), (16, 33, "3bytes"), (24, 256, "lane32")])
def test_the_cheapest_layout_is_taken(bits: int, nodes: int, layout: str) -> None:
    scalars, update = rules.lane_groups(job(names_of(4), bits=bits), nodes)
    assert (scalars.layout, scalars.count) == ("lane64", 4)
    assert (update.layout, update.count) == (layout, 8)


@pytest.mark.parametrize("bits", [20, 30, 31])
def test_what_does_not_fit_is_refused(bits: int) -> None:
    with pytest.raises(BadInput, match="fit"):
        rules.lane_groups(job(names_of(4), bits=bits), 5000)
