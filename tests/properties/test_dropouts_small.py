"""Every drop-out pattern for n = 3 and half of those for n = 4: 6^n, five steps or none (the other half next door)."""

from itertools import product

import pytest

from secagg.ids import STEPS
from secagg.rehearsal.federation import propose
from support.federation import check_pattern, make

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


LAYOUTS = [(8, "3x21"), (16, "3x21"), (20, "3bytes"), (24, "lane32"), (64, "lane64")]


@pytest.mark.parametrize(("bits", "layout"), LAYOUTS)
def test_every_layout_with_one_drop_out(bits: int, layout: str) -> None:
    lossless = make(5, purpose="sum", scalars=(), weight_bound=1, bits=64, parameters=101)
    federation = lossless if bits == 64 else make(5, bits=bits, parameters=101)
    check_pattern(federation, {"node-03": "MaskedInput"})
    assert propose(federation).groups[1].layout == layout
