"""Slots in plaintexts: exact for every number of members and at every extreme, leaves as the design says."""

import numpy as np
import pytest
from msgspec.structs import replace

from secagg.errors import BadInput, ProtocolViolation
from secagg.log.tree import leaf_hash, root
from secagg.protocol.custody import readers
from secagg.protocol.lanes import Groups, decode_sums, packing
from secagg.protocol.manifest import LaneGroup, Manifest, Scalar, lane_groups
from secagg.protocol.paillier.layout import LEAF_CIPHERTEXTS, Layout
from secagg.rehearsal.entrusted import propose
from support.entrusted import alone, make
from support.federation import lane

MANIFEST = propose(make(4))


def of(members: int, bits: int, count: int = 70, scalars: tuple[Scalar, ...] = (Scalar("x", 2**40),)) -> Manifest:
    """Return the manifest of a job of that many members, as far as slots are concerned."""
    spec = replace(make(4).nodes.spec, lanes=(lane(count, bits),), scalars=scalars)
    seats = tuple(replace(MANIFEST.members[0], name=f"node-{index}") for index in range(members))
    return replace(MANIFEST, members=seats, groups=lane_groups(spec, members), scalars=scalars, lanes=spec.lanes)


def words(manifest: Manifest, update: int, scalar: int) -> Groups:
    """Return one member's words: every value `update`, every scalar `scalar`, canaries in place."""
    found = {}
    for group, value in zip(manifest.groups, (scalar, update), strict=True):
        slots = np.full(group.count, value, dtype=np.int64 if group.layout == "lane64" else np.uint64)
        slots[0] = 1
        found[group.name] = packing(group).pack(slots)
    return found


@pytest.mark.parametrize("members", [*range(1, 33), 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 1000, 1024])
@pytest.mark.parametrize("bits", [2, 16, 31, 64])
def test_sums_of_extremes_are_exact(members: int, bits: int) -> None:
    manifest = of(members, bits)
    layout = Layout(manifest)
    half = 2**62 // members if bits == 64 else 0
    ends = (-half + 1, half - 1) if half else (0, 2**bits - 1)
    bound = 2**40
    for low in {0, 1, members // 2, members - 1, members}:
        high = members - low
        least, most = (layout.pack(words(manifest, end, sign * bound)) for end, sign in zip(ends, (-1, 1), strict=True))
        found = layout.unpack([low * a + high * b for a, b in zip(least, most, strict=True)], members)
        wanted = [(high - low) * bound, low * ends[0] + high * ends[1]]
        for group, total in zip(manifest.groups, wanted, strict=True):
            slots = packing(group).unpack(found[group.name])
            assert int(slots[0]) == members
            assert {int(slot) for slot in slots[1:]} == {total}


def test_sums_of_fewer_members_than_there_is_room_for() -> None:
    manifest = of(9, 16)
    layout = Layout(manifest)
    packed = layout.pack(words(manifest, 65_535, -5))
    found = layout.unpack([3 * one for one in packed], 3)
    sums = decode_sums(manifest, found, 3)
    assert sums.scalars == {"x": -15.0}
    assert packing(manifest.groups[1]).unpack(found["update"])[1:].tolist() == [3 * 65_535] * 70


@pytest.mark.parametrize("value", [2**16, 2**18 - 1])
def test_a_value_beyond_its_bits_is_refused_before_encryption(value: int) -> None:
    manifest = of(4, 16)
    with pytest.raises(BadInput, match="does not fit its 16 bits"):
        Layout(manifest).pack(words(manifest, value, 0))


@pytest.mark.parametrize("scalar", [2**61, -(2**61) - 1, 2**63 - 1, -(2**63)])
def test_a_scalar_that_could_reach_its_neighbour_is_refused(scalar: int) -> None:
    manifest = of(4, 16)
    with pytest.raises(BadInput, match="does not fit its 62 bits"):
        Layout(manifest).pack(words(manifest, 0, scalar))


def test_a_sum_that_no_honest_members_have_is_refused() -> None:
    manifest = of(4, 16)
    layout = Layout(manifest)
    packed = layout.pack(words(manifest, 65_535, 0))
    with pytest.raises(ProtocolViolation) as caught:
        layout.unpack([3 * one for one in packed], 2)
    assert caught.value.rule == "paillier.slots"
    with pytest.raises(ProtocolViolation) as caught:
        layout.unpack(packed, 5)
    assert caught.value.rule == "paillier.summands"


def test_a_metric_without_room_is_refused_with_the_job() -> None:
    assert of(1024, 16, scalars=(Scalar("x", 2**53 - 1),)).groups[0].value_bits == 54
    with pytest.raises(BadInput, match="leaves no room for 1025 members"):
        of(1025, 16, scalars=(Scalar("x", 2**53 - 1),))


@pytest.mark.parametrize(("s", "per_word"), [(1, 511 // 18), (2, 1023 // 18), (3, 1535 // 18)])
def test_as_many_slots_in_a_word_as_fit(s: int, per_word: int) -> None:
    manifest = propose(alone(4, s=s, parameters=200))
    layout = Layout(manifest)
    scalars, update = -(-4 // ((512 * s - 1) // 64)), -(-201 // per_word)
    assert layout.ciphertexts == scalars + update
    assert layout.upload_bytes == (scalars + update) * 64 * (s + 1)


def test_leaves_are_32_ciphertexts_of_one_group() -> None:
    manifest = propose(make(4, parameters=28 * 70 - 1))
    layout = Layout(manifest)
    data = bytes(index % 251 for index in range(layout.upload_bytes))
    width, scalars = 128, 1
    starts = [0, *range(scalars * width, len(data), LEAF_CIPHERTEXTS * width)]
    leaves = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    assert layout.ciphertexts == 1 + 70
    assert [bytes(leaf) for leaf in layout.leaves(data)] == leaves
    assert layout.root(data) == root([leaf_hash(leaf) for leaf in leaves])


def test_groups_that_fit_no_word_are_refused() -> None:
    wide = LaneGroup("update", "lane64", 64, 64, 5)
    with pytest.raises(ProtocolViolation) as caught:
        Layout(replace(MANIFEST, groups=(wide,)))
    assert caught.value.rule == "manifest.groups"


def test_who_can_read_what_is_said_in_words() -> None:
    assert readers(alone(4).custody) == "ana alone holds the whole key and can read every single update."
    said = readers(make(4, trustees=5, threshold=4, colluders=1).custody)
    assert said == "Any 4 of ana, ben, cyd, dan, eve together can read every single update."
    assert readers(make(4).custody).endswith("One dishonest trustee can help to open two sums of one round.")
