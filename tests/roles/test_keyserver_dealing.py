"""Keys of ceremonies in the directory: stated once, of this federation's trustees only, their files kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from secagg.crypto.derive import sha256
from secagg.crypto.seal import SealingKey
from secagg.crypto.sign import SigningKey
from secagg.daemon.enrolment import Newcomer
from secagg.errors import BadInput, Refused, SecaggError
from secagg.log.statements import KeyDealt, canonical, parse_statement
from secagg.protocol.ceremony.dealing import Dealt, Plan, hold
from secagg.protocol.ceremony.files import Card, sign_card
from support.arriving import settle
from support.keyservers import Office
from support.paillier_keys import SMALL, seeded

NAMES = ("ana", "ben", "cyd")


def deal(root: str, *trustees: Newcomer) -> Dealt:
    """Hold a ceremony for these members with a weak key."""
    cards = []
    for one in trustees:
        sealing = SealingKey.from_private_bytes(seeded(one.member.name)(96))
        key = SigningKey.from_private_bytes(one.ring.sign.reveal())
        cards.append(sign_card(key, Card("fed", root, one.member, sealing.public)))
    return hold(Plan(2, 0, SMALL), cards, seeded("dealt"), lambda: 0, weak=True)


async def dealt_of(office: Office) -> Dealt:
    """Enrol three trustees and hold their ceremony."""
    found = [await office.enrol(name, role="trustee") for name in NAMES]
    return deal(office.authority.root_fingerprint, *found)


def asked(dealt: Dealt, **changes: str) -> dict[str, Any]:
    """Return the operator's request."""
    return {"key": dealt.key.hex(), "transcript": dealt.transcript.decode()} | changes


def stated(office: Office) -> list[KeyDealt]:
    """Return what the directory says of keys."""
    found = [parse_statement(office.log.leaf(index))[0] for index in range(office.log.size)]
    return [statement for statement in found if isinstance(statement, KeyDealt)]


def test_a_key_is_stated_once_and_its_files_lie_beside_the_log(tmp_path: Path) -> None:
    dealt: list[Dealt] = []

    async def script(office: Office) -> None:
        dealt.append(await dealt_of(office))
        for _ in range(2):
            assert await office.ask("key.log", **asked(dealt[0])) == {"key": sha256(dealt[0].key).hex()}
        await settle()

    office = Office(tmp_path).play(script)
    (statement,) = stated(office)
    assert (statement.trustees, statement.threshold, statement.colluders, statement.bits) == (NAMES, 2, 0, SMALL)
    assert (tmp_path / statement.key).read_bytes() == dealt[0].key
    assert (tmp_path / statement.transcript).read_bytes() == dealt[0].transcript


def test_a_statement_survives_a_restart_before_it_is_published(tmp_path: Path) -> None:
    async def decide(office: Office) -> None:
        dealt = await dealt_of(office)
        office.executor.held = True
        await office.ask("key.log", **asked(dealt))

    async def again(office: Office) -> None:
        await settle()

    first = Office(tmp_path).play(decide)
    assert stated(first) == []
    second = first.again().play(again)
    (statement,) = stated(second)
    assert (tmp_path / statement.key).exists()
    assert (tmp_path / statement.transcript).exists()


async def spoilt(what: str, office: Office, dealt: Dealt) -> dict[str, Any]:
    """Return a request that is not as it should be."""
    request, document = asked(dealt), json.loads(dealt.transcript)
    place = document["trustees"][0]
    fields = {"stranger": "name", "another key": "sign_key", "organisation": "organisation"}
    if what in ("federation", "root"):
        document |= {"federation" if what == "federation" else "root_fingerprint": "other"}
    elif what in fields:
        place[fields[what]] = "00" * 32
    elif what == "node":
        node = await office.enrol("mayo")
        place |= {"name": "mayo", "organisation": "mayo", "sign_key": node.member.sign_key.hex()}
    elif what == "revoked":
        await office.ask("member.revoke", name="ben", reason="left")
    request["transcript"] = canonical(document).decode()
    spoilt_bytes = {"key": {"key": dealt.key[:-1].hex()}, "torn": {"transcript": request["transcript"][:-1]}}
    return request | spoilt_bytes.get(what, {"key": "xyz"} if what == "no hex" else {})


@pytest.mark.parametrize(
    ("what", "rule"),
    [
        ("federation", "ceremony.federation"), ("root", "ceremony.federation"), ("key", "ceremony.key"),
        ("stranger", "ceremony.seat"), ("another key", "ceremony.seat"), ("organisation", "ceremony.seat"),
        ("revoked", "ceremony.seat"), ("node", "ceremony.seat"), ("torn", ""), ("no hex", ""),
    ],
)  # fmt: skip
def test_what_the_directory_does_not_state(tmp_path: Path, what: str, rule: str) -> None:
    async def script(office: Office) -> None:
        request = await spoilt(what, office, await dealt_of(office))
        with pytest.raises(SecaggError) as caught:
            await office.ask("key.log", **request)
        assert getattr(caught.value, "rule", "") == rule
        assert isinstance(caught.value, Refused if rule else BadInput) or caught.value.code == "E-WIRE"

    assert stated(Office(tmp_path).play(script)) == []
