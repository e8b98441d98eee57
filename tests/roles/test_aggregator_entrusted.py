"""The aggregator's service with engine paillier: absent trustees, restarts in every phase, whom it hands uploads to."""

import asyncio
from functools import lru_cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.errors import Refused
from secagg.ids import NO_DIGEST
from secagg.log.statements import DropOut, Result, parse_statement
from secagg.protocol.session import AbortNotice, Fetch, Present, ResultNotice
from secagg.rehearsal.entrusted import Entrusted, entrust
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from support.entrusted import dealt
from support.entrusted_hall import EntrustedHall
from support.federation import counted_rng, job, names_of

pytestmark = pytest.mark.usefixtures("short_keys")

EVERYBODY = [15.0] * 7


@lru_cache
def federation() -> Entrusted:
    key, shares = dealt(3, 2)
    names = names_of(4)
    spec = job(names, purpose="sum", bits=64, scalars=())
    secrets = dict(zip(key.trustees, shares, strict=True))
    return entrust(names, spec, key, secrets, counted_rng(b"hall"))


def hall(tmp_path: Path) -> EntrustedHall:
    return EntrustedHall(federation(), tmp_path / "state")


async def begin(stage: EntrustedHall) -> None:
    await stage.push()
    stage.submit()
    await stage.settle()
    await stage.gather()


def drops(stage: EntrustedHall) -> list[tuple[str, str]]:
    log = stage.rounds_log
    said = [parse_statement(log.leaf(index))[0] for index in range(log.size)]
    return [(one.member, one.step) for one in said if isinstance(one, DropOut)]


def test_a_sum_is_opened_by_trustees(tmp_path: Path) -> None:
    stage = hall(tmp_path).play(begin)  # type: ignore[arg-type]
    assert stage.result()["values"] == EVERYBODY
    assert drops(stage) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("step", ["Attend", "Witness", "Decrypt"])
def test_one_of_three_trustees_may_be_silent(tmp_path: Path, step: str) -> None:
    stage = hall(tmp_path)
    stage.trustees["ben"].silent = step
    stage.play(begin)  # type: ignore[arg-type]
    assert stage.result()["values"] == EVERYBODY
    assert drops(stage) == ([("ben", "Attend")] if step == "Attend" else [])


@pytest.mark.parametrize("step", ["Witness", "Decrypt"])
def test_a_restart_while_trustees_are_waited_for(tmp_path: Path, step: str) -> None:
    stage = hall(tmp_path)

    async def script(stage: EntrustedHall) -> None:
        for trustee in stage.trustees.values():
            trustee.silent = step
        await begin(stage)
        assert stage.result_step() == step
        await stage.restart()
        await stage.push()
        assert stage.result_step() == step
        for trustee in stage.trustees.values():
            await trustee.release()
        await stage.settle()

    stage.play(script)  # type: ignore[arg-type]
    assert stage.result()["values"] == EVERYBODY


def test_a_restart_while_members_encrypt_loses_no_upload(tmp_path: Path) -> None:
    stage = hall(tmp_path)

    async def script(stage: EntrustedHall) -> None:
        stage.members["node-03"].silent = "MaskedInput"
        await begin(stage)
        assert stage.result_step() == "EncryptedInput"
        await stage.restart()
        await stage.push()
        await stage.wait(4)

    stage.play(script)  # type: ignore[arg-type]
    assert stage.result()["values"] == [7.0] * 7
    assert drops(stage) == [("node-03", "EncryptedInput")]


def test_a_restart_between_two_answers_opens_once(tmp_path: Path) -> None:
    stage = hall(tmp_path)

    async def script(stage: EntrustedHall) -> None:
        for name in ("ben", "cyd"):
            stage.trustees[name].silent = "Decrypt"
        await begin(stage)
        assert stage.result_step() == "Decrypt"
        await stage.restart()
        await stage.push()
        await stage.trustees["cyd"].release()
        await stage.settle()

    stage.play(script)  # type: ignore[arg-type]
    assert stage.result()["values"] == EVERYBODY
    assert len([event for event in stage.events if event["event"] == "round_closed"]) == 1


def test_a_round_whose_trustees_stay_silent_after_they_were_asked_is_lost(tmp_path: Path) -> None:
    stage = hall(tmp_path)

    async def script(stage: EntrustedHall) -> None:
        for name in ("ben", "cyd"):
            stage.trustees[name].silent = "Decrypt"
        await begin(stage)
        await stage.wait(4)

    stage.play(script)  # type: ignore[arg-type]
    (aborted,) = stage.named("round_aborted")
    assert (aborted["step"], aborted["lost"]) == ("Decrypt", True)


