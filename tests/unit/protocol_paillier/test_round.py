"""Whole rounds in process: the sum is the integer sum, bit for bit, whoever drops out; or nothing is released."""

from collections.abc import Mapping
from itertools import combinations, product

import numpy as np
import pytest

from secagg.crypto.paillier.keys import Profile
from secagg.errors import Refused, VerificationFailed
from secagg.log.statements import Contributors, DropOut, Opening, Result, parse_statement
from secagg.protocol.acceptance import Policy
from secagg.protocol.lanes import Groups, packing
from secagg.protocol.paillier.verify import recompute
from secagg.protocol.round.events import FromNode
from secagg.protocol.round.phases import Closed, Failed
from secagg.rehearsal.entrusted import Entrusted, Rehearsal, propose, table
from secagg.rehearsal.entrusted import member as seat_member
from secagg.rehearsal.run import run_round
from secagg.vector.codec import Fixed, code_bits
from support.entrusted import TRUSTEES, alone, make, play
from support.federation import inputs_of, reference

NODES = tuple(f"node-{index:02d}" for index in range(4))
STEPS = ("Attend", "Witness", "Decrypt")


def exact(end: Closed | Failed, inputs: Mapping[str, Groups], contributors: tuple[str, ...]) -> None:
    assert isinstance(end, Closed)
    assert end.published.contributors == contributors
    assert {group.name: group.words for group in end.published.groups} == reference(inputs, contributors)


def statements(played: Rehearsal) -> list[object]:
    return [parse_statement(played.log.leaf(index))[0] for index in range(played.log.size)]


@pytest.mark.parametrize("gone", [set for size in range(5) for set in combinations(NODES, size)])
def test_every_pattern_of_absent_members(gone: tuple[str, ...]) -> None:
    end, inputs, played = play(make(4), dict.fromkeys(gone, "EncryptedInput"))
    left = tuple(name for name in NODES if name not in gone)
    if len(left) >= 3:
        exact(end, inputs, left)
    else:
        assert isinstance(end, Failed)
        assert end.step == "EncryptedInput"
        assert not any(isinstance(item, FromNode) and item.kind in ("Witness", "Decrypt") for item in played.wire)
    dropped = [(said.member, said.step) for said in statements(played) if isinstance(said, DropOut)]
    assert dropped == [(name, "EncryptedInput") for name in gone]


@pytest.mark.parametrize("steps", list(product((None, *STEPS), repeat=3)))
def test_every_pattern_of_absent_trustees(steps: tuple[str | None, ...]) -> None:
    drops = {name: step for name, step in zip(TRUSTEES, steps, strict=False) if step}
    end, inputs, _ = play(make(4), drops)
    there = [sum(step is None or STEPS.index(step) > index for step in steps) for index in range(3)]
    if there[2] >= 2:
        exact(end, inputs, NODES)
    else:
        failed = ("EncryptedInput", "Witness", "Decrypt")[next(index for index in range(3) if there[index] < 2)]
        assert isinstance(end, Failed)
        assert end.step == failed


@pytest.mark.parametrize("gone", [set for size in range(4) for set in combinations(TRUSTEES[:5], size)])
@pytest.mark.parametrize("step", STEPS)
def test_three_of_five(gone: tuple[str, ...], step: str) -> None:
    end, inputs, _ = play(make(4, trustees=5, threshold=3), dict.fromkeys(gone, step))
    if len(gone) <= 2:
        exact(end, inputs, NODES)
    else:
        assert isinstance(end, Failed)


@pytest.mark.parametrize(("m", "c", "t"), [(5, 1, 4), (7, 2, 5)])
def test_the_numbers_of_the_design(m: int, c: int, t: int) -> None:
    entrusted = make(4, trustees=m, threshold=t, colluders=c)
    end, inputs, _ = play(entrusted, dict.fromkeys(TRUSTEES[: m - t], "Decrypt"))
    exact(end, inputs, NODES)
    end, inputs, _ = play(entrusted, dict.fromkeys(TRUSTEES[: m - t + 1], "Decrypt"))
    assert isinstance(end, Failed)


