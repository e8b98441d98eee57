"""Row 50 at trustees: a second sum of one input under another name of job or task, with one member less.

Real trustee services hear of two jobs over the same data. Headers name an input by its owner's keyed digest, whatever
job and task it stands in. What they opened once they open over that set again or not at all; only everybody's written
word lets them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import ProtocolViolation, Refused
from secagg.ids import NO_DIGEST
from secagg.log.statements import OverlapAllowed, SourceChanged, Statement, sign_statement
from secagg.protocol.binding import ANY, Bound, Only, seats_digest
from secagg.protocol.inputs import Counted, Given, Naming, rehearsed
from secagg.protocol.manifest import Manifest, Seat
from secagg.protocol.memory import Summed
from secagg.protocol.paillier import shell
from secagg.protocol.paillier.bound import check_inputs
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.protocol.paillier.phases import Decrypting
from secagg.protocol.paillier.rounds import Collecting
from secagg.protocol.round.events import FromNode
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.entrusted import Entrusted, member, propose, table
from secagg.rehearsal.federation import START_OF_TIME
from secagg.rehearsal.notebook import Notebook
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, sign
from support.chambers import Chamber
from support.entrusted import inputs, make
from support.malice import Scene, listed, stop_before

FOUR = ("node-00", "node-01", "node-02", "node-03")


def one_file(only: Only = ANY) -> Naming:
    """Return what members' ledgers give for a header while every job reads the same data: one tag each, always."""

    def given(manifest: Manifest, scope: Scope, name: str, past: Sequence[Counted] = ()) -> Given:
        bound = Bound(sha256(f"the data of {name}".encode()), only)
        return replace(rehearsed(manifest, scope, name, past), bound=bound)

    return given


def summing(name: str, task: str = "task") -> Entrusted:
    """Return the federation with another signed job: the same members, trustees and key."""
    return make(4, name=name, task=task, purpose="sum", bits=64, scalars=())


async def job(room: Chamber, entrusted: Entrusted, absent: tuple[str, ...] = (), given: Naming | None = None) -> None:
    """Run a job's round, some members saying nothing, until nobody goes on."""
    manifest, log = propose(entrusted), room.table.log
    members = {name: member(entrusted, name) for name in entrusted.nodes.members}
    for name, one in members.items():
        one.notebook.records.extend(room.table.parties[name].notebook.records)
    room.table = table(entrusted, inputs(entrusted, manifest), manifest=manifest, parties=members, log=log)
    room.table.given = given or one_file()
    room.instead = {name: lambda: None for name in absent}
    await room.begin()
    if absent and not isinstance(room.table.phase, Closed):
        await room.deadline()
    await room.wait(2)


def after_the_first(tmp_path: Path, second: Entrusted, absent: tuple[str, ...]) -> Chamber:
    """Sum the data of all four in one job, then without `absent` in another."""
    first = summing("first")
    chamber = Chamber(first, tmp_path)

    async def script(room: Chamber) -> None:
        await job(room, first)
        assert isinstance(room.table.phase, Closed)
        room.answers.clear()
        await job(room, second, absent)

    return chamber.play(script)


@pytest.mark.parametrize("task", ["task", "the-same-file-again"])
def test_trustees_do_not_open_one_file_under_another_name_over_another_set(tmp_path: Path, task: str) -> None:
    chamber = after_the_first(tmp_path, summing("second", task), ("node-03",))
    assert not any(kind in ("Witness", "Decrypt") for _, kind in chamber.answers)
    for one in chamber.trustees.values():
        (refusal,) = one.named("refuse")
        assert (refusal["rule"], refusal["job"]) == ("trustee.input", "second")
        assert "node-00" in str(refusal["cause"])
        assert "round 1 of first" in str(refusal["cause"])
        assert "secagg node allow second --overlap" in str(refusal["remedy"])


def test_the_same_set_is_opened_again_under_any_name(tmp_path: Path) -> None:
    chamber = after_the_first(tmp_path, summing("second", "the-same-file-again"), ())
    assert isinstance(chamber.table.phase, Closed)
    assert chamber.sums().published.contributors == FOUR


def test_what_was_opened_is_remembered_over_a_restart(tmp_path: Path) -> None:
    first, second = summing("first"), summing("second", "another")
    chamber = Chamber(first, tmp_path)

    async def script(room: Chamber) -> None:
        await job(room, first)
        for name in room.trustees:
            await room.trustees[name].kill()
            await room.revive(name)
        await room.wait(2)
        await job(room, second, ("node-03",))

    chamber.play(script)
    assert [one.named("refuse")[0]["rule"] for one in chamber.trustees.values()] == ["trustee.input"] * 3


