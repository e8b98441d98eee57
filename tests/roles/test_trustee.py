"""The trustee's daemon: opens what it multiplied itself, once, and says the same thing however often it is asked."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from keyserver.trustee.decrypting import decrypt
from secagg.crypto.derive import sha256
from secagg.crypto.paillier.keys import Profile
from secagg.ids import EVERYBODY
from secagg.protocol.manifest import digest
from secagg.protocol.memory import Opened
from secagg.protocol.round.events import FromNode
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.phases import Closed
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.entrusted import member, propose, table
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.chambers import Chamber
from support.entrusted import alone, make
from support.federation import reference
from support.paillier_keys import full


def exact(chamber: Chamber) -> None:
    """The published sum is the integer sum of every member's words."""
    end, table = chamber.sums(), chamber.table
    assert end.published.contributors == tuple(table.parties)
    assert {group.name: group.words for group in end.published.groups} == reference(table.inputs, table.parties)


def opened(chamber: Chamber, name: str) -> tuple[Opened, ...]:
    """Return what a trustee's ledger holds."""
    return chamber.trustees[name].ledger().opened()


def test_two_of_three_open_a_round_with_shares_used_in_processes_of_their_own(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path, decrypt)

    async def script(room: Chamber) -> None:
        await room.begin()

    exact(chamber.play(script))
    asked = [kind for to, kind, _ in chamber.sent if to == "ana"]
    assert asked == ["Propose", "Freeze", "Open"]
    for name in ("ana", "ben"):
        assert [entry.contributors for entry in opened(chamber, name)] == [tuple(chamber.table.parties)]


@pytest.mark.parametrize(("profile", "s"), [("provable", 1), ("fast", 2)])
def test_a_single_holder_opens_a_round(tmp_path: Path, profile: Profile, s: int) -> None:
    chamber = Chamber(alone(4, profile, s, full(profile)), tmp_path)

    async def script(room: Chamber) -> None:
        await room.begin()

    exact(chamber.play(script))