def extremes(entrusted: Entrusted, pattern: int) -> dict[str, Groups]:
    """Return inputs at the ends of every lane: member i at the upper end where bit i of `pattern` is set."""
    manifest, found = propose(entrusted), {}
    for index, name in enumerate(manifest.names()):
        high, groups = pattern >> index & 1, {}
        for group in manifest.groups:
            slots = np.zeros(group.count, dtype=np.int64 if group.layout == "lane64" else np.uint64)
            if group.name == "scalars":
                slots[1:] = [(lane.bound if high else -lane.bound) for lane in manifest.scalars]
            elif isinstance(manifest.lanes[0].codec, Fixed):
                slots[1:] = (2**62 // len(manifest.members) - 1) * (1 if high else -1)
            else:
                slots[1:] = (2**code_bits(manifest.lanes[0].codec) - 1) * high
            slots[0] = 1
            groups[group.name] = packing(group).pack(slots)
        found[name] = groups
    return found


@pytest.mark.parametrize("count", range(3, 11))
def test_extremes_of_every_small_number_of_members(count: int) -> None:
    entrusted = make(count, parameters=61)
    for pattern in (0, 2**count - 1, 0b0101010101 & (2**count - 1)):
        inputs = extremes(entrusted, pattern)
        exact(play(entrusted, words=inputs)[0], inputs, tuple(entrusted.nodes.members))


@pytest.mark.parametrize("bits", [2, 3, 12, 20, 24, 31, 64])
def test_every_width_of_values(bits: int) -> None:
    entrusted = make(5, parameters=40, bits=bits)
    for pattern in (0, 31, 0b10110):
        inputs = extremes(entrusted, pattern)
        exact(play(entrusted, words=inputs)[0], inputs, tuple(entrusted.nodes.members))


@pytest.mark.parametrize("profile", ["provable", "fast"])
@pytest.mark.parametrize("s", [1, 2, 3])
def test_a_single_holder(profile: Profile, s: int) -> None:
    entrusted = alone(4, profile, s)
    end, inputs, _ = play(entrusted)
    exact(end, inputs, NODES)
    end, inputs, _ = play(entrusted, {"node-02": "EncryptedInput"})
    exact(end, inputs, ("node-00", "node-01", "node-03"))
    end, _, _ = play(entrusted, {"ana": "Decrypt"})
    assert isinstance(end, Failed)


def test_what_the_log_says_of_a_round() -> None:
    end, _, played = play(make(4), {"node-01": "EncryptedInput", "cyd": "Attend"})
    assert isinstance(end, Closed)
    said = statements(played)
    kinds = [type(one).__name__ for one in said]
    assert kinds == ["ManifestLogged", "DropOut", "Contributors", "DropOut", "Opening", "Result"]
    frozen = next(one for one in said if isinstance(one, Contributors))
    assert [entry.member for entry in frozen.members] == ["node-00", "node-02", "node-03"]
    assert frozen.u3 in played.files
    opening = next(one for one in said if isinstance(one, Opening))
    assert [answer.member for answer in opening.answers] == ["ana", "ben"]
    assert all(answer.digest in played.files for answer in opening.answers)
    assert {opening.signatures, opening.witnesses} <= set(played.files)
    result = next(one for one in said if isinstance(one, Result))
    assert result.contributors == ("node-00", "node-02", "node-03")


def test_trustees_of_whom_none_may_collude_need_a_person_who_allows_it() -> None:
    entrusted = make(4)
    strict = Policy(engines=("paillier",), exact_counts=True, min_key_bits=512)
    members = {name: seat_member(entrusted, name, policy=strict) for name in NODES}
    with pytest.raises(Refused) as caught:
        run_round(table(entrusted, inputs_of(entrusted.nodes, propose(entrusted)), parties=members))
    assert caught.value.rule == "custody.trial"


def test_an_institution_may_ask_for_longer_keys() -> None:
    entrusted = make(4)
    strict = Policy(engines=("paillier",), exact_counts=True, allow_trials=True)
    members = {name: seat_member(entrusted, name, policy=strict) for name in NODES}
    with pytest.raises(Refused) as caught:
        run_round(table(entrusted, inputs_of(entrusted.nodes, propose(entrusted)), parties=members))
    assert caught.value.rule == "custody.bits"


@pytest.mark.slow
def test_an_answer_that_is_longer_than_a_message_comes_in_pieces() -> None:
    entrusted = make(3, parameters=190_000)
    end, inputs, played = play(entrusted)
    exact(end, inputs, tuple(entrusted.nodes.members))
    sent = [item for item in played.wire if isinstance(item, FromNode) and item.kind == "Decrypt"]
    assert sorted(item.sender for item in sent) == ["ana", "ana", "ben", "ben", "cyd", "cyd"]
    assert max(len(item.data) for item in sent) < 2**20
    opening = next(one for one in statements(played) if isinstance(one, Opening))
    assert [answer.member for answer in opening.answers] == ["ana", "ana", "ben", "ben"]
    proposed = next(data for data in played.files.values() if len(data) < 20_000)
    digests = [played.files[answer.digest] for answer in opening.answers]
    frozen = next(one for one in statements(played) if isinstance(one, Contributors))
    aggregator = entrusted.nodes.aggregator.public
    again = recompute(proposed, played.files[frozen.u3], digests, played.uploads.__getitem__, aggregator)
    assert {name: words.tobytes() for name, words in again.items()} == reference(inputs, tuple(entrusted.nodes.members))
    for broken in (digests[1:], digests[::-1], digests[:3], [digests[0], *digests[2:]]):
        with pytest.raises(VerificationFailed):
            recompute(proposed, played.files[frozen.u3], broken, played.uploads.__getitem__, aggregator)
