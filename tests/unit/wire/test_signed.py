"""A signature holds in one slot: every part of its context that changes is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.sign import SigningKey, verify
from secagg.errors import BadSignature
from secagg.ids import RoundId
from secagg.wire.signed import LABEL, Scope, Signed, context, open_signed, sign

KEY = SigningKey.from_private_bytes(b"\x01" * 32)
OTHER = SigningKey.from_private_bytes(b"\x02" * 32)
ROUND = RoundId(federation="trial", job="heart", round=3, attempt=1, group=0)
SCOPE = Scope(round=ROUND, manifest=b"m" * 32)
GOOD = sign(KEY, "keys", SCOPE, "node-a", "aggregator", b"body")


def opened(signed: Signed, scope: Scope = SCOPE, kind: str = "keys", receiver: str = "aggregator") -> bytes:
    return open_signed(signed, KEY.public, kind, scope, receiver)


def test_it_opens_in_its_slot() -> None:
    assert opened(GOOD) == b"body"


def test_the_signature_covers_the_context_of_the_specification() -> None:
    data = fields(
        "secagg/v1/message", "keys", "trial", "heart", 3, 1, 0, b"m" * 32, "node-a", "aggregator", sha256(b"body")
    )
    verify(KEY.public, data, GOOD.signature)
    assert data == context(LABEL, "keys", SCOPE, "node-a", "aggregator") + fields(sha256(b"body"))


@pytest.mark.parametrize(
    "scope",
    [
        Scope(round=replace(ROUND, federation="other"), manifest=b"m" * 32),
        Scope(round=replace(ROUND, job="liver"), manifest=b"m" * 32),
        Scope(round=replace(ROUND, round=4), manifest=b"m" * 32),
        Scope(round=replace(ROUND, attempt=2), manifest=b"m" * 32),
        Scope(round=replace(ROUND, group=1), manifest=b"m" * 32),
        Scope(round=ROUND, manifest=b"n" * 32),
    ],
    ids=["federation", "job", "round", "attempt", "group", "manifest"],
)
def test_another_scope_is_refused(scope: Scope) -> None:
    with pytest.raises(BadSignature) as caught:
        opened(GOOD, scope)
    assert caught.value.rule == "signature.invalid"


@pytest.mark.parametrize(
    "signed",
    [
        replace(GOOD, sender="node-b"),
        replace(GOOD, body=b"bodY"),
        replace(GOOD, body=b""),
        replace(GOOD, signature=bytes(64)),
        replace(GOOD, signature=GOOD.signature[::-1]),
        sign(OTHER, "keys", SCOPE, "node-a", "aggregator", b"body"),
    ],
    ids=["sender", "body", "empty", "zero", "reversed", "key"],
)
def test_another_message_is_refused(signed: Signed) -> None:
    with pytest.raises(BadSignature) as caught:
        opened(signed)
    assert caught.value.rule == "signature.invalid"
    assert "node" in str(caught.value)


@pytest.mark.parametrize(
    ("signed", "kind", "receiver"),
    [
        (GOOD, "shares", "aggregator"),
        (GOOD, "keys", "node-b"),
        (GOOD, "keys", "*"),
        (replace(GOOD, kind="shares"), "keys", "aggregator"),
        (replace(GOOD, receiver="*"), "keys", "aggregator"),
    ],
)
def test_another_slot_is_refused(signed: Signed, kind: str, receiver: str) -> None:
    with pytest.raises(BadSignature) as caught:
        opened(signed, kind=kind, receiver=receiver)
    assert caught.value.rule == "signature.slot"


@pytest.mark.parametrize(("kind", "receiver"), [("shares", "aggregator"), ("keys", "*")])
def test_a_relabelled_message_does_not_verify(kind: str, receiver: str) -> None:
    with pytest.raises(BadSignature) as caught:
        opened(replace(GOOD, kind=kind, receiver=receiver), kind=kind, receiver=receiver)
    assert caught.value.rule == "signature.invalid"


@settings(max_examples=60)
@given(st.tuples(*[st.text(max_size=3)] * 4), st.tuples(*[st.text(max_size=3)] * 4))
def test_two_contexts_never_meet(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    first = context(one[0], one[1], SCOPE, one[2], one[3])
    assert (first == context(other[0], other[1], SCOPE, other[2], other[3])) is (one == other)
