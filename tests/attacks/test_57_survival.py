"""Row 57: how often a lie survives the checks of all honest members, by the product's own coin and draw.

P = [1 − q + q·C(L − m, κ)/C(L, κ)]^(n − c), within three standard deviations over 10,000 rounds.
"""

from math import ceil, sqrt

import pytest

from secagg.protocol.lanes import runs
from secagg.protocol.manifest import Manifest
from secagg.protocol.round import spots
from secagg.rehearsal.federation import propose
from support.federation import counted_rng, make

ROUNDS = 10_000


def looked_at(manifest: Manifest) -> list[set[int]]:
    """Return, for each round, the leaves that some honest member looked at."""
    honest, rng = len(manifest.members) - manifest.colluders, counted_rng(b"survival %d" % len(manifest.members))
    found = []
    for _ in range(ROUNDS):
        checkers = sum(spots.throw(manifest, rng) for _ in range(honest))
        found.append({index for _ in range(checkers) for index in spots.draw(manifest, rng)})
    return found


def within_three_sigma(survived: int, chance: float) -> bool:
    """Say whether so many of all rounds are as many as they should be."""
    return abs(survived - ROUNDS * chance) <= 3 * sqrt(ROUNDS * chance * (1 - chance))


@pytest.mark.parametrize(("nodes", "colluders"), [(10, 3), (50, 16)])
def test_lies_survive_as_often_as_the_formula_says(nodes: int, colluders: int) -> None:
    manifest = propose(make(nodes, parameters=7_500))
    update, scalars = runs(manifest)
    seen, total = looked_at(manifest), update.many
    assert (total, manifest.colluders, scalars.many) == ({10: 40, 50: 59}[nodes], colluders, 1)
    for part in (1.0, 0.25, 0.1):
        lies = ceil(part * total)
        # The last ones: whoever lies leaves out the first, which everybody looks at, as long as it can.
        bent = set(range(total - lies, total))
        survived = sum(not bent & leaves for leaves in seen)
        chance = spots.survival(nodes, colluders, total, lies)
        assert within_three_sigma(survived, chance), (part, survived, chance)
    survived = sum(scalars.first not in leaves for leaves in seen)
    chance = (1 - min(1.0, 8 / (nodes - colluders))) ** (nodes - colluders)
    assert within_three_sigma(survived, chance), (survived, chance)
    assert survived == 0 or nodes - colluders > 8


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [(10, (0, 3.2e-4, 0.052, 0.75)), (20, (7.1e-6, 9.7e-4, 0.047, 0.73)), (50, (1.1e-4, 2.57e-3, 0.057, 0.73))],
)
def test_the_table_of_the_docs(nodes: int, expected: tuple[float, ...]) -> None:
    """For a vector of 100,000 leaves, where drawing without putting back changes nothing."""
    parts = (1.0, 0.25, 0.1, 0.01)
    found = [spots.survival(nodes, (nodes - 1) // 3, 100_000, ceil(part * 100_000)) for part in parts]
    assert found == pytest.approx(expected, rel=0.01, abs=1e-6)
