"""Fingerprints: a known answer from another implementation, words that differ by ear, and what may be read out."""

import pytest
from msgspec.structs import replace

from secagg.errors import VerificationFailed
from secagg.roster.fingerprints import check_words, groups, member_fingerprint, words
from secagg.roster.members import Member
from secagg.roster.words import WORDS

MEMBER = Member("charite", "Charite", "node", b"\x01" * 32, b"\x02" * 32)
ROOT = "sha256:00"
# Made with hashlib alone: SHA-256 over every field behind its length in four bytes, the label first.
KNOWN = bytes.fromhex("5381399f4338c52c46dd6eef112c03fef53ae3f743a64139007bb28d4c731e56")
SPOKEN = ("figure", "kitten", "daisy", "nickel", "drawer", "dagger", "radar", "circus")


def test_the_known_answer() -> None:
    assert member_fingerprint("fed", ROOT, MEMBER) == KNOWN
    assert groups(KNOWN).startswith("5381 399f 4338 c52c ")
    assert groups(KNOWN).replace(" ", "") == KNOWN.hex()
    assert words(KNOWN) == SPOKEN


def test_every_field_changes_it() -> None:
    others = [
        member_fingerprint("fed2", ROOT, MEMBER),
        member_fingerprint("fed", "sha256:01", MEMBER),
        member_fingerprint("fed", ROOT, replace(MEMBER, name="c")),
        member_fingerprint("fed", ROOT, replace(MEMBER, organisation="c")),
        member_fingerprint("fed", ROOT, replace(MEMBER, role="aggregator")),
        member_fingerprint("fed", ROOT, replace(MEMBER, sign_key=b"\x03" * 32)),
        member_fingerprint("fed", ROOT, replace(MEMBER, curve_key=b"\x03" * 32)),
        # Two fields that would run together without their lengths.
        member_fingerprint("fed", ROOT, replace(MEMBER, name="charit", organisation="eCharite")),
    ]
    assert len({KNOWN, *others}) == 1 + len(others)


def test_words_can_be_told_apart() -> None:
    assert len(WORDS) == 256
    assert len({word[:4] for word in WORDS}) == 256
    assert [word for word in WORDS if not (4 <= len(word) <= 8 and word.isascii() and word.islower())] == []


@pytest.mark.parametrize(
    "heard",
    [SPOKEN[:2], SPOKEN[1::6], (f" {SPOKEN[0].title()} ", SPOKEN[6].upper()), SPOKEN[::3], SPOKEN],
)
def test_words_of_the_fingerprint_are_accepted(heard: tuple[str, ...]) -> None:
    check_words(KNOWN, heard)


@pytest.mark.parametrize(
    "heard",
    [(), SPOKEN[:1], SPOKEN[:1] * 2, SPOKEN[1::-1], (SPOKEN[0], "zebra"), ("", SPOKEN[0]), ("zebra", "acorn")],
)
def test_other_words_too_few_or_in_another_order_are_refused(heard: tuple[str, ...]) -> None:
    with pytest.raises(VerificationFailed) as caught:
        check_words(KNOWN, heard)
    assert caught.value.code == "E-WORDS"
