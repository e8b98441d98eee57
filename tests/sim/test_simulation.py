"""The simulator: a seed is a whole history, the same in every run."""

from support.simulation import simulate


def test_a_seed_does_the_same_twice() -> None:
    first, again = simulate(8), simulate(8)
    assert first.trace == again.trace
    assert first.violations == ()
    assert first.messages > 300
