"""Every drop-out pattern for n = 3 and half of those for n = 4: 6^n, five steps or none (the other half next door)."""

from itertools import product

import pytest
from support.federation import check_pattern, make

from secagg.ids import STEPS

CHOICES = (None, *STEPS)


@pytest.mark.parametrize("first", CHOICES)
def test_every_pattern_of_three_members(first: str | None) -> None:
    federation = make(3)
    for rest in product(CHOICES, repeat=2):
        pattern = dict(zip(federation.members, (first, *rest), strict=True))
        check_pattern(federation, {name: step for name, step in pattern.items() if step})


@pytest.mark.parametrize("first", CHOICES[:3])
@pytest.mark.parametrize("second", CHOICES)
def test_every_pattern_of_four_members_first_half(first: str | None, second: str | None) -> None:
    federation = make(4)
    for rest in product(CHOICES, repeat=2):
        pattern = dict(zip(federation.members, (first, second, *rest), strict=True))
        check_pattern(federation, {name: step for name, step in pattern.items() if step})
