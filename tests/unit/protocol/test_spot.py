"""Spot checks: what is handed out for an honest round holds, and every lie about a drawn leaf is found."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from msgspec.structs import replace

from secagg.errors import BadInput, VerificationFailed
from secagg.protocol.lanes import upload_root
from secagg.protocol.manifest import Published
from secagg.protocol.masks import spot
from secagg.protocol.masks.rounds import Closed, Unmasking
from secagg.protocol.masks.spot import Leaf, Transcript
from secagg.protocol.rehearsal import propose, table
from secagg.protocol.run import Table, run_round
from support.federation import counted_rng, inputs_of, make

PARAMETERS = 20_000
"""Two leaves of `update` and one of `scalars`."""


class Kept(Table):
    """A table that keeps what opened the round."""

    transcript: Transcript

    def clear(self, asked):  # type: ignore[no-untyped-def]  # as Table.clear
        phase = self.phase
        assert isinstance(phase, Unmasking)
        self.transcript = Transcript(phase.u1, phase.u2, phase.u3, phase.answers, phase.drawn)
        return super().clear(asked)


@dataclass
class Handed:
    """A closed round, and what its aggregator hands out for a check."""

    made: Kept
    published: Published
    indexes: tuple[int, ...]
    found: dict[str, tuple[Leaf, ...]]

    def check(self) -> None:
        manifest, phase = self.made.manifest, self.made.phase
        assert phase is not None
        spot.check(manifest, phase.scope, self.made.transcript, self.published, self.indexes, self.found)


@pytest.fixture
def handed() -> Handed:
    federation = make(4, parameters=PARAMETERS)
    manifest = propose(federation)
    made = Kept(**vars(table(federation, inputs_of(federation, manifest), {"node-02": "MaskedInput"})))
    end = run_round(made)
    assert isinstance(end, Closed)
    indexes = spot.draw(manifest, counted_rng(b"draw"))
    found = {
        name: spot.leaves(manifest, data, spot.tree_of(manifest, data), indexes) for name, data in made.uploads.items()
    }
    return Handed(made, end.published, indexes, found)


def test_an_honest_round_holds(handed: Handed) -> None:
    assert handed.indexes == (0, 1)
    assert set(handed.found) == {"node-00", "node-01", "node-03"}
    handed.check()


def test_the_tree_is_the_one_whose_root_is_signed(handed: Handed) -> None:
    for data in handed.made.uploads.values():
        assert spot.tree_of(handed.made.manifest, data).root() == upload_root(handed.made.manifest, data)


@pytest.mark.parametrize(("group", "word", "leaf"), [("scalars", 1, 1), ("update", 5, 0), ("update", 6_000, 1)])
def test_a_lie_in_any_drawn_leaf_is_found_and_the_leaf_named(handed: Handed, group: str, word: int, leaf: int) -> None:
    groups = []
    for entry in handed.published.groups:
        words = np.frombuffer(entry.words, dtype=np.uint64).copy()
        if entry.name == group:
            words[word] += np.uint64(1)
        groups.append(replace(entry, words=words.tobytes()))
    handed.published = replace(handed.published, groups=tuple(groups))
    with pytest.raises(VerificationFailed, match=f"Leaf {leaf} of the published sum") as caught:
        handed.check()
    assert caught.value.code == "E-SPOT"


def other_bytes(leaf: Leaf) -> Leaf:
    return replace(leaf, data=bytes([leaf.data[0] ^ 1]) + leaf.data[1:])


def shorter(leaf: Leaf) -> Leaf:
    return replace(leaf, data=leaf.data[:-8])


def other_path(leaf: Leaf) -> Leaf:
    return replace(leaf, path=(bytes(32), *leaf.path[1:]))


def other_index(leaf: Leaf) -> Leaf:
    return replace(leaf, index=2 - leaf.index)


@pytest.mark.parametrize("change", [other_bytes, shorter, other_path, other_index])
def test_a_leaf_that_its_owner_did_not_sign_is_refused(handed: Handed, change: Callable[[Leaf], Leaf]) -> None:
    first, *rest = handed.found["node-01"]
    handed.found["node-01"] = (change(first), *rest)
    with pytest.raises(VerificationFailed):
        handed.check()


def test_a_member_left_out_and_answers_too_few_are_refused(handed: Handed) -> None:
    kept = handed.found.pop("node-01")
    with pytest.raises(VerificationFailed, match="of node-01 was not handed out"):
        handed.check()
    handed.found["node-01"] = kept
    handed.made.transcript = replace(handed.made.transcript, answers=handed.made.transcript.answers[:2])
    with pytest.raises(VerificationFailed, match="cannot be recomputed"):
        handed.check()


def test_leaves_that_do_not_exist_or_are_too_many_are_not_handed_out(handed: Handed) -> None:
    manifest, data = handed.made.manifest, handed.made.uploads["node-00"]
    tree = spot.tree_of(manifest, data)
    for asked in ((3,), (-1,), (0,) * 25):
        with pytest.raises(BadInput, match="leaves"):
            spot.leaves(manifest, data, tree, asked)


def test_every_leaf_is_drawn_as_often_as_any_other() -> None:
    manifest = propose(make(4, parameters=200_000))
    total, rng = spot.leaves_in(manifest), counted_rng(b"often")
    counts = [0] * total
    for _ in range(2000):
        for index in spot.draw(manifest, rng, 2):
            counts[index] += 1
    expected = 4000 / total
    # Chi-square with 17 degrees of freedom: 41 has a chance of 0.1 %; the generator is fixed, so this never wavers.
    assert sum((count - expected) ** 2 / expected for count in counts) < 41
