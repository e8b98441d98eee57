"""The sparse graph: published check values, drawing with commitments, and what a Harary graph is."""

from itertools import pairwise

import pytest

from secagg.errors import BadInput
from secagg.ids import NO_DIGEST, RoundId
from secagg.protocol.masks import graph
from secagg.wire.signed import Scope

SCOPE = Scope(round=RoundId("fed", "job", 1), manifest=NO_DIGEST)
NAMES = tuple(f"n{index:04d}" for index in range(200))


@pytest.mark.parametrize(
    ("nodes", "share", "degree", "threshold"),
    [(100, 5, 16, 11), (1000, 50, 52, 37), (10_000, 500, 62, 44), (1000, 100, 96, 67)],
)
def test_the_parameters_are_the_protocols_check_values(nodes: int, share: int, degree: int, threshold: int) -> None:
    assert graph.parameters(nodes, share, share) == (degree, threshold)


def test_too_many_lost_members_have_no_graph() -> None:
    with pytest.raises(BadInput, match="No sparse graph of 20 members"):
        graph.parameters(20, 6, 6)


@pytest.mark.parametrize("draw", range(graph.REDRAWS + 1))
def test_an_opening_opens_its_own_commitment_in_its_own_draw(draw: int) -> None:
    secret, other = bytes(32), bytes([1]) * 32
    value = graph.opening(secret, SCOPE, "n1", draw)
    assert graph.opens(value, graph.commit(secret, SCOPE, "n1"), SCOPE, "n1", draw)
    assert not graph.opens(value, graph.commit(other, SCOPE, "n1"), SCOPE, "n1", draw)
    assert not graph.opens(value, graph.commit(secret, SCOPE, "n2"), SCOPE, "n1", draw)
    assert not graph.opens(value, graph.commit(secret, SCOPE, "n1"), SCOPE, "n1", (draw + 1) % 4)


def test_the_openings_are_four_different_values() -> None:
    values = [graph.opening(bytes(32), SCOPE, "n1", draw) for draw in range(4)]
    assert len(set(values)) == 4
    assert all(earlier != later for earlier, later in pairwise(values))


def test_everybody_has_the_degree_and_neighbourhood_is_mutual() -> None:
    found = graph.neighbours(NAMES, 16, bytes(32))
    for name, near in found.items():
        assert len(near) == 17
        assert name in near
        assert near == tuple(sorted(near))
        assert all(name in found[other] for other in near)


def test_the_graph_follows_the_seed_and_nothing_else() -> None:
    first = graph.neighbours(NAMES, 16, bytes(32))
    graph.neighbours.cache_clear()
    assert graph.neighbours(NAMES, 16, bytes(32)) == first
    other = graph.neighbours(NAMES, 16, bytes([1]) * 32)
    same = sum(len(set(first[name]) & set(other[name])) - 1 for name in NAMES)
    # 200 members with 16 of 199 possible neighbours each: about 257 in common by chance, 3,200 if nothing changed.
    assert same < 400


def test_degree_zero_is_everybody_with_everybody() -> None:
    assert set(graph.neighbours(NAMES, 0, b"").values()) == {NAMES}


@pytest.mark.parametrize("degree", [3, 200, 202])
def test_a_degree_that_is_none_is_refused(degree: int) -> None:
    with pytest.raises(BadInput, match="degree"):
        graph.neighbours(NAMES, degree, bytes(32))
