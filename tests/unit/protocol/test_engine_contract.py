"""What every engine of the table keeps to, asked through its sides alone, as the daemons ask it.

A new engine passes these tests with its folder and its line in the table: as the toy engine of the tests does.
"""

from pathlib import Path

import numpy as np
import pytest

from secagg.crypto.derive import sha256
from secagg.errors import ProtocolViolation, Refused, SecaggError, VerificationFailed
from secagg.ids import EVERYBODY
from secagg.log.statements import Aborted, Contributors, DropOut, Opening, Result
from secagg.protocol import engines
from secagg.protocol.acceptance import Policy
from secagg.protocol.engines import ENGINES, load
from secagg.protocol.lanes import Groups, packing
from secagg.protocol.manifest import Published
from secagg.protocol.published import words_of
from secagg.protocol.round.asked import Stage
from secagg.protocol.round.events import Deadline, FromNode
from secagg.protocol.round.lists import senders
from secagg.protocol.round.messages import Refuse
from secagg.protocol.round.phases import Closed, Common, Failed, Proposing
from secagg.rehearsal.federation import START_OF_TIME, party, propose
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.adversary import proposal_of
from support.federation import make
from support.playing import MEMBERS, Round, seat

NAMES = (*ENGINES, "toy")


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that an engine needs beside its folder."""
    monkeypatch.setitem(ENGINES, "toy", "support.toy_engine")


@pytest.fixture(params=NAMES)
def played(request: pytest.FixtureRequest, tmp_path: Path) -> Round:
    """An honest round of each engine, before it begins."""
    return seat(request.param, tmp_path)


def closed(played: Round) -> Closed:
    end = played.play()
    assert isinstance(end, Closed), end
    return end


def slots(played: Round, groups: Groups) -> dict[str, list[int]]:
    return {group.name: packing(group).unpack(groups[group.name]).tolist() for group in played.manifest.groups}


def summed(played: Round, names: tuple[str, ...]) -> dict[str, list[int]]:
    """The plain sum of the members' slots, in integers."""
    given = [slots(played, played.inputs[name]) for name in names]
    return {
        group.name: [sum(column) % 2**64 for column in zip(*(one[group.name] for one in given), strict=True)]
        for group in played.manifest.groups
    }


def published_words(played: Round, published: Published) -> dict[str, list[int]]:
    words = words_of(published, played.manifest.groups, played.manifest.names(), played.manifest.round)
    return {name: [value % 2**64 for value in values] for name, values in slots(played, words).items()}


def stated(played: Round, kind: type) -> list[object]:
    return [statement for statement in played.said if isinstance(statement, kind)]


def test_an_honest_round_publishes_the_sum_of_all(played: Round) -> None:
    end = closed(played)
    assert end.published.contributors == played.manifest.names()
    assert published_words(played, end.published) == summed(played, played.manifest.names())
    assert len(stated(played, Result)) == 1
    assert not end.out


def test_phases_come_in_the_order_of_a_round(played: Round) -> None:
    """Who carries a round out goes by its stages alone: it is proposed, gathers, freezes once, opens, ends."""
    closed(played)
    order = [Stage.PROPOSES, Stage.GATHERS, Stage.OPENS]
    first = [next(at for at, stage in enumerate(played.stages) if one in stage) for one in order]
    assert first == sorted(first)
    lists = [listed for phase in played.phases if (listed := played.engine.sums.frozen(phase)) is not None]
    assert [senders(listed) for listed in set(lists)] == [played.manifest.names()]
    assert played.stages[-1] == Stage.NOTHING
    opens = next(phase for phase, stage in zip(played.phases, played.stages, strict=True) if Stage.OPENS in stage)
    assert isinstance(opens, Common)
    assert played.engine.sums.list_of(opens) == lists[0]


def test_what_a_set_was_agreed_with_is_kept_for_whoever_asks_afterwards(played: Round) -> None:
    """A member that heard no end asks for the set, and is shown side files."""
    closed(played)
    shown = [found for phase in played.phases if (found := played.engine.sums.agreed(phase)) is not None]
    assert shown
    for before, listed, agreements in shown:
        assert senders(listed) == played.manifest.names()
        parts = [part for part in (before, listed, encode(agreements)) if part]
        assert all(played.files[sha256(part).hex()] == part for part in parts)