def test_every_trustee_fetches_every_upload_of_the_frozen_set_once(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        await room.begin()
        assert list((tmp_path / "ana" / "blobs").glob("[0-9a-f]*")) == []

    exact(chamber.play(script))
    wanted = sorted(sha256(data) for data in chamber.table.uploads.values())
    for name in ("ana", "ben"):
        assert sorted(digest for to, digest, _ in chamber.fetched if to == name) == wanted


def test_one_trustee_away_delays_nothing(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        await room.trustees["ben"].kill()
        await room.begin()

    exact(chamber.play(script))
    assert {name for name, _ in chamber.answers} == {"ana", "cyd"}


def test_a_trustee_that_died_after_its_decision_answers_after_its_restart(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        await room.trustees["cyd"].kill()
        served = room.link.send

        async def dying(to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
            if (to, kind) == ("ana", "piece"):
                return
            await served(to, kind, header, body, id=id)

        room.link.send = dying  # type: ignore[method-assign]
        await room.begin()
        assert room.trustees["ana"].status()["rounds"] == {"job.1.1.0": "Decrypting"}
        assert room.trustees["ana"].status()["waiting"][0]["what"].startswith("the uploads of node-00")
        await room.trustees["ana"].kill()
        assert len(opened(room, "ana")) == 1
        room.link.send = served  # type: ignore[method-assign]
        assert not isinstance(room.table.phase, Closed)
        await room.revive("ana")

    exact(chamber.play(script))
    assert len(opened(chamber, "ana")) == 1


def test_an_answer_is_repeated_byte_for_byte_also_after_a_restart(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        await room.begin()
        asked = next(data for to, kind, data in room.sent if (to, kind) == ("ana", "Open"))
        await room.say("ana", "Open", asked)
        await room.settle()
        await room.trustees["ana"].kill()
        await room.revive("ana")
        await room.say("ana", "Open", asked)
        await room.settle()

    chamber.play(script)
    answers = chamber.answers["ana", "Decrypt"]
    assert len(answers) == 3
    assert len(set(answers)) == 1
    assert len(opened(chamber, "ana")) == 1


def test_an_aggregator_that_asks_again_and_acknowledges_nothing_fills_no_disk(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        ana = room.trustees["ana"]
        await room.begin()
        assert ana.journal.pending() == []
        room.acknowledges = False
        asked = next(data for to, kind, data in room.sent if (to, kind) == ("ana", "Open"))
        for _ in range(20):
            await room.say("ana", "Open", asked)
            await room.settle()
        assert len(ana.journal.pending()) == 1

    chamber.play(script)


def test_an_upload_that_is_not_the_signed_one_is_not_opened(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)
    chamber.serve = lambda data: bytes([data[0] ^ 1]) + data[1:]

    async def script(room: Chamber) -> None:
        await room.begin()
        await room.wait(4)

    chamber.play(script)
    assert ("ana", "Decrypt") not in chamber.answers
    assert "What was fetched is not what was asked for" in chamber.trustees["ana"].log.getvalue()
    assert len([one for one in chamber.fetched if one[0] == "ana"]) > 2


def test_a_copied_upload_is_not_opened_and_its_member_is_named(tmp_path: Path) -> None:
    """The aggregator and one member agree to count another's ciphertext twice; no trustee does (attack 19)."""
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        table = room.table

        def copy() -> None:
            copied = next(item for item in table.wire if isinstance(item, FromNode) and item.sender == "node-00")
            member = table.parties["node-01"]
            scope = Scope(table.manifest.round, digest(encode(table.manifest)))
            body = decode(Signed, copied.data).body
            signed = sign(member.ctx.key, "EncryptedInput", scope, "node-01", EVERYBODY, body)
            table.queue.append(FromNode("node-01", "EncryptedInput", encode(signed)))

        room.instead["node-01"] = copy
        await room.begin()

    chamber.play(script)
    assert not any(kind == "Decrypt" for _, kind in chamber.answers)
    for name in ("ana", "ben"):
        (refusal,) = chamber.trustees[name].named("refuse")
        assert refusal["rule"] == "paillier.knowledge"
        assert "node-01" in refusal["cause"]
        assert chamber.trustees[name].status()["rounds"] == {}
        assert len(opened(chamber, name)) == 1


def test_a_second_attempt_after_the_decision_is_refused_and_said_so(tmp_path: Path) -> None:
    entrusted = make(4)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        await room.begin()
        await room.wait(2)
        room.table.manifest, room.table.parties = propose(entrusted, attempt=2), {}
        await room.begin()

    chamber.play(script)
    refusals = [event["rule"] for event in chamber.trustees["ana"].named("refuse")]
    assert refusals == ["attempt.opened"]
    assert chamber.trustees["ana"].status()["refused"]["rule"] == "attempt.opened"
    assert len(chamber.answers["ana", "Refuse"]) == 1


def test_a_round_ends_with_its_time_and_is_forgotten(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        await room.begin()
        assert room.trustees["ana"].status()["rounds"] == {"job.1.1.0": "Answered"}
        await room.wait(10)
        assert room.trustees["ana"].status()["rounds"] == {}
        asked = next(data for to, kind, data in room.sent if (to, kind) == ("ana", "Open"))
        before = len(room.answers["ana", "Decrypt"])
        await room.say("ana", "Open", asked)
        await room.settle()
        assert len(room.answers["ana", "Decrypt"]) == before

    chamber.play(script)
    assert len(chamber.trustees["ana"].named("overdue")) == 1


def test_a_round_that_ended_with_its_time_is_not_entered_again(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        for name in ("ben", "cyd"):
            await room.trustees[name].kill()
        await room.begin()
        ana = room.trustees["ana"]
        assert ana.status()["rounds"] == {"job.1.1.0": "Attending"}
        await room.wait(10)
        assert ana.status()["rounds"] == {}
        sent = next(data for to, kind, data in room.sent if (to, kind) == ("ana", "Propose"))
        proposal = replace(decode(Propose, sent, LIMIT_BULK), proof=room.table.log.prove(0, ana.stands()))
        await room.say("ana", "Propose", encode(proposal))
        await room.settle()
        assert ana.status()["rounds"] == {}
        assert len(room.answers["ana", "Attend"]) == 1

    chamber.play(script)
    assert len(chamber.trustees["ana"].named("overdue")) == 1


def test_an_abort_ends_a_round(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        for name in ("ben", "cyd"):
            await room.trustees[name].kill()
        await room.begin()
        await room.abort("ana", "Attend", replace(scope_of(room), round=replace(scope_of(room).round, job="another")))
        assert room.trustees["ana"].status()["rounds"] == {"job.1.1.0": "Attending"}
        await room.abort("ana", "Attend")
        assert room.trustees["ana"].status()["rounds"] == {}
        sent = next(data for to, kind, data in room.sent if (to, kind) == ("ana", "Propose"))
        ana = room.trustees["ana"]
        # With a proof from where the trustee stands now: nothing else would keep it from entering.
        proposal = replace(decode(Propose, sent, LIMIT_BULK), proof=room.table.log.prove(0, ana.stands()))
        await room.say("ana", "Propose", encode(proposal))
        await room.settle()
        assert room.trustees["ana"].status()["rounds"] == {}, "a round that was left is not entered again"
        assert len(room.answers["ana", "Attend"]) == 1

    chamber.play(script)


def test_what_was_fetched_goes_with_the_round_also_what_an_earlier_start_fetched(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    def files() -> list[str]:
        return sorted(path.name for path in (tmp_path / "ana" / "blobs").rglob("*") if path.is_file())

    async def script(room: Chamber) -> None:
        withhold(room)
        await room.begin()
        await room.trustees["ana"].kill()
        partial = tmp_path / "ana" / "blobs" / "partial"
        for name in ("fetch-half", "fetch-half.entries", "of-no-round"):
            (partial / name).write_bytes(b"some of an upload")
        await room.revive("ana")
        assert files() == ["fetch-half", "fetch-half.entries"], "what may be on its way is taken up again"
        await room.abort("ana")
        assert files() == []
        (partial / "fetch-half").write_bytes(b"a kill came between the end and the removal")
        await room.trustees["ana"].kill()
        await room.revive("ana")
        assert files() == []

    chamber.play(script)


def scope_of(room: Chamber) -> Scope:
    """Return the attempt at hand."""
    return Scope(room.table.manifest.round, digest(encode(room.table.manifest)))


def test_a_trustee_says_what_it_decided_to_open_until_it_hears_of_the_end(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        assert room.decided["ana"] == ("", 1)
        await room.trustees["cyd"].kill()
        await room.begin()
        await room.wait(2)
        assert room.decided["ana"] == ("job", 1)
        await room.abort("ana")
        assert room.decided["ana"] == ("", 1)
        assert room.decided["ben"] == ("job", 1)

    chamber.play(script)


def withhold(room: Chamber) -> None:
    """Hand out no uploads, as of a round that is over."""
    served = room.link.send

    async def nothing(to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
        if kind != "piece":
            await served(to, kind, header, body, id=id)

    room.link.send = nothing  # type: ignore[method-assign]


def test_a_round_whose_end_was_not_heard_is_in_nobody_s_way(tmp_path: Path) -> None:
    """The job's next round is proposed only when the last one is over: nothing more of it is fetched."""
    entrusted = make(4, rounds=2)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        served = room.link.send
        withhold(room)
        await room.begin()
        assert room.trustees["ana"].status()["rounds"] == {"job.1.1.0": "Decrypting"}
        await room.wait(2)
        room.link.send = served  # type: ignore[method-assign]
        seated = {name: member(entrusted, name, 2) for name in room.table.parties}
        room.table = table(
            entrusted, room.table.inputs, manifest=propose(entrusted, 2), parties=seated, log=room.table.log
        )
        await room.begin()
        assert room.trustees["ana"].status()["rounds"] == {"job.2.1.0": "Answered"}

    exact(chamber.play(script))


def test_what_waited_behind_a_round_is_done_when_that_one_ends(tmp_path: Path) -> None:
    """Two jobs: nothing of the first can be fetched any more; word of its end lets the second be opened."""
    chamber, other = Chamber(make(4), tmp_path), make(4, name="other")

    async def script(room: Chamber) -> None:
        served = room.link.send
        withhold(room)
        await room.begin()
        await room.wait(2)
        first = scope_of(room)
        room.link.send = served  # type: ignore[method-assign]
        room.table = table(other, room.table.inputs, manifest=propose(other), log=room.table.log)
        await room.begin()
        assert set(room.trustees["ana"].status()["rounds"].values()) == {"Decrypting"}
        for name in room.trustees:
            await room.abort(name, scope=first)
        assert room.trustees["ana"].status()["rounds"] == {"other.1.1.0": "Answered"}

    chamber.play(script)


def test_messages_of_others_are_refused(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        stranger = room.network.link("node-00")
        await room.begin()
        proposal = next(data for to, kind, data in room.sent if (to, kind) == ("ana", "Open"))
        header = encode(RoundHeader(room.table.manifest.round, "Open"))
        await stranger.send("ana", "round", header, proposal, id=room.rng(16))
        await stranger.send("ana", "piece", header, proposal, id=room.rng(16))
        await stranger.send("ana", "gossip", b"", b"", id=room.rng(16))
        await room.settle()

    chamber.play(script)
    told = chamber.trustees["ana"].log.getvalue()
    assert "node-00 sends a round, which only the aggregator may" in told
    assert "node-00 sends a piece, which only the aggregator may" in told
    assert "node-00 sends a gossip" in told
    assert len(chamber.answers["ana", "Decrypt"]) == 1


@pytest.mark.parametrize("stage", ["roster", "share", "round"])
def test_status_says_who_waits_for_what(tmp_path: Path, stage: str) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        one = room.trustees["ana"]
        if stage == "roster":
            await one.kill()
            one.journal = type(one.journal)()
            await room.revive("ana")
        if stage == "share":
            for path in (tmp_path / "ana" / "shares").iterdir():
                path.unlink()
        found = one.status()["waiting"]
        wanted = {
            "roster": ("keyserver", "the first roster"),
            "share": ("the dealer of a ceremony", "a share of a key to accept"),
            "round": ("aggregator", "a round"),
        }[stage]
        assert [(entry["for"], entry["what"]) for entry in found] == [wanted]

    chamber.play(script)


def test_a_trustee_says_it_is_here_only_when_it_can_open_something(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        assert room.present == {"ana": 0, "ben": 0, "cyd": 0}
        for path in (tmp_path / "ana" / "shares").iterdir():
            path.unlink()
        room.present.clear()
        await room.wait(4)
        assert set(room.present) == {"ben", "cyd"}
        await room.begin()

    exact(chamber.play(script))
    assert chamber.trustees["ana"].named("refuse")[0]["rule"] == "trustee.key"
