"""The chain from the pinned root: every link that can be broken is refused, each with its own cause."""

from typing import Any

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.errors import SecaggError, VerificationFailed
from secagg.roster.chain import (
    Delegation,
    SignedRoster,
    delegate,
    fingerprint,
    follows,
    online_key,
    open_roster,
    sign_roster,
)
from secagg.roster.members import Limits, Member, Roster
from secagg.wire.codec import decode, encode

NOW = 1_700_000_000
ROOT, ONLINE, OTHER = (SigningKey.from_private_bytes(sha256(label)) for label in (b"root", b"online", b"other"))
PIN = fingerprint(ROOT.public)
DELEGATION = delegate(ROOT, Delegation("fed", ONLINE.public, NOW + 1000))
FIRST = Roster(
    "fed", 1, NOW, NOW + 100, bytes(32), Limits(1, 3), (Member("a", "A", "node", bytes(32), b"\x01" * 32),)
)  # fmt: skip


def sign(roster: Roster = FIRST, **parts: Any) -> bytes:
    given: dict[str, Any] = {"root_key": ROOT.public, "delegation": DELEGATION, "online": ONLINE} | parts
    return sign_roster(roster, **given)


def refusal(data: bytes, *, pin: str = PIN, now: int = NOW, last: Roster | None = None) -> SecaggError:
    with pytest.raises(VerificationFailed) as caught:
        open_roster(data, pin, now, last)
    assert caught.value.remedy
    return caught.value


def test_an_honest_roster_opens() -> None:
    assert open_roster(sign(), PIN, NOW, None) == FIRST
    assert open_roster(sign(), PIN, NOW + 99, FIRST) == FIRST
    assert online_key(sign(), PIN) == ONLINE.public


def test_the_fingerprint_is_fixed() -> None:
    assert fingerprint(bytes(32)) == "sha256:" + sha256(
        b"\x00\x00\x00\x0esecagg/v1/root\x00\x00\x00\x20" + bytes(32)
    ).hex()  # fmt: skip


def test_another_root_is_named() -> None:
    other = SigningKey.from_private_bytes(sha256(b"elsewhere"))
    found = refusal(sign(), pin=fingerprint(other.public))
    assert found.code == "E-ROOT"
    assert PIN in found.cause


def test_a_root_that_the_delegation_was_not_signed_by_is_refused() -> None:
    forged = replace(decode(SignedRoster, sign()), root_key=OTHER.public)
    assert "delegation" in refusal(encode(forged), pin=fingerprint(OTHER.public)).cause


def test_a_key_without_delegation_is_refused() -> None:
    assert "the roster does not verify" in refusal(sign(online=OTHER)).cause


def test_a_roster_under_the_delegation_of_another_federation_is_refused() -> None:
    elsewhere = delegate(ROOT, Delegation("elsewhere", ONLINE.public, NOW + 1000))
    assert "another federation" in refusal(sign(delegation=elsewhere)).cause


@pytest.mark.parametrize("expires", [NOW - 1, NOW])
def test_an_expired_roster_is_refused(expires: int) -> None:
    found = refusal(sign(replace(FIRST, expires=expires)))
    assert found.code == "E-EXPIRED"


def test_an_expired_delegation_ends_a_roster_that_would_live() -> None:
    short = delegate(ROOT, Delegation("fed", ONLINE.public, NOW + 10))
    assert open_roster(sign(delegation=short), PIN, NOW + 9, None) == FIRST
    assert refusal(sign(delegation=short), now=NOW + 10).code == "E-EXPIRED"


def test_a_rollback_is_refused() -> None:
    second = replace(FIRST, version=2, previous=sha256(sign()))
    assert open_roster(sign(second), PIN, NOW, FIRST) == second
    assert "older than 2" in refusal(sign(), last=second).cause


def test_two_rosters_of_one_version_are_evidence() -> None:
    assert "two rosters of version 1" in refusal(sign(replace(FIRST, members=())), last=FIRST).cause


def test_a_roster_follows_the_bytes_it_names_and_no_others() -> None:
    second = sign(replace(FIRST, version=2, previous=sha256(sign())))
    assert follows(sign(), None)
    assert follows(second, sign())
    assert not follows(second, None)
    assert not follows(second, sign(replace(FIRST, issued=NOW + 1)))
    assert not follows(sign(replace(FIRST, version=3, previous=sha256(sign()))), sign())
    assert not follows(sign(replace(FIRST, previous=b"\x01" * 32)), None)


def test_no_byte_can_be_changed() -> None:
    honest = sign()
    for position in range(len(honest)):
        changed = honest[:position] + bytes([honest[position] ^ 1]) + honest[position + 1 :]
        with pytest.raises(SecaggError):
            open_roster(changed, PIN, NOW, None)
