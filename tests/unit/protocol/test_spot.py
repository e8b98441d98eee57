"""Spot checks: what is handed out for an honest round holds, and every lie about a drawn leaf is found."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from msgspec.structs import replace

from secagg.errors import BadInput, VerificationFailed
from secagg.ids import EVERYBODY
from secagg.protocol.lanes import packing, runs, upload_root
from secagg.protocol.manifest import Published
from secagg.protocol.masks import spot
from secagg.protocol.masks.messages import MaskedInput
from secagg.protocol.masks.rounds import Unmasking
from secagg.protocol.masks.spot import Transcript, transcript_of
from secagg.protocol.round import spots
from secagg.protocol.round.events import Effect, Event
from secagg.protocol.round.phases import Closed
from secagg.protocol.round.spots import Leaf, frozen_entry
from secagg.rehearsal.federation import propose, table
from secagg.rehearsal.run import Table, run_round
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed, sign
from support.federation import counted_rng, inputs_of, make

PARAMETERS = 20_000
"""104 leaves of `update`, of 512 bytes, and one of `scalars`."""


class Kept(Table):
    """A table that keeps what opened the round."""

    transcript: Transcript

    def open_sum(self, asked: Effect | None = None) -> Event:
        phase = self.phase
        assert isinstance(phase, Unmasking)
        self.transcript = transcript_of(phase, frozen_entry(self.log.size, self.log.leaf, phase.scope))
        return super().open_sum(asked)


@dataclass
class Handed:
    """A closed round, and what its aggregator hands out for a check."""

    made: Kept
    published: Published
    indexes: tuple[int, ...]
    found: dict[str, tuple[Leaf, ...]]

    def check(self) -> None:
        manifest, phase, key = self.made.manifest, self.made.phase, self.made.keeper.key.public
        assert phase is not None
        transcript = encode(self.made.transcript)
        spot.check(manifest, phase.scope, key, transcript, self.published, self.indexes, self.found)


@pytest.fixture
def handed() -> Handed:
    federation = make(4, parameters=PARAMETERS)
    manifest = propose(federation)
    made = Kept(**vars(table(federation, inputs_of(federation, manifest), {"node-02": "MaskedInput"})))
    end = run_round(made)
    assert isinstance(end, Closed)
    indexes = spots.draw(manifest, counted_rng(b"draw"))
    found = {
        name: spots.leaves(manifest, data, spots.tree_of(manifest, data), indexes)
        for name, data in made.uploads.items()
    }
    return Handed(made, end.published, indexes, found)


def test_an_honest_round_holds(handed: Handed) -> None:
    manifest = handed.made.manifest
    assert spots.leaves_in(manifest) == 106
    # Four drawn and the first of the vector, and the only one of the scalars.
    assert len(handed.indexes) == 6
    assert {0, 105} <= set(handed.indexes)
    assert set(handed.found) == {"node-00", "node-01", "node-03"}
    handed.check()


def test_the_tree_is_the_one_whose_root_is_signed(handed: Handed) -> None:
    for data in handed.made.uploads.values():
        assert spots.tree_of(handed.made.manifest, data).root() == upload_root(handed.made.manifest, data)


def one_more(handed: Handed, group: str, word: int) -> Published:
    """Return the published result with another word."""
    groups = []
    for entry in handed.published.groups:
        words = np.frombuffer(entry.words, dtype=np.uint64).copy()
        if entry.name == group:
            words[word] += np.uint64(1)
        groups.append(replace(entry, words=words.tobytes()))
    return replace(handed.published, groups=tuple(groups))


def lies(handed: Handed, published: Published, match: str) -> None:
    """Check that this result is a lie that is found."""
    handed.published = published
    with pytest.raises(VerificationFailed, match=match) as caught:
        handed.check()
    assert caught.value.code == "E-SPOT"


@pytest.mark.parametrize(("group", "word", "leaf"), [("scalars", 1, 105), ("update", 63, 0)])
def test_a_lie_in_what_everybody_checks_is_found_and_the_leaf_named(
    handed: Handed, group: str, word: int, leaf: int
) -> None:
    lies(handed, one_more(handed, group, word), f"Leaf {leaf} of the published sum")


def test_a_lie_in_a_drawn_leaf_is_found_and_one_in_another_is_not(handed: Handed) -> None:
    honest = handed.published
    for index in range(1, 104):
        held = spots.part(handed.made.manifest, index)
        handed.published = honest
        handed.published = one_more(handed, "update", held.word + held.words - 1)
        if index in handed.indexes:
            lies(handed, handed.published, f"Leaf {index} of the published sum")
        else:
            handed.check()
    handed.published = honest
    handed.check()


def test_a_result_in_another_form_or_of_another_round_is_a_lie(handed: Handed) -> None:
    honest = handed.published
    first, last = honest.groups
    other = replace(honest, contributors=honest.contributors[:-1])
    for form in ((first, last, last), (first, first, last), (last, first), (first,)):
        lies(handed, replace(honest, groups=form), "does not hold exactly the lane groups of its job")
    short = replace(honest, groups=(first, replace(last, words=last.words[:-8])))
    lies(handed, short, "has another length in lane group update")
    for wrong in (other, replace(honest, manifest=bytes(32)), replace(honest, round=replace(honest.round, round=2))):
        lies(handed, wrong, "of another round or another set")


def test_lists_that_the_aggregator_did_not_freeze_prove_nothing(handed: Handed) -> None:
    """A member that signs a second header for another upload would otherwise show an honest sum as a lie."""
    made, member = handed.made, handed.made.parties["node-03"]
    assert made.phase is not None
    bent = {**made.uploads, "node-03": bytes(len(made.uploads["node-03"]))}
    scope, headers = made.phase.scope, list(decode(tuple[Signed, ...], made.transcript.u3))
    body = replace(decode(MaskedInput, headers[-1].body), upload=upload_root(made.manifest, bent["node-03"]))
    headers[-1] = sign(member.ctx.key, "MaskedInput", scope, "node-03", EVERYBODY, encode(body))
    made.transcript = replace(made.transcript, u3=encode(tuple(headers)))
    data = bent["node-03"]
    handed.found["node-03"] = spots.leaves(made.manifest, data, spots.tree_of(made.manifest, data), handed.indexes)
    with pytest.raises(VerificationFailed, match="not those that the aggregator froze") as caught:
        handed.check()
    assert caught.value.code != "E-SPOT"


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
    tree = spots.tree_of(manifest, data)
    for asked in ((106,), (-1,), (0, 0), (), tuple(range(65))):
        with pytest.raises(BadInput, match="leaves"):
            spots.leaves(manifest, data, tree, asked)


def test_every_leaf_is_drawn_as_often_as_any_other() -> None:
    manifest = propose(make(4, parameters=4_000))
    total, rng = spots.leaves_in(manifest) - 1, counted_rng(b"often")
    assert total == 21
    counts = [0] * total
    for _ in range(2000):
        drawn = spots.draw(manifest, rng, 2)
        assert {0, total} <= set(drawn)
        for index in drawn[1:-1]:
            counts[index] += 1
    # The first leaf is taken whatever was drawn, and is drawn as often as any other: then one of the two is seen.
    expected = 4000 / total
    # Chi-square with 19 degrees of freedom: 44 has a chance of 0.1 %; the generator is fixed, so this never wavers.
    assert sum((count - expected) ** 2 / expected for count in counts[1:]) < 44


@pytest.mark.parametrize(("parameters", "many"), [(7, 1), (191, 1), (192, 2), (700, 4), (768, 5)])
def test_a_small_group_is_checked_whole(parameters: int, many: int) -> None:
    manifest = propose(make(4, parameters=parameters))
    assert spots.leaves_in(manifest) == many + 1
    drawn = spots.draw(manifest, counted_rng(b"small"), 1)
    assert drawn == tuple(range(many + 1)) if many <= spots.FEW else len(drawn) in (2, 3)


@pytest.mark.parametrize(
    ("parameters", "bits", "leaf", "many"),
    [(7, 16, 512, 1), (20_000, 16, 512, 105), (100_000, 16, 1024, 261), (10**6, 16, 4096, 652), (10**6, 20, 3072, 977),
     (10**6, 64, 4096, 1954), (48_000, 20, 384, 376)],
)  # fmt: skip
def test_leaves_are_the_largest_of_which_a_group_has_256(parameters: int, bits: int, leaf: int, many: int) -> None:
    manifest = propose(make(10, parameters=parameters, bits=bits))
    update, scalars = runs(manifest)
    assert (update.leaf, update.many, scalars.leaf, scalars.many) == (leaf, many, 512, 1)
    assert update.first == update.start == 0
    assert (scalars.first, scalars.start) == (many, update.stop)
    # None ends within a word, and masks can begin at each: at a whole block of the key stream.
    for index in (1, many - 1):
        held = spots.part(manifest, index)
        assert held.word * packing(held.group).dtype().itemsize % 16 == 0
