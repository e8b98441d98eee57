"""Everything that enrolment and the operator's desk refuse, each with a code of its own."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from keyserver.enrolment import SKEW, TRIES
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.errors import BadInput, VerificationFailed
from secagg.roster.messages import Admitted, Enrolment, EnrolRequest, Waiting, sign_enrolment
from secagg.roster.tokens import token_key
from secagg.wire.codec import decode, encode
from support.keyservers import DAY, Office, newcomer_of


def test_an_unknown_token_is_refused(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        token = await office.token()
        assert await office.refused(newcomer_of(replace(token, secret=bytes(32)))) == "E-TOKEN-UNKNOWN"

    office = Office(tmp_path).play(script)
    (line,) = [line for line in office.logged() if line["event"] == "refuse_enrolment"]
    assert (line["code"], line["institution"]) == ("E-TOKEN-UNKNOWN", "charite")


def test_an_expired_token_is_refused(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        office.now += DAY
        assert await office.refused(newcomer) == "E-TOKEN-EXPIRED"
        office.now -= 1
        assert isinstance(await office.knock(newcomer), Waiting)

    Office(tmp_path).play(script)


def test_a_used_token_is_refused_before_and_after_approval(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        token = await office.token()
        first, second = newcomer_of(token, b"first"), newcomer_of(token, b"second")
        assert isinstance(await office.knock(first), Waiting)
        assert await office.refused(second) == "E-TOKEN-USED"
        await office.approve(first)
        assert await office.refused(second) == "E-TOKEN-USED"
        assert isinstance(await office.knock(first), Admitted)

    office = Office(tmp_path).play(script)
    assert [line["code"] for line in office.logged() if line["event"] == "refuse_enrolment"] == ["E-TOKEN-USED"] * 2


def test_a_revoked_token_is_refused(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        token = await office.token()
        (row,) = await office.ask("token.list")
        await office.ask("token.revoke", id=row["id"])
        assert await office.refused(newcomer_of(token)) == "E-TOKEN-REVOKED"
        assert (await office.ask("token.list"))[0]["state"] == "revoked"

    Office(tmp_path).play(script)


def test_revoking_a_claimed_token_turns_the_candidate_away(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        await office.knock(newcomer)
        (row,) = await office.ask("token.list")
        await office.ask("token.revoke", id=row["id"])
        assert await office.ask("member.list") == []
        assert await office.refused(newcomer) == "E-TOKEN-REVOKED"

    Office(tmp_path).play(script)


def test_a_candidate_who_is_turned_away_hears_so(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        await office.knock(newcomer)
        assert await office.ask("member.revoke", name="charite", reason="unknown") == {
            "member": "charite",
            "version": None,
        }
        assert await office.refused(newcomer) == "E-TOKEN-REVOKED"

    Office(tmp_path).play(script)


def test_another_name_than_the_tokens_is_refused(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        assert await office.refused(newcomer_of(await office.token(), name="heidelberg")) == "E-TOKEN-NAME"

    Office(tmp_path).play(script)


@pytest.mark.parametrize("skew", [SKEW + 1, -SKEW - 1])
def test_a_clock_that_is_wrong_is_named_as_such(tmp_path: Path, skew: int) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        assert await office.refused(newcomer, body=newcomer.request(office.now + skew)) == "E-CLOCK"
        near = newcomer.request(office.now + (skew - 1 if skew > 0 else skew + 1))
        assert isinstance(await office.knock(newcomer, near), Waiting)

    Office(tmp_path).play(script)


def test_five_tries_are_all_that_a_token_has(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        token = await office.token()
        wrong = newcomer_of(token, b"wrong", name="other")
        assert [await office.refused(wrong) for _ in range(TRIES)] == ["E-TOKEN-NAME"] * TRIES
        assert await office.refused(newcomer_of(token)) == "E-TOKEN-TRIES"

    Office(tmp_path).play(script)


def test_requests_that_the_token_did_not_sign_are_no_tries(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        honest = decode(Enrolment, newcomer.request(office.now))
        forged = encode(replace(honest, by_token=honest.by_member))
        for _ in range(TRIES + 1):
            assert await office.refused(newcomer, body=forged) == "E-TOKEN-SIGNATURE"
        assert isinstance(await office.knock(newcomer), Waiting)

    Office(tmp_path).play(script)


def test_a_key_that_its_holder_did_not_sign_for_is_refused(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        honest = decode(Enrolment, newcomer.request(office.now))
        stolen = replace(decode(EnrolRequest, honest.request), sign_key=office.authority.online.public)
        own = SigningKey.from_private_bytes(newcomer.ring.sign.reveal())
        token = token_key(Secret(newcomer.token.secret), "fed")
        assert await office.refused(newcomer, body=encode(sign_enrolment(stolen, own, token))) == "E-TOKEN-SIGNATURE"

    Office(tmp_path).play(script)


def test_a_request_over_another_connection_is_refused(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        assert await office.refused(newcomer, over=bytes(32)) == "E-LINK-KEY"
        assert isinstance(await office.knock(newcomer), Waiting)

    Office(tmp_path).play(script)


@pytest.mark.parametrize("field", [{"federation": "fed2"}, {"root_fingerprint": "sha256:" + "00" * 32}])
def test_a_request_for_another_root_or_federation_is_refused(tmp_path: Path, field: dict[str, str]) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        honest = decode(Enrolment, newcomer.request(office.now))
        changed = replace(decode(EnrolRequest, honest.request), **field)
        own = SigningKey.from_private_bytes(newcomer.ring.sign.reveal())
        token = token_key(Secret(newcomer.token.secret), "fed")
        assert await office.refused(newcomer, body=encode(sign_enrolment(changed, own, token))) == "E-ROOT"

    Office(tmp_path).play(script)


def test_keys_of_another_party_are_refused(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.enrol("charite")  # its keys come from the seed `charite`
        assert await office.refused(newcomer_of(await office.token("jena"), b"charite")) == "E-KEY"

    Office(tmp_path).play(script)


@pytest.mark.parametrize("name", ["broker", "keyserver", "guest-1"])
def test_names_of_the_service_are_not_given(tmp_path: Path, name: str) -> None:
    async def script(office: Office) -> None:
        with pytest.raises(BadInput, match="taken by the service"):
            await office.ask("token.create", institution=name)

    Office(tmp_path).play(script)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.token("charite", ttl=10)
        with pytest.raises(BadInput, match="not used up"):
            await office.ask("token.create", institution="charite")
        office.now += 10
        await office.enrol("charite")
        with pytest.raises(BadInput, match="member already"):
            await office.ask("token.create", institution="charite")

    Office(tmp_path).play(script)


def test_an_institution_has_one_node_and_a_federation_one_aggregator(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.enrol("charite")
        second = newcomer_of(await office.token("charite", name="charite-2"), b"second")
        await office.knock(second)
        with pytest.raises(BadInput, match="seat of charite"):
            await office.approve(second)
        await office.enrol("sum", role="aggregator")
        rival = newcomer_of(await office.token("rival", role="aggregator"), b"rival")
        await office.knock(rival)
        with pytest.raises(BadInput, match="sum is the aggregator"):
            await office.approve(rival)

    Office(tmp_path).play(script)


def test_an_approval_needs_the_words_and_the_fingerprint_that_was_shown(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        await office.knock(newcomer)
        shown = await office.ask("member.show", name="charite")
        for words in ([], shown["words"][:1], [shown["words"][0], "none"]):
            with pytest.raises(VerificationFailed) as caught:
                await office.ask("member.approve", name="charite", fingerprint=shown["fingerprint"], words=words)
            assert caught.value.code == "E-WORDS"
        with pytest.raises(VerificationFailed, match="changed since"):
            await office.ask("member.approve", name="charite", fingerprint="00" * 32, words=shown["words"])
        with pytest.raises(BadInput, match="No request of jena"):
            await office.ask("member.approve", name="jena", fingerprint="00" * 32, words=shown["words"])
        assert (await office.ask("status"))["members"] == 0

    Office(tmp_path).play(script)


@pytest.mark.parametrize(
    "request_",
    [
        {"command": "member.erase"},
        {"command": "token.create"},
        {"command": "token.create", "institution": "Big Clinic"},
        {"command": "token.create", "institution": "a", "ttl": 0},
        {"command": "token.create", "institution": "a", "role": "keyserver"},
        {"command": "token.create", "institution": "a", "name": "A B"},
        {"command": "token.revoke", "id": "00000000"},
        {"command": "token.revoke", "id": "%"},
        {"command": "member.revoke", "name": "a", "reason": ""},
        {"command": "member.show", "name": "nobody"},
        {"command": "status", "more": 1},
    ],
)
def test_what_makes_no_sense_is_bad_input(tmp_path: Path, request_: dict[str, Any]) -> None:
    async def script(office: Office) -> None:
        with pytest.raises(BadInput):
            await office.ask(**request_)
        assert (await office.ask("status"))["decided"] == 2

    Office(tmp_path).play(script)