def test_below_the_least_contributors_nothing_is_opened(played: Round) -> None:
    played.drop = frozenset(played.manifest.names()[: MEMBERS - played.manifest.needed + 1])
    end = played.play()
    assert isinstance(end, Failed)
    assert {entry.member for entry in end.out} == played.drop
    assert (len(stated(played, Aborted)), stated(played, Result), stated(played, Contributors)) == (1, [], [])


def test_who_is_silent_is_left_out_and_stated(played: Round) -> None:
    silent = played.manifest.names()[-1]
    played.drop = frozenset({silent})
    end = closed(played)
    rest = played.manifest.names()[:-1]
    assert end.published.contributors == rest
    assert published_words(played, end.published) == summed(played, rest)
    assert [statement.member for statement in stated(played, DropOut)] == [silent]  # type: ignore[attr-defined]


def test_who_refuses_is_not_waited_for(played: Round) -> None:
    leaving = played.manifest.names()[0]
    played.drop = frozenset({leaving})
    phase, sums = played.reach(Stage.PROPOSES), played.engine.sums
    assert leaving in sums.waiting_for(phase)
    key = played.federation.members[leaving]
    signed = sign(key, "Refuse", played.scope, leaving, EVERYBODY, encode(Refuse("manifest.model")))
    after = sums.advance(phase, FromNode(leaving, "Refuse", encode(signed)), played.keeper).phase
    assert isinstance(after, Common)
    assert leaving not in sums.waiting_for(after)
    assert [(entry.member, entry.reason) for entry in after.out] == [(leaving, "refused: manifest.model")]


def test_what_is_not_legal_changes_nothing(played: Round) -> None:
    """A header before anything was proposed; a message that is none; another engine's phase."""
    sums = played.engine.sums
    turned = sums.start(played.manifest, (), played.keeper)
    assert isinstance(turned.phase, Proposing)
    for kind in (sums.UPLOAD, "Whatever"):
        with pytest.raises(ProtocolViolation) as caught:
            sums.advance(turned.phase, FromNode("node-00", kind, b""), played.keeper)
        assert caught.value.rule == "phase.message"
    with pytest.raises(ProtocolViolation):
        sums.list_of(turned.phase)
    with pytest.raises(ProtocolViolation):
        sums.uploaded(turned.phase)
    assert sums.advance(turned.phase, Deadline("whatever"), played.keeper).phase == turned.phase


def test_a_header_of_another_member_is_refused(played: Round) -> None:
    """Whose message it is says its signature and the link, and both have to say the same."""
    played.drop = frozenset({played.manifest.names()[1]})
    phase, sums = played.reach(Stage.GATHERS), played.engine.sums
    while not any(isinstance(one, FromNode) and one.kind == sums.UPLOAD for one in played.sent):
        played.step()
    mine = next(one for one in played.sent if isinstance(one, FromNode) and one.kind == sums.UPLOAD)
    with pytest.raises(SecaggError):
        sums.check_header(phase, FromNode(played.manifest.names()[1], mine.kind, mine.data))


def test_an_upload_is_what_its_header_says(played: Round) -> None:
    end, sums = closed(played), played.engine.sums
    for name in end.published.contributors:
        data = played.uploads[name]
        assert len(data) == sums.upload_bytes(played.manifest)
        bent = bytes([data[0] ^ 1]) + data[1:]
        header = next(
            decode(Signed, one.data) for one in played.sent
            if isinstance(one, FromNode) and (one.sender, one.kind) == (name, sums.UPLOAD)
        )  # fmt: skip
        gathering = next(
            phase for phase, stage in zip(played.phases, played.stages, strict=True) if Stage.GATHERS in stage
        )
        assert isinstance(gathering, Common)
        sums.verify(gathering, name, header, data)
        for wrong in (bent, data[:-8], data + bytes(8)):
            with pytest.raises(ProtocolViolation):
                sums.verify(gathering, name, header, wrong)


def test_a_sum_is_opened_again_after_a_restart(played: Round) -> None:
    """The effect that asked for it is lost, and the phase has all that it takes."""
    phase = played.reach(Stage.OPENS)
    event = played.opened()
    after = played.engine.sums.advance(phase, event, played.keeper).phase
    assert isinstance(after, Common)
    played.queue.clear()
    played._turned(after, played.engine.sums.advance(phase, event, played.keeper).effects)
    while not isinstance(end := played.phase, Closed | Failed):
        played.step()
    assert isinstance(end, Closed)
    assert published_words(played, end.published) == summed(played, played.manifest.names())


