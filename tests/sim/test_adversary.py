"""An aggregator that means harm: every trick is really tried, and none of them opens what must stay closed."""

import pytest

from support.simulation import simulate
from support.simulation_adversary import TRICKS

SEEDS = range(40)


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_is_tried_and_gains_nothing(trick: str) -> None:
    tried = 0
    for seed in SEEDS:
        outcome = simulate(seed, tricks=(trick,))
        assert outcome.violations == ()
        tried += outcome.count[f"trick: {trick}"]
        if tried >= 3:
            break
    assert tried >= 3


def test_a_malicious_seed_does_the_same_twice() -> None:
    first, again = simulate(3, tricks=TRICKS), simulate(3, tricks=TRICKS)
    assert first.trace == again.trace


def test_without_tricks_the_aggregator_is_honest() -> None:
    assert not any("means harm" in line for line in simulate(0, tricks=()).trace)
    assert any("means harm" in line for line in simulate(0, tricks=TRICKS).trace)
