"""Row 51 at trustees: an attempt that is stated to have ended, and is opened all the same.

An aggregator that could have an input taken out of members' ledgers, and still open the attempt, would get two sums of
it. Real trustee services hear a logged `Aborted`: who decided nothing signs, once and for all, that it never answers.
Who decided before says nothing and keeps both.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.errors import Refused
from secagg.ids import EVERYBODY, NO_DIGEST, RoundId
from secagg.log.statements import sign_statement
from secagg.protocol.custody import custody_of
from secagg.protocol.manifest import digest
from secagg.protocol.memory import Opened, check_attempt
from secagg.protocol.paillier.ending import check_words
from secagg.protocol.round.messages import Ended, Propose
from secagg.protocol.round.phases import Closed
from secagg.protocol.round.stating import aborted
from secagg.protocol.session import AbortNotice
from secagg.rehearsal.entrusted import propose
from secagg.rehearsal.federation import START_OF_TIME
from secagg.rehearsal.notebook import Notebook
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, open_signed
from support.chambers import Chamber
from support.entrusted import make


def attempt(room: Chamber) -> Scope:
    """Return the attempt at hand."""
    return Scope(room.table.manifest.round, digest(encode(room.table.manifest)))


def message(room: Chamber, kind: str, to: str = "ana") -> bytes:
    """Return what the aggregator sent a trustee."""
    return next(data for name, sent, data in room.sent if (name, sent) == (to, kind))


async def quiet(room: Chamber) -> None:
    """Begin a round of which ana alone hears, so that nothing is frozen without the others."""
    for name in ("ben", "cyd"):
        await room.trustees[name].kill()
    await room.begin()


def words(room: Chamber, name: str = "ana") -> list[bytes]:
    """Return what a trustee signed of an end."""
    return room.answers.get((name, "Ended"), [])


def test_an_undecided_trustee_says_once_and_for_all_that_the_attempt_is_over(tmp_path: Path) -> None:
    entrusted = make(4)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        await room.trustees["cyd"].kill()
        held = room.network._fate
        # ana witnesses, and hears nothing more: the quorum's `Open` is still to come.
        room.network._fate = lambda to, said: () if to == "ana" and b"Open" in said.header else (said,)
        await room.begin()
        assert room.trustees["ana"].status()["rounds"] == {"job.1.1.0": "Witnessed"}
        room.network._fate = held
        await room.abort("ana")
        (word,) = words(room)
        signed = decode(Signed, word)
        key = entrusted.trustees["ana"].public
        assert decode(Ended, open_signed(signed, key, "Ended", attempt(room), EVERYBODY)) == Ended()
        await room.again()
        await room.say("ana", "Open", message(room, "Open", "ben"))
        await room.wait(3)
        await room.abort("ana")
        await room.trustees["ana"].kill()
        await room.revive("ana")
        await room.abort("ana")
        await room.again()

    chamber.play(script)
    assert len(words(chamber)) == 3
    assert len(set(words(chamber))) == 1
    assert ("ana", "Decrypt") not in chamber.answers


def test_a_trustee_that_never_heard_of_the_attempt_never_enters_it(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        room.network._fate = lambda to, said: () if to == "ana" and said.kind == "round" else (said,)
        await room.begin()
        room.network._fate = lambda to, said: (said,)
        await room.abort("ana", "EncryptedInput")
        sent = decode(Propose, message(room, "Propose"), LIMIT_BULK)
        proof = room.table.log.prove(0, room.trustees["ana"].stands())
        await room.say("ana", "Propose", encode(replace(sent, proof=proof)))
        await room.settle()

    chamber.play(script)
    assert len(words(chamber)) == 1
    assert ("ana", "Attend") not in chamber.answers
    assert [event["rule"] for event in chamber.trustees["ana"].named("refuse")] == ["ledger.lifted"]


def test_the_next_attempt_of_the_round_goes_on(tmp_path: Path) -> None:
    entrusted = make(4)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        await quiet(room)
        await room.abort("ana", "Attend")
        for name in ("ben", "cyd"):
            await room.revive(name)
        await room.wait(3)
        room.table.manifest = propose(entrusted, attempt=2)
        await room.begin()
        await room.wait(2)

    chamber.play(script)
    assert isinstance(chamber.table.phase, Closed)
    assert len(words(chamber)) == 1


def test_who_decided_says_nothing_answers_nothing_more_and_keeps_both(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        await room.begin()
        ana, asked = room.trustees["ana"], message(room, "Open")
        notice = await room.abort("ana")
        assert ana.status()["rounds"] == {}
        assert ana.status()["evidence"] == ["job.1.1.0"]
        (told,) = ana.named("evidence")
        assert "asked to open this round" in str(told["cause"])
        before = len(room.answers["ana", "Decrypt"])
        await room.say("ana", "Open", asked)
        await room.tell_aborted("ana", notice)
        await room.wait(2)
        assert len(room.answers["ana", "Decrypt"]) == before
        await ana.kill()
        await room.revive("ana")
        assert ana.status()["evidence"] == ["job.1.1.0"]
        assert ana.status()["opened"] == 1
        with ana.journal.transaction() as journal:
            (entry,) = journal.scan("evidence/")
        assert asked in entry[1]
        assert notice.leaf in entry[1]

    chamber.play(script)
    assert words(chamber) == []
    assert len(chamber.trustees["ana"].named("evidence")) == 1


def test_a_decision_counts_although_the_attempt_is_stated_to_have_ended(tmp_path: Path) -> None:
    entrusted = make(4)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        await room.begin()
        for name in room.trustees:
            await room.abort(name)
        room.answers.clear()
        room.table.manifest, room.table.parties = propose(entrusted, attempt=2), {}
        await room.begin()
        await room.wait(2)

    chamber.play(script)
    rules = {event["rule"] for one in chamber.trustees.values() for event in one.named("refuse")}
    assert rules == {"attempt.opened"}
    assert {kind for _, kind in chamber.answers} == {"Refuse"}


def test_a_bare_or_forged_end_ends_nothing(tmp_path: Path) -> None:
    """Without its entry in the log that the trustee knows, signed by the aggregator, about exactly this attempt."""
    entrusted = make(4)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        await quiet(room)
        ana, log, aggregator = room.trustees["ana"], room.table.log, entrusted.nodes.aggregator
        statement = aborted(attempt(room), "Attend", "a test", (), START_OF_TIME)

        async def tell(notice: AbortNotice) -> None:
            await room.tell_aborted("ana", notice)
            assert ana.status()["rounds"] == {"job.1.1.0": "Attending"}
            assert words(room) == []

        honest = sign_statement(statement, "aggregator", aggregator)
        never = AbortNotice(attempt(room).round, honest, log.prove(0, ana.stands()))
        await tell(never)
        for signer, key in (("aggregator", entrusted.nodes.online), ("node-00", entrusted.nodes.members["node-00"])):
            leaf = sign_statement(statement, signer, key)
            index = log.append(leaf)
            log.publish()
            await tell(AbortNotice(attempt(room).round, leaf, log.prove(index, ana.stands())))
        elsewhere = sign_statement(replace(statement, round=2), "aggregator", aggregator)
        index = log.append(elsewhere)
        log.publish()
        await tell(AbortNotice(attempt(room).round, elsewhere, log.prove(index, ana.stands())))
        other = replace(room.table.manifest.round, round=2)
        await room.abort("ana", "Attend", Scope(other, NO_DIGEST))
        assert len(words(room)) == 1, "of an attempt of which this trustee knows nothing"

    chamber.play(script)


def test_too_few_words_take_nothing_out_of_a_ledger(tmp_path: Path) -> None:
    """5, 1, 4: two say it is over, three could still be made to answer, and the liar makes four: nothing is lifted."""
    entrusted = make(4, trustees=5, threshold=4, colluders=1)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        for name in room.trustees:
            if name != "ana":
                await room.trustees[name].kill()
        await room.begin()
        for name in ("ben", "cyd"):
            await room.revive(name)
        await room.wait(3)
        for name in ("ana", "ben", "cyd"):
            await room.abort(name, "Attend")

    chamber.play(script)
    given = [decode(Signed, words(chamber, name)[0]) for name in ("ana", "ben", "cyd")]
    manifest, scope = chamber.table.manifest, attempt(chamber)
    check_words(given, custody_of(manifest), scope)
    for few in (given[:2], [given[0]] * 3, []):
        with pytest.raises(Refused) as caught:
            check_words(few, custody_of(manifest), scope)
        assert caught.value.rule == "ended.words"


def test_what_was_opened_once_is_over_for_every_attempt_and_group() -> None:
    book, once = Notebook(), RoundId("fed", "job", 1)
    book.records.append(Opened(once, ("node-00",)))
    for again in (replace(once, attempt=2), replace(once, group=1), replace(once, attempt=2, group=7)):
        with pytest.raises(Refused) as caught:
            check_attempt(book, again, NO_DIGEST)
        assert caught.value.rule == "attempt.opened"
    check_attempt(book, replace(once, round=2), NO_DIGEST)