def test_a_round_that_cannot_be_opened_ends_without_a_result(played: Round) -> None:
    phase = played.reach(Stage.OPENS)
    turned = played.engine.sums.failed(phase, "the disk is full", START_OF_TIME)
    assert isinstance(turned.phase, Failed)
    assert (turned.phase.step, turned.phase.reason) == (played.engine.sums.OPENING, "the disk is full")
    assert len(turned.effects) == 1


def test_an_auditor_gets_the_same_words_from_the_files(played: Round) -> None:
    end = closed(played)
    frozen, = stated(played, Contributors)
    assert isinstance(frozen, Contributors)
    opened = stated(played, Opening)
    answers = [
        played.files[answer.digest] for one in opened for answer in one.answers  # type: ignore[attr-defined]
    ]  # fmt: skip
    signed = next(data for data in played.files.values() if _is_manifest(data))
    audit, key = played.engine.audit, played.keeper.key.public
    words = audit.recompute_frozen(
        signed, frozen, played.files.__getitem__, answers, played.uploads.__getitem__, key
    )
    given = {group.name: np.frombuffer(group.words, np.uint8) for group in end.published.groups}
    assert {name: np.ascontiguousarray(one).tobytes() for name, one in words.items()} == {
        name: one.tobytes() for name, one in given.items()
    }
    name = end.published.contributors[1]
    data = played.uploads[name]
    bent = {**played.uploads, name: data[:-1] + bytes([data[-1] ^ 1])}
    with pytest.raises(VerificationFailed):
        audit.recompute_frozen(signed, frozen, played.files.__getitem__, answers, bent.__getitem__, key)


def _is_manifest(data: bytes) -> bool:
    try:
        return decode(Signed, data, LIMIT_BULK).kind == "Manifest"
    except SecaggError:
        return False


def test_everybody_reads_the_same_of_a_list(played: Round) -> None:
    """What headers say of their inputs is one thing to the aggregator and to an auditor."""
    closed(played)
    listed = next(found for phase in played.phases if (found := played.engine.sums.frozen(phase)) is not None)
    bounds = played.engine.audit.bounds(listed, played.manifest, played.scope)
    assert bounds == played.engine.sums.bounds(listed)
    assert tuple(bounds) == played.manifest.names()
    missing = played.manifest.names()[:1]
    for side in (played.engine.sums.opened, played.engine.audit.answered):
        assert set(side(played.manifest, played.manifest.names(), missing)) <= set(played.manifest.names())


def test_every_message_to_a_member_has_its_answer(played: Round) -> None:
    """The step that a drill names: what a member says next is of the step that the engine's table tells."""
    closed(played)
    answers, pending = played.engine.member.ANSWERS, dict[str, str]()
    for one in played.sent:
        if isinstance(one, FromNode) and one.sender in played.nodes:
            assert one.kind == pending[one.sender]
        elif not isinstance(one, FromNode) and one.to in played.nodes:
            pending[one.to] = answers[one.kind]


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_of_a_job_fit_its_cohort(name: str, tmp_path: Path) -> None:
    played = seat(name, tmp_path)
    spec, terms = played.federation.spec, load(name).terms
    found = terms.numbers(spec, played.federation.colluders)
    assert 1 <= found.k_min <= MEMBERS
    assert found.k_min <= load(name).audit.least(played.manifest, played.federation.colluders)
    assert (found.threshold, found.k_min) == (played.manifest.threshold, played.manifest.k_min)
    # A lane group may be filled up to whole words.
    assert 0 <= load(name).sums.upload_bytes(played.manifest) - terms.upload_bytes_of(spec) < 64


def test_an_engine_that_the_policy_does_not_name_gets_nothing() -> None:
    federation = make(MEMBERS, engine="toy")
    seated = party(federation, "node-00", policy=Policy(engines=("masks",)))
    with pytest.raises(Refused) as caught:
        load("toy").member.start(proposal_of(federation, propose(federation)), seated.ctx)
    assert caught.value.rule == "policy.engines"
    assert not seated.notebook.records


def test_only_engines_with_trustees_have_an_opener() -> None:
    assert {name for name in NAMES if load(name).opener} == set(engines.ENTRUSTED)
