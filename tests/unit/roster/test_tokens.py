"""Tokens: what a line holds, what a damaged one says, and that the secret shows nowhere."""

import base64

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.secret import Secret
from secagg.errors import BadInput
from secagg.roster.tokens import LONGEST, PREFIX, Token, read_token, token_id, token_key, write_token
from secagg.wire.codec import encode

SECRET = bytes(range(32))
TOKEN = Token(
    "tcp://b:7700", "tcp://b:7701", "tcp://b:7702", bytes(32), "sha256:00", "fed", "charite", "charite", "node",
    1_700_000_000, 1_700_086_400, SECRET,
)  # fmt: skip


def test_a_line_is_read_as_it_was_written() -> None:
    line = write_token(TOKEN)
    assert line.startswith("sa1_")
    assert read_token(line) == TOKEN


def test_white_space_that_mail_adds_is_dropped() -> None:
    line = write_token(TOKEN)
    assert read_token(f"  {line[:40]}\r\n  {line[40:90]}\n{line[90:]}\n") == TOKEN


def packed(body: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(sha256(body)[:4] + body).decode()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "sa1_",
        "sa1_!!!!",
        "sa2_" + write_token(TOKEN)[4:],
        write_token(TOKEN)[:-2],
        write_token(TOKEN).swapcase(),
        packed(b"no token"),
        packed(encode(replace(TOKEN, name="No Name"))),
        packed(encode(replace(TOKEN, secret=bytes(31)))),
        PREFIX + "A" * LONGEST,
        "sa1_ä",
    ],
)
def test_a_damaged_line_is_no_token_and_is_not_repeated(line: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_token(line)
    assert caught.value.code == "E-TOKEN"
    assert not line[4:] or line[4:] not in str(caught.value)


def test_one_changed_character_is_noticed() -> None:
    line = write_token(TOKEN)
    for position in range(len(PREFIX), len(line) - 1):
        changed = line[:position] + ("A" if line[position] != "A" else "B") + line[position + 1 :]
        with pytest.raises(BadInput):
            read_token(changed)


def test_a_token_does_not_print_its_secret() -> None:
    assert "OMITTED" in repr(TOKEN)
    assert repr(SECRET)[2:-1] not in repr(TOKEN)
    assert SECRET.hex() not in repr(TOKEN)


def test_the_key_follows_from_secret_and_federation_alone() -> None:
    public = token_key(Secret(SECRET), "fed").public
    assert public.hex() == "48e899d5129b3a47bc1b83c6c5c0abc3a46a269cd6e2a5d131dfde505c302289"
    assert token_id(public).hex() == "09a30e019ff6c2345d0be580a2e4b78a5683151f15c526311fbe747fc57a7f20"
    assert token_key(Secret(SECRET), "other").public != public
    assert token_key(Secret(bytes(32)), "fed").public != public
