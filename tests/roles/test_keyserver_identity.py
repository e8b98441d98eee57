"""What makes a newcomer the same one: both keys, whoever brings the request, and no key that another party has."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from keyserver.enrolment import Refusal, consider
from keyserver.records import Register
from secagg.crypto.derive import sha256
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.daemon.enrolment import Newcomer
from secagg.daemon.turn import Turn
from secagg.errors import BadInput
from secagg.roster.chain import Delegation, delegate, follows, sign_roster
from secagg.roster.members import Limits, Roster
from secagg.roster.messages import EnrolRequest, Waiting, sign_enrolment
from secagg.roster.tokens import token_key
from secagg.wire.codec import encode
from support.federation import counted_rng
from support.keyservers import Office, newcomer_of


def mixed(newcomer: Newcomer, *, sign: Newcomer, curve_key: bytes, now: int) -> bytes:
    """Return a request with `newcomer`'s token, the signing key of `sign` and any CURVE key, signed by both keys."""
    token = token_key(Secret(newcomer.token.secret), newcomer.token.federation)
    own = SigningKey.from_private_bytes(sign.ring.sign.reveal())
    root, name = newcomer.token.root_fingerprint, newcomer.member.name
    request = EnrolRequest(newcomer.token.federation, root, name, own.public, curve_key, token.public, now)
    return encode(sign_enrolment(request, own, token))


@pytest.mark.parametrize("kept", ["sign_key", "curve_key"])
def test_one_key_changed_is_another_request(tmp_path: Path, kept: str) -> None:
    async def script(office: Office) -> None:
        token = await office.token()
        first, second = newcomer_of(token, b"first"), newcomer_of(token, b"second")
        assert isinstance(await office.knock(first), Waiting)
        sign, link = (first, second) if kept == "sign_key" else (second, first)
        key = link.member.curve_key
        body = mixed(first, sign=sign, curve_key=key, now=office.now)
        assert await office.refused(first, body=body, over=key) == "E-TOKEN-USED"
        (row,) = await office.ask("member.list")
        assert row["fingerprint"].replace(" ", "") == first.fingerprint.hex()

    Office(tmp_path).play(script)


def test_a_request_without_a_proved_key_is_refused(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        with office.journal.transaction() as transaction:
            register = Register(Turn(transaction, office.now, counted_rng(b"turn"), "a-member"), office.authority)
            with pytest.raises(Refusal) as caught:
                consider(newcomer.request(office.now), b"", register, office.authority, office.now)
        assert caught.value.error.code == "E-LINK-KEY"

    Office(tmp_path).play(script)


def test_keys_of_one_who_only_waits_are_taken(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        assert isinstance(await office.knock(newcomer_of(await office.token(), b"same")), Waiting)
        assert await office.refused(newcomer_of(await office.token("jena"), b"same")) == "E-KEY"

    Office(tmp_path).play(script)


def test_the_key_servers_own_keys_are_taken(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        key = office.authority.curve_key
        body = mixed(newcomer, sign=newcomer, curve_key=key, now=office.now)
        assert await office.refused(newcomer, body=body, over=key) == "E-KEY"

    Office(tmp_path).play(script)


def test_the_token_of_a_member_is_not_revoked_but_the_member(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.enrol("charite")
        (row,) = await office.ask("token.list")
        with pytest.raises(BadInput, match="used by charite"):
            await office.ask("token.revoke", id=row["id"])

    Office(tmp_path).play(script)


def test_a_chain_begins_with_version_one() -> None:
    root, online = (SigningKey.from_private_bytes(sha256(label)) for label in (b"root", b"online"))
    first = Roster("fed", 1, 0, 100, bytes(32), Limits(0, 1), ())
    delegation = delegate(root, Delegation("fed", online.public, 100))
    assert follows(sign_roster(first, root.public, delegation, online), None)
    assert not follows(sign_roster(replace(first, version=2), root.public, delegation, online), None)
