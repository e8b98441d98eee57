"""The second half of the drop-out patterns for n = 4 (a file of its own, so that two workers share the work)."""

from itertools import product

import pytest

from secagg.ids import STEPS
from support.federation import check_pattern, make

CHOICES = (None, *STEPS)


@pytest.mark.parametrize("first", CHOICES[3:])
@pytest.mark.parametrize("second", CHOICES)
def test_every_pattern_of_four_members_second_half(first: str | None, second: str | None) -> None:
    federation = make(4)
    for rest in product(CHOICES, repeat=2):
        pattern = dict(zip(federation.members, (first, second, *rest), strict=True))
        check_pattern(federation, {name: step for name, step in pattern.items() if step})