def test_a_header_that_is_bound_to_another_set_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The members' ledgers know of a sum elsewhere; the aggregator freezes a set that does not fit all the same."""
    monkeypatch.setattr("secagg.protocol.paillier.aggregator.left_out", lambda *given: {})
    first = summing("first")
    chamber = Chamber(first, tmp_path)

    async def script(room: Chamber) -> None:
        await job(room, first, ("node-03",), one_file(Only("same", seats_digest(first.nodes.seats))))

    chamber.play(script)
    for one in chamber.trustees.values():
        assert [event["rule"] for event in one.named("refuse")] == ["ledger.only"]
    assert not any(kind in ("Witness", "Decrypt") for _, kind in chamber.answers)


# The rule itself -----------------------------------------------------------------------------------------------------


def stated(scene: Scene, bounds: Mapping[str, Bound]) -> bytes:
    """Return a set of the scene's honest headers, each with another word on its input, signed again by its member."""
    made = []
    for name, bound in bounds.items():
        body = replace(decode(EncryptedInput, scene.headers()[name].body), bound=bound)
        made.append(sign(scene.entrusted.nodes.members[name], "EncryptedInput", scene.scope, name, "*", encode(body)))
    return listed(*made)


def allowing(entrusted: Entrusted, names: tuple[str, ...], job: str = "job", federation: str = "fed") -> list[bytes]:
    """Return members' signed words that a job may sum inputs over another set."""
    return [
        sign_statement(
            OverlapAllowed(federation=federation, time=START_OF_TIME, member=name, job=job), name,
            entrusted.nodes.members[name],
        )
        for name in names
    ]  # fmt: skip


TAG = sha256(b"one input")
ANOTHER = Only("overlap", sha256(b"another set"))


def judge(
    names: tuple[str, ...], earlier: tuple[Seat, ...], leaves: list[bytes], only: Only = ANY,
    tags: tuple[bytes, ...] = (),
) -> str:  # fmt: skip
    """Say by which rule a trustee that opened the set `earlier` refuses a set of `names`, "" when it opens it."""
    scene, book = stop_before("Freeze"), Notebook()
    if earlier:
        book.records.append(Summed(replace(scene.scope.round, job="earlier"), earlier, tags or (TAG,) * len(earlier)))
    u = stated(scene, {name: Bound(TAG, only) for name in names})
    try:
        check_inputs(u, scene.played.manifest, tuple(leaves), scene.entrusted.nodes.seats, book)
    except Refused as refused:
        return refused.rule
    return ""


THREE = FOUR[:3]


def test_only_equal_sets_and_sets_of_others() -> None:
    seats = make(4).nodes.seats
    assert judge(FOUR, (), []) == ""
    assert judge(FOUR, seats, []) == ""
    assert judge(THREE, seats, []) == "trustee.input"
    assert judge(FOUR, seats[:3], []) == "trustee.input"
    assert judge(THREE, seats[1:], []) == "trustee.input"
    assert judge(THREE, seats[3:], []) == "", "nobody in it was in the other"
    assert judge(THREE, seats, [], tags=(sha256(b"x"),) * 4) == "", "other inputs of the same members"


def test_a_new_key_is_another_member_and_a_name_is_nobody() -> None:
    seats = make(4).nodes.seats
    anew = tuple(replace(seat, key=sha256(seat.key)) for seat in seats)
    assert judge(THREE, anew, []) == ""
    renamed = tuple(replace(seat, name=f"other-{seat.name}") for seat in seats)
    assert judge(THREE, renamed, []) == "trustee.input"


def test_everybody_in_either_set_has_to_allow_it() -> None:
    entrusted = make(4)
    seats = entrusted.nodes.seats
    assert judge(THREE, seats, allowing(entrusted, FOUR)) == ""
    for left_out in FOUR:
        names = tuple(name for name in FOUR if name != left_out)
        assert judge(THREE, seats, allowing(entrusted, names)) == "ledger.overlap", left_out
        assert judge(FOUR, seats[:3], allowing(entrusted, names)) == "ledger.overlap", left_out
    assert judge(THREE, seats, allowing(entrusted, FOUR, "another")) == "ledger.overlap"
    assert judge(THREE, seats, allowing(entrusted, FOUR, federation="other")) == "ledger.overlap"


def test_who_has_no_seat_any_more_is_not_asked() -> None:
    entrusted = make(4)
    *three, gone = entrusted.nodes.seats
    former = (*three, replace(gone, key=sha256(gone.key), organisation="one that left"))
    assert judge(THREE, former, allowing(entrusted, THREE)) == ""
    assert judge(THREE, former, allowing(entrusted, THREE[1:])) == "ledger.overlap"


