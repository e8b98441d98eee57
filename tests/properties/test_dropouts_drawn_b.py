"""Drawn drop-out patterns for n = 5 … 20, tolerated and not (part b of two, so that two workers share the work)."""

import random

import pytest

from secagg.ids import STEPS
from support.federation import check_pattern, make, names_of

PART = "b"


def drawn(case: int) -> tuple[int, dict[str, str]]:
    """Return n and a pattern whose number of drop-outs lies around what n tolerates."""
    draw = random.Random(f"{PART}-{case}")
    count = draw.choice((5, 5, 6, 7, 8, 9, 10, 12, 14, 20))
    members = draw.sample(names_of(count), draw.randint(0, count // 3 + 1))
    return count, {name: draw.choice(STEPS) for name in members}


@pytest.mark.parametrize("case", range(150))
def test_drawn_pattern(case: int) -> None:
    count, drops = drawn(case)
    check_pattern(make(count), drops)
