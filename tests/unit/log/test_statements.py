"""Statements: one text for one meaning, and a signature over every field."""

import json
from typing import Any, get_args

import msgspec
import pytest

from secagg.crypto.labels import fields
from secagg.crypto.sign import SigningKey, verify
from secagg.errors import VerificationFailed
from secagg.log.statements import (
    LABEL,
    MAX_LEAF,
    AnswerDigest,
    AnyStatement,
    Contributor,
    Contributors,
    DropOut,
    Opening,
    Result,
    RosterRoot,
    canonical,
    open_statement,
    parse_statement,
    sign_statement,
)

KEY = SigningKey.from_private_bytes(b"\x01" * 32)
OTHER = SigningKey.from_private_bytes(b"\x02" * 32)
HASH = "ab" * 32
ROUND: dict[str, Any] = {"federation": "trial", "time": 1_700_000_000, "job": "j", "round": 3, "attempt": 1, "group": 0}
EXAMPLES = [
    RosterRoot(federation="trial", time=5, root_key=HASH, online_key="cd" * 32),
    DropOut(**ROUND, member="node-a", step="MaskedInput", reason="no answer — timed out"),
    Contributors(
        **ROUND, manifest=HASH, u1=HASH, u2=HASH, u3=HASH,
        members=(Contributor("a", HASH, HASH), Contributor("b", HASH, "cd")),
    ),
    Opening(**ROUND, manifest=HASH, answers=(AnswerDigest("a", HASH),), signatures=HASH, witnesses=HASH),
    Result(**ROUND, manifest=HASH, contributors=("a", "b"), result=HASH, model=""),
]  # fmt: skip


def key_of(signer: str) -> bytes:
    return {"aggregator": KEY.public, "other": OTHER.public}.get(signer, bytes(32))


def signed(document: dict[str, Any], signer: object = "aggregator") -> bytes:
    """Sign any document as `sign_statement` would, whatever it holds."""
    whole = {**document, "signer": signer}
    return canonical({**whole, "signature": KEY.sign(fields(LABEL, canonical(whole))).hex()})


def plain(statement: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(statement)
    return found


def changes(value: object) -> list[object]:
    """Return values near `value`, none equal to it."""
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, str):
        return [value + "00", "ee" + value[2:]]
    assert isinstance(value, list)
    return [value[:-1], value + value[-1:]]


@pytest.mark.parametrize("statement", EXAMPLES, ids=lambda found: type(found).__name__)
def test_a_statement_comes_back(statement: Any) -> None:
    leaf = sign_statement(statement, "aggregator", KEY)
    assert open_statement(leaf, key_of) == (statement, "aggregator")
    assert leaf == json.dumps(json.loads(leaf), sort_keys=True, separators=(",", ":")).encode()
    assert signed(plain(statement)) == leaf


@pytest.mark.parametrize("statement", EXAMPLES, ids=lambda found: type(found).__name__)
def test_every_changed_field_is_refused(statement: Any) -> None:
    document = json.loads(sign_statement(statement, "aggregator", KEY))
    tried = 0
    for name, value in document.items():
        for changed in changes(value):
            with pytest.raises(VerificationFailed):
                open_statement(canonical({**document, name: changed}), key_of)
            tried += 1
        with pytest.raises(VerificationFailed):
            open_statement(canonical({key: kept for key, kept in document.items() if key != name}), key_of)
    assert tried >= len(document)


def test_another_signer_is_refused() -> None:
    document = json.loads(sign_statement(EXAMPLES[0], "aggregator", KEY))
    with pytest.raises(VerificationFailed, match="signature of other on a RosterRoot"):
        open_statement(canonical({**document, "signer": "other"}), key_of)


def test_the_signature_covers_a_label() -> None:
    _, _, signature, text = parse_statement(sign_statement(EXAMPLES[0], "aggregator", KEY))
    verify(KEY.public, fields(LABEL, text), signature)
    bare = json.loads(text)
    leaf = canonical({**bare, "signature": KEY.sign(text).hex()})
    with pytest.raises(VerificationFailed, match="does not verify"):
        open_statement(leaf, key_of)


GOOD = sign_statement(EXAMPLES[0], "aggregator", KEY)


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        GOOD + b"\n",
        b" " + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        GOOD.replace(b'":', b'": ', 1),
        GOOD.replace(b"{", b'{"time":5,', 1),
        GOOD.replace(b'"time":5', b'"time":5.0'),
        GOOD.replace(b'"time":5', b'"time":5e0'),
        GOOD.replace(b"trial", b"\\u0074rial"),
        json.dumps(dict(reversed(json.loads(GOOD).items())), separators=(",", ":")).encode(),
        json.dumps(json.loads(GOOD), sort_keys=True).encode(),
        b"[" * 5000 + b"]" * 5000,
        b"9" * 5000,
        b"x" * (MAX_LEAF + 1),
    ],
)
def test_anything_but_the_canonical_text_is_refused(leaf: bytes) -> None:
    with pytest.raises(VerificationFailed):
        parse_statement(leaf)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time", 5.0),
        ("time", 5.5),
        ("time", float("nan")),
        ("time", True),
        ("time", "5"),
        ("time", None),
        ("time", -1),
        ("time", 2**53),
        ("type", "Nothing"),
        ("type", 7),
        ("federation", "Trial"),
        ("federation", "trial\n"),
        ("federation", ""),
        ("federation", "a" * 65),
        ("root_key", "AB" * 32),
        ("root_key", "abc"),
        ("root_key", "ab" * 65),
        ("root_key", 12),
        ("extra", 1),
    ],
)
def test_a_field_of_another_form_is_refused_even_when_signed(name: str, value: object) -> None:
    leaf = signed({**plain(EXAMPLES[0]), name: value})
    with pytest.raises(VerificationFailed, match="A log entry is no statement"):
        parse_statement(leaf)


@pytest.mark.parametrize("signer", ["", "A", 7, None, ["aggregator"], True, "a b", "a\n", "\ud800"])
def test_a_signer_is_a_name(signer: object) -> None:
    with pytest.raises(VerificationFailed, match="A log entry is no statement"):
        parse_statement(signed(plain(EXAMPLES[0]), signer))


@pytest.mark.parametrize(
    "change",
    [str.upper, lambda text: " " + text, lambda text: text[:64] + " " + text[64:], lambda text: text[:-2],
     lambda text: text + "00", lambda text: "", lambda text: 5, lambda text: None],
)  # fmt: skip
def test_a_signature_has_one_form(change: Any) -> None:
    document = json.loads(GOOD)
    with pytest.raises(VerificationFailed, match="A log entry is no statement"):
        parse_statement(canonical({**document, "signature": change(document["signature"])}))


def test_the_longest_statement_fits_an_entry() -> None:
    members = tuple(Contributor("n" * 64, HASH, HASH) for _ in range(220))
    statement = Contributors(**ROUND, manifest=HASH, u1=HASH, u2=HASH, u3=HASH, members=members)
    leaf = sign_statement(statement, "aggregator", KEY)
    assert len(leaf) <= MAX_LEAF
    assert open_statement(leaf, key_of)[0] == statement


def test_every_statement_has_its_own_type() -> None:
    kinds = get_args(AnyStatement)
    assert len({kind.__struct_config__.tag for kind in kinds}) == len(kinds) == 23