def lost(stage: EntrustedHall) -> None:
    for name in ("ben", "cyd"):
        stage.trustees[name].silent = "Decrypt"


def test_trustees_are_told_that_a_round_has_a_result_and_not_which(tmp_path: Path) -> None:
    stage = hall(tmp_path).play(begin)  # type: ignore[arg-type]
    (blob,) = (one.name for one in (stage.state / "blobs").iterdir() if one.is_file())
    for trustee in stage.trustees.values():  # type: ignore[attr-defined]
        (told,) = (decode(ResultNotice, message.body, LIMIT_BULK) for message in trustee.told)
        assert (told.round.label(), told.length, told.published, told.salt) == ("job.1.1.0", 0, NO_DIGEST, NO_DIGEST)
        assert isinstance(parse_statement(told.leaf)[0], Result)
        assert blob not in told.leaf.decode()


def test_trustees_are_told_that_a_round_is_lost(tmp_path: Path) -> None:
    # One that still fetches uploads would ask for them until the round's time is over, and open no other meanwhile.
    stage = hall(tmp_path)
    lost(stage)

    async def script(stage: EntrustedHall) -> None:
        await begin(stage)
        await stage.wait(4)

    stage.play(script)  # type: ignore[arg-type]
    for trustee in stage.trustees.values():
        (told,) = trustee.told
        assert b'"step":"Decrypt"' in decode(AbortNotice, told.body, LIMIT_BULK).leaf


@pytest.mark.parametrize("ends", ["result", "aborted"])
def test_a_trustee_that_was_away_at_the_end_is_told_when_it_says_what_it_works_for(tmp_path: Path, ends: str) -> None:
    stage = hall(tmp_path)
    if ends == "aborted":
        lost(stage)

    async def script(stage: EntrustedHall) -> None:
        ana = stage.trustees["ana"]
        await begin(stage)
        await stage.wait(4)
        ana.told.clear()
        await stage.restart()
        await stage.push()
        await ana.link.send("aggregator", "present", b"", encode(Present(0, "job", 1)))
        await stage.settle()
        assert [message.kind for message in ana.told] == [ends]
        ana.told.clear()
        await stage.wait(2)
        for said in (Present(0), Present(0, "job", 2), Present(0, "other", 1)):
            await ana.link.send("aggregator", "present", b"", encode(said))
            await stage.settle()
        assert ana.told == []

    stage.play(script)  # type: ignore[arg-type]


def test_a_job_waits_until_enough_trustees_are_here(tmp_path: Path) -> None:
    stage = hall(tmp_path)

    async def script(stage: EntrustedHall) -> None:
        for name in ("ana", "ben"):
            stage.trustees[name].away = True
        await begin(stage)
        assert not stage.named("round_started")
        waiting = stage.named("waiting")[-1]
        assert waiting["for"] == ["ana", "ben"]
        stage.trustees["ben"].away = False
        await stage.gather()

    stage.play(script)  # type: ignore[arg-type]
    assert stage.result()["values"] == EVERYBODY


def test_uploads_are_handed_to_the_trustees_of_a_frozen_set_only(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    answers: list[str] = []

    async def script(stage: EntrustedHall) -> None:
        for trustee in stage.trustees.values():
            trustee.silent = "Decrypt"
        await begin(stage)
        assert stage.result_step() == "Decrypt"
        digest = next(path.name for path in (stage.state / "uploads").rglob("*") if len(path.name) == 64)
        node, trustee = stage.members["node-00"], stage.trustees["ana"]
        for party in (node, trustee):
            await party.link.send("aggregator", "fetch", b"", encode(Fetch(bytes.fromhex(digest), 0)))
            for _ in range(80):
                await asyncio.sleep(0)
            while party.link._queue:
                answers.append(f"{party.name}: {(await party.link.receive()).kind}")

    stage.play(script)  # type: ignore[arg-type]
    assert "ana: piece" in answers
    assert "node-00: piece" not in answers


def test_a_job_without_its_custody_or_with_another_one_is_refused(tmp_path: Path) -> None:
    stage = hall(tmp_path)

    async def script(stage: EntrustedHall) -> None:
        await stage.push()
        custody = federation().custody
        stage.custody.write_bytes(encode(replace(custody, acceptances=custody.acceptances[:1])))
        with pytest.raises(Refused) as caught:
            stage.submit()
        assert caught.value.rule == "custody.acceptances"

    stage.play(script)  # type: ignore[arg-type]
