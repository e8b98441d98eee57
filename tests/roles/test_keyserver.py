"""The key server over links in memory: from token to member, everything published first, and what a crash leaves."""

import asyncio
from pathlib import Path

import pytest

from keyserver.answers import RosterShown
from keyserver.desk import ROSTER_LIFE
from keyserver.service import REMINDER
from keyserver.verifying import rows
from secagg.crypto.derive import sha256
from secagg.daemon.answers import read
from secagg.daemon.membership import Standing, check_own, follow, request
from secagg.errors import BadConfiguration, BadInput, VerificationFailed
from secagg.log.checkpoint import read_checkpoint
from secagg.log.statements import open_statement
from secagg.roster.chain import follows
from secagg.roster.messages import ROSTER, Admitted, Denied, RosterRequest, Waiting
from secagg.transport.link import KEYSERVER
from secagg.wire.codec import encode
from support.arriving import drain, settle
from support.keyservers import Office, newcomer_of, reply_of
from support.memory import MemoryJournal


def told(office: Office) -> list[str]:
    """The types of all statements, each signed by the online key."""
    key = office.authority.online.public
    found = [open_statement(office.log.leaf(index), lambda _: key) for index in range(office.log.size)]
    assert {signer for _, signer in found} == {KEYSERVER}
    return [type(statement).__name__ for statement, _ in found]


