"""Row 35: a sparse graph ground by whoever draws it: values are committed, everybody opens, three redraws at most."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from secagg.errors import Refused
from secagg.protocol.masks import graph
from secagg.protocol.masks.dealing import tree_of
from secagg.protocol.masks.messages import Beacons, DeliverShares, Freeze, OpenBeacon, ShareKeys, ShareList
from secagg.protocol.masks.phases import Drawing, Shared, Uploaded
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed, sign
from support.adversary import Scene, stop_before
from support.federation import BEARS, sparse

LIMIT = 2**26
VICTIM = "node-00"
Entries = list[Signed]


def reached(kind: str) -> Scene:
    return stop_before(kind, VICTIM, federation=sparse(), policy=BEARS)


def resigned(scene: Scene, entry: Signed, **changes: object) -> Signed:
    """Return a colluding member's beacon with other content, signed by it."""
    body = replace(decode(OpenBeacon, entry.body), **changes)
    key = scene.federation.members[entry.sender]
    return sign(key, "OpenBeacon", scene.scope, entry.sender, "*", encode(body))


def without_victim(_: Scene, entries: Entries) -> Entries:
    return [entry for entry in entries if entry.sender != VICTIM]


def chosen_late(scene: Scene, entries: Entries) -> Entries:
    return [*entries[:1], resigned(scene, entries[1], value=bytes(32)), *entries[2:]]


def of_another_draw(scene: Scene, entries: Entries) -> Entries:
    return [*entries[:1], resigned(scene, entries[1], after=bytes(32)), *entries[2:]]


def too_few(_: Scene, entries: Entries) -> Entries:
    return entries[:5]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (without_victim, "beacon.self"),
        (chosen_late, "beacon.commitment"),
        (of_another_draw, "beacon.draw"),
        (too_few, "beacon.enough"),
    ],
)
def test_a_list_of_beacons_that_was_bent_is_refused(change: Callable[[Scene, Entries], Entries], rule: str) -> None:
    scene = reached("Beacons")
    entries = list(decode(tuple[Signed, ...], scene.body(Beacons).beacons, LIMIT))
    with pytest.raises(Refused) as caught:
        scene.show(Beacons(encode(tuple(change(scene, entries)))))
    assert caught.value.rule == rule


def test_after_three_redraws_nobody_draws_again() -> None:
    scene = reached("Beacons")
    entries = list(decode(tuple[Signed, ...], scene.body(Beacons).beacons, LIMIT))
    chains = {name: _chain(scene, name) for name in scene.federation.members}
    for draw in range(graph.REDRAWS):
        # One colluding member after the other stays away, because the graph does not please the aggregator.
        entries = entries[:-1]
        scene.show(Beacons(encode(tuple(entries))))
        phase = scene.party.phase
        assert isinstance(phase, Drawing)
        assert phase.draw == draw + 1
        entries = [
            phase.own if entry.sender == VICTIM
            else resigned(
                scene, entry, draw=phase.draw, after=phase.after,
                value=graph.opening(chains[entry.sender], scene.scope, entry.sender, phase.draw),
            )
            for entry in entries
        ]  # fmt: skip
    with pytest.raises(Refused) as caught:
        scene.show(Beacons(encode(tuple(entries[:-1]))))
    assert caught.value.rule == "beacon.redraws"
    # With everybody there, the last draw stands.
    assert isinstance(scene.show(Beacons(encode(tuple(entries)))).phase, Shared)


def _chain(scene: Scene, name: str) -> bytes:
    phase = scene.table.parties[name].phase
    assert isinstance(phase, Drawing)
    return phase.chain


def test_a_member_that_was_out_does_not_come_back() -> None:
    scene = reached("Beacons")
    entries = list(decode(tuple[Signed, ...], scene.body(Beacons).beacons, LIMIT))
    scene.show(Beacons(encode(tuple(entries[:-1]))))
    phase = scene.party.phase
    assert isinstance(phase, Drawing)
    again = [
        phase.own if entry.sender == VICTIM
        else resigned(
            scene, entry, draw=1, after=phase.after,
            value=graph.opening(_chain(scene, entry.sender), scene.scope, entry.sender, 1),
        )
        for entry in entries
    ]  # fmt: skip
    with pytest.raises(Refused) as caught:
        scene.show(Beacons(encode(tuple(again))))
    assert caught.value.rule == "beacon.subset"


def test_shares_dealt_outside_the_drawn_neighbourhood_are_refused() -> None:
    """A dealer that put one more receiver into its tree: a leaf has another place there than the graph says."""
    scene = reached("DeliverShares")
    honest = scene.body(DeliverShares)
    entries = list(decode(tuple[Signed, ...], honest.u2, LIMIT))
    name = honest.pieces[0].sender
    at = next(at for at, entry in enumerate(entries) if entry.sender == name)
    dealt = next(
        body for item in scene.captured("ShareKeys") if item.sender == name
        for body in (decode(ShareKeys, item.data, LIMIT),)
    )  # fmt: skip
    tree = tree_of(name, (replace(dealt.leaves[0], x=1000), *dealt.leaves))
    mine = 1 + next(at for at, leaf in enumerate(dealt.leaves) if leaf == honest.pieces[0].leaf)
    bent = encode(replace(decode(ShareList, entries[at].body, LIMIT), root=tree.root()))
    entries[at] = sign(scene.federation.members[name], "ShareKeys", scene.scope, name, "*", bent)
    pieces = (replace(honest.pieces[0], path=tree.inclusion(mine, tree.size)), *honest.pieces[1:])
    with pytest.raises(Refused) as caught:
        scene.show(DeliverShares(encode(tuple(entries)), pieces))
    assert caught.value.rule == "u2.leaf"


def test_a_frozen_set_that_leaves_out_a_neighbourhood_is_refused() -> None:
    """A server may declare chosen members dropped; a member all but alone in its neighbourhood takes no part."""
    scene = reached("Freeze")
    honest, phase = scene.body(Freeze), scene.party.phase
    assert isinstance(phase, Uploaded)
    near = {held.owner for held in phase.held} - {VICTIM}
    entries = [entry for entry in decode(tuple[Signed, ...], honest.u3, LIMIT) if entry.sender not in near]
    with pytest.raises(Refused) as caught:
        scene.show(replace(honest, u3=encode(tuple(entries))))
    assert caught.value.rule == "u3.neighbours"