def test_who_was_enrolled_anew_is_asked_for_what_its_earlier_key_gave() -> None:
    """Its organisation has a seat: under the old name with another key, or under another name."""
    entrusted = make(4)
    *three, gone = entrusted.nodes.seats
    for anew in (replace(gone, key=sha256(gone.key)), replace(gone, name="node-99", key=sha256(gone.key))):
        assert judge(THREE, (*three, anew), allowing(entrusted, THREE)) == "ledger.overlap"
        assert judge(THREE, (*three, anew), allowing(entrusted, FOUR)) == ""


def test_an_input_that_a_person_excused_needs_the_word_of_everybody_in_the_set() -> None:
    """The trustee never saw the other set: it was opened by others."""
    entrusted = make(4)
    assert judge(FOUR, (), [], ANOTHER) == "ledger.overlap"
    assert judge(FOUR, (), allowing(entrusted, THREE), ANOTHER) == "ledger.overlap"
    assert judge(FOUR, (), allowing(entrusted, FOUR), ANOTHER) == ""
    mine = Only("overlap", seats_digest(entrusted.nodes.seats))
    assert judge(FOUR, (), [], mine) == "", "the very set over which it was summed"


def test_only_members_allow_and_only_for_themselves() -> None:
    entrusted = make(4)
    seats, key = entrusted.nodes.seats, entrusted.nodes.aggregator
    said = OverlapAllowed(federation="fed", time=START_OF_TIME, member="node-03", job="job")
    three = allowing(entrusted, THREE)
    strangers, forged = sign_statement(said, "aggregator", key), sign_statement(said, "node-03", key)
    for wrong in (strangers, forged, b"no statement"):
        assert judge(THREE, seats, [*three, wrong]) == "ledger.overlap"
        assert judge(THREE, seats, [wrong, *allowing(entrusted, FOUR)]) == "", "the others' words are as good as ever"
    for_another = sign_statement(said, "node-00", entrusted.nodes.members["node-00"])
    assert judge(THREE, seats, [*three, for_another]) == "ledger.overlap"
    other: Statement = SourceChanged(
        federation="fed", time=START_OF_TIME, member="node-03", task="task", change="edition"
    )
    leaf = sign_statement(other, "node-03", entrusted.nodes.members["node-03"])
    assert judge(THREE, seats, [*three, leaf]) == "ledger.overlap"


def test_the_ledger_is_asked_again_before_the_decision() -> None:
    """Another job over an overlapping set was decided after this trustee had witnessed this one."""
    scene = stop_before("Freeze")
    bounds = {name: Bound(sha256(name.encode()), ANY) for name in FOUR}
    asked = scene.witnessed(stated(scene, bounds))
    seats = scene.entrusted.nodes.seats[:3]
    earlier = Summed(replace(scene.scope.round, job="other"), seats, tuple(bounds[s.name].input for s in seats))
    scene.holder().notebook.records.append(earlier)
    with pytest.raises(Refused) as caught:
        scene.show(asked, "Open")
    assert caught.value.rule == "trustee.input"


def test_a_header_names_its_input() -> None:
    """With a name that everybody has, an input could be told from no other: neither aggregator nor trustee takes it."""
    scene = stop_before("Freeze")
    nameless = stated(scene, {name: Bound(NO_DIGEST if name == "node-01" else TAG, ANY) for name in FOUR})
    with pytest.raises(ProtocolViolation) as caught:
        scene.show(scene.logged(nameless)("ana"), "Freeze")
    assert caught.value.rule == "upload.input"
    (header,) = (one for one in decode(tuple[Signed, ...], nameless, LIMIT_LIST) if one.sender == "node-01")
    phase = Collecting(scene.scope, scene.played.manifest, header, (), 0)
    with pytest.raises(ProtocolViolation) as caught:
        shell.check_header(phase, FromNode("node-01", "EncryptedInput", encode(header)))
    assert caught.value.rule == "upload.input"


def test_what_allowed_the_freeze_allows_the_decision() -> None:
    scene = stop_before("Freeze")
    u = stated(scene, {name: Bound(TAG, ANOTHER) for name in FOUR})
    logged = scene.logged(u)
    with pytest.raises(Refused) as caught:
        scene.show(logged("ana"), "Freeze")
    assert caught.value.rule == "ledger.overlap"
    asked = scene.witnessed(u, allowances=tuple(allowing(scene.entrusted, FOUR)))
    assert isinstance(scene.show(asked, "Open").phase, Decrypting)