def test_a_new_federation_logs_its_root_and_an_empty_roster(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        assert (await office.ask("status"))["roster"] == 1

    office = Office(tmp_path).play(script)
    assert told(office) == ["RosterRoot", "RosterChanged"]
    (signed,) = office.pushed("broker")
    assert (tmp_path / sha256(signed).hex()).read_bytes() == signed
    assert follows(signed, None)


def test_an_institution_joins_from_token_to_member(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token("charite"))
        assert await office.knock(newcomer) == Waiting(newcomer.fingerprint)
        (shown,) = await office.ask("member.list")
        assert (shown["state"], shown["fingerprint"]) == ("waiting", newcomer.fingerprint.hex())
        words = shown["words"]
        await office.ask(
            "member.approve", name="charite", fingerprint=shown["fingerprint"], words=[words[2], words[6]]
        )  # fmt: skip
        # The newcomer hears of it without asking.
        (message,) = await drain(office.guests[newcomer.member.curve_key])
        reply = reply_of(message)
        assert isinstance(reply, Admitted)
        standing = follow(reply.push, newcomer.pin, office.now, None)
        check_own(standing.roster(), newcomer.member)
        assert (await office.ask("member.show", name="charite"))["state"] == "enrolled"

    office = Office(tmp_path).play(script)
    assert told(office)[2:] == ["TokenIssued", "TokenConsumed", "Enrolled", "RosterChanged"]


def test_the_secret_of_a_token_is_kept_nowhere(tmp_path: Path) -> None:
    office = Office(tmp_path)
    secrets: list[bytes] = []

    async def script(office: Office) -> None:
        secrets.append((await office.token("charite")).secret)

    office.play(script)
    with office.journal.transaction() as transaction:
        kept = b"".join(key.encode() + value for key, value in transaction.scan(""))
    leaves = b"".join(office.log.leaf(index) for index in range(office.log.size))
    for form in (secrets[0], secrets[0].hex().encode()):
        assert form not in kept + leaves + office.written.getvalue().encode()


def test_limits_follow_the_number_of_nodes(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.enrol("operator", role="aggregator")
        for index in range(4):
            newcomer = await office.enrol(f"clinic-{index}")
        reply = await office.knock(newcomer)
        assert isinstance(reply, Admitted)
        roster = follow(reply.push, newcomer.pin, office.now, None).roster()
        assert (roster.limits.colluders, roster.limits.min_nodes, len(roster.nodes())) == (1, 3, 4)
        assert [member.name for member in roster.members] == [*(f"clinic-{i}" for i in range(4)), "operator"]
        assert roster.aggregator().name == "operator"

    Office(tmp_path).play(script)


def test_the_same_request_gets_the_same_answer_for_ever(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token(ttl=60))
        first = await office.knock(newcomer)
        office.now += 3600
        assert await office.knock(newcomer) == first == Waiting(newcomer.fingerprint)
        await office.approve(newcomer)
        await drain(office.guests[newcomer.member.curve_key])
        admitted = await office.knock(newcomer)
        assert isinstance(admitted, Admitted)
        office.now += 3600
        assert await office.knock(newcomer) == admitted

    Office(tmp_path).play(script)


def test_members_are_shown_the_roster_from_where_they_stand(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = await office.enrol("charite")
        link = office.network.link("charite")
        await link.send(KEYSERVER, ROSTER, b"", b"")
        (first,) = await drain(link)
        standing = follow(first.body, newcomer.pin, office.now, None)
        await office.enrol("heidelberg")
        await link.send(KEYSERVER, ROSTER, b"", request(standing))
        bodies = [message.body for message in await drain(link) if message.kind == ROSTER]
        for body in bodies:
            after = follow(body, newcomer.pin, office.now, standing)
            assert after.roster().version == standing.roster().version + 1

    Office(tmp_path).play(script)


def test_everybody_gets_the_same_checkpoint_with_a_version(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = await office.enrol("charite")
        await office.enrol("heidelberg")
        await office.token("late")  # the log goes on, the roster does not
        notes = set()
        for name in ("charite", "heidelberg"):
            link = office.network.link(name)
            await link.send(KEYSERVER, ROSTER, b"", b"")
            (message,) = await drain(link)
            notes.add(follow(message.body, newcomer.pin, office.now, None).note)
        assert len(notes) == 1
        assert read_checkpoint(notes.pop()).size < office.log.size

    Office(tmp_path).play(script)


def test_pushes_reach_members_in_one_chain(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = await office.enrol("charite")
        link = office.network.link("charite")
        standing: Standing | None = None
        for other in ("heidelberg", "jena"):
            for message in await drain(link):
                standing = follow(message.body, newcomer.pin, office.now, standing)
                await link.send(KEYSERVER, "ack", b"", id=message.id)
            await office.enrol(other)
        assert standing is not None
        assert standing.roster().version == 3
        (message,) = await drain(link)
        assert follow(message.body, newcomer.pin, office.now, standing).roster().version == 4

    Office(tmp_path).play(script)


def test_a_member_who_stands_elsewhere_asks_again(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = await office.enrol("charite")
        (push,) = office.pushed("charite")
        standing = follow(push, newcomer.pin, office.now, None)
        await office.enrol("heidelberg")
        await office.enrol("jena")
        (push,) = office.pushed("charite")  # the one in between was withdrawn unseen
        with pytest.raises(VerificationFailed) as caught:
            follow(push, newcomer.pin, office.now, standing)
        assert caught.value.code == "E-BEHIND"
        link = office.network.link("charite")
        await link.send(KEYSERVER, ROSTER, b"", request(standing))
        (answer,) = await drain(link)
        assert follow(answer.body, newcomer.pin, office.now, standing).roster().version == 4

    Office(tmp_path).play(script)


def test_a_revocation_is_logged_pushed_and_final(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = await office.enrol("charite")
        await office.ask("member.revoke", name="charite", reason="lost laptop")
        assert office.pushed("charite") == []
        reply = await office.knock(newcomer)
        assert isinstance(reply, Denied)
        assert (reply.code, "lost laptop" in reply.cause) == ("E-REVOKED", True)
        with pytest.raises(BadInput):
            await office.ask("member.revoke", name="charite", reason="twice")
        assert (await office.ask("status"))["members"] == 0

    office = Office(tmp_path).play(script)
    assert told(office)[-2:] == ["Revoked", "RosterChanged"]


def test_a_revoked_institution_joins_anew_with_a_new_token(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.enrol("charite")
        await office.ask("member.revoke", name="charite", reason="lost laptop")
        again = newcomer_of(await office.token("charite"), b"new keys")
        assert isinstance(await office.knock(again), Waiting)
        await office.approve(again)
        assert (await office.ask("member.show", name="charite"))["fingerprint"] == again.fingerprint.hex()

    Office(tmp_path).play(script)


def test_nothing_has_effect_before_it_is_published(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.executor.held = True
        newcomer = newcomer_of(await office.token())
        reply = await office.knock(newcomer)
        assert isinstance(reply, Denied)
        assert reply.code == "E-LATER"
        office.executor.held = False
        office.timers.pass_time(2)
        await settle()
        assert isinstance(await office.knock(newcomer), Waiting)
        office.executor.held = True
        await office.approve(newcomer)
        assert await office.knock(newcomer) == Waiting(newcomer.fingerprint)
        assert (await office.ask("member.show", name="charite"))["state"] == "approved"
        assert (await office.ask("status"))["roster"] == 1
        assert office.pushed("charite") == []
        office.executor.held = False
        office.timers.pass_time(2)
        await settle()
        assert isinstance(await office.knock(newcomer), Admitted)

    Office(tmp_path).play(script)


def test_what_was_decided_before_a_crash_is_published_after_it(tmp_path: Path) -> None:
    async def before(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        await office.knock(newcomer)
        office.executor.held = True
        await office.approve(newcomer)
        await office.token("jena")

    async def after(office: Office) -> None:
        assert (await office.ask("member.show", name="charite"))["state"] == "enrolled"
        status = await office.ask("status")
        assert (status["roster"], status["published"], status["decided"]) == (2, 7, 7)
        assert len(office.pushed("charite")) == 1

    office = Office(tmp_path).play(before)
    again = office.again().play(after)
    assert told(again)[2:] == ["TokenIssued", "TokenConsumed", "Enrolled", "RosterChanged", "TokenIssued"]
    assert len(list(tmp_path.iterdir())) == 2


def test_an_approval_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        await office.knock(newcomer)
        size = office.log.size
        office.journal.writable = False
        with pytest.raises(Exception, match="cannot be written"):
            await office.approve(newcomer)
        office.journal.writable = True
        assert office.log.size == size
        assert (await office.ask("token.list"))[0]["state"] == "claimed"
        assert (await office.ask("member.show", name="charite"))["state"] == "waiting"
        await office.approve(newcomer)
        assert (await office.ask("token.list"))[0]["state"] == "used"

    Office(tmp_path).play(script)


def test_an_entry_that_is_in_the_log_already_is_not_added_twice(tmp_path: Path) -> None:
    office = Office(tmp_path)
    kept: list[MemoryJournal] = []

    async def before(office: Office) -> None:
        office.executor.held = True
        await office.token()
        kept.append(office.journal.reopened())
        office.executor.held = False
        office.timers.pass_time(2)
        await settle()

    office.play(before)
    size = office.log.size

    async def after(again: Office) -> None:
        assert (await again.ask("status"))["published"] == size

    # The crash came after the log was written and before the journal knew.
    assert Office(tmp_path, kept[0], office.log).play(after).log.size == size


def test_a_journal_older_than_the_log_is_refused(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.token()

    office = Office(tmp_path).play(script)
    with pytest.raises(BadConfiguration) as caught:
        Office(tmp_path, MemoryJournal(), office.log).play(script)
    assert caught.value.code == "E-FORK"


def test_a_log_that_holds_something_else_stops_publishing(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        office.log.append(b"{}")
        await office.token()
        status = await office.ask("status")
        assert (status["decided"], status["published"]) == (3, 2)

    office = Office(tmp_path).play(script)
    assert [line["event"] for line in office.logged() if line["level"] == "error"] == ["publish"]


def test_the_roster_is_renewed_when_half_its_life_is_over(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = await office.enrol("charite")
        (first,) = office.pushed("charite")
        standing = follow(first, newcomer.pin, office.now, None)
        office.now += ROSTER_LIFE // 2
        office.timers.pass_time(3600)
        await settle()
        assert (await office.ask("status"))["roster"] == 2
        office.now += 1
        office.timers.pass_time(3600)
        await settle()
        (push,) = office.pushed("charite")
        renewed = follow(push, newcomer.pin, office.now, standing).roster()
        assert (renewed.version, renewed.expires) == (3, office.now + ROSTER_LIFE)
        assert renewed.members == standing.roster().members

    Office(tmp_path).play(script)


def test_the_broker_is_reminded_of_the_roster(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        before = office.network.dropped["kind"]  # what the broker of the test got
        office.timers.pass_time(REMINDER)
        await settle()
        assert office.network.dropped["kind"] > before

    Office(tmp_path).play(script)


def test_the_roster_is_proved_to_the_operator(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.enrol("charite")
        answer = read(await office.ask("roster.show"), RosterShown)
        head, (row,) = rows(answer)
        assert "version 2" in head
        assert row["name"] == "charite"
        assert len(answer.entries) == 1

    Office(tmp_path).play(script)


def test_only_enrol_and_roster_are_answered(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        member, guest = office.network.link("charite"), office.network.guest(bytes(32))
        await member.send(KEYSERVER, "round", b"", b"")
        await guest.send(KEYSERVER, ROSTER, b"", b"")
        await guest.send(KEYSERVER, "enrol", b"", b"\xc1")
        await asyncio.sleep(0)
        assert await drain(member) == []
        assert await drain(guest) == []

    office = Office(tmp_path).play(script)
    assert [line["code"] for line in office.logged() if line["event"] == "refuse"] == [
        "E-PROTOCOL",
        "E-PROTOCOL",
        "E-WIRE",
    ]


def test_a_member_ahead_of_the_directory_is_told_nothing(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.enrol("charite")
        link = office.network.link("charite")
        await drain(link)
        await link.send(KEYSERVER, ROSTER, b"", encode(RosterRequest(office.log.size + 1)))
        assert await drain(link) == []

    office = Office(tmp_path).play(script)
    assert "stands at entry 7 of the directory, which has 6" in office.logged()[-1]["cause"]
