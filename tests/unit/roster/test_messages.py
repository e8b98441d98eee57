"""Enrolment messages: both keys sign the same bytes, and no signature serves for anything else."""

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.errors import BadSignature
from secagg.roster.messages import (
    Admitted,
    Denied,
    EnrolReply,
    EnrolRequest,
    Waiting,
    check_enrolment,
    sign_enrolment,
)
from secagg.wire.codec import decode, encode

MEMBER, TOKEN, OTHER = (SigningKey.from_private_bytes(sha256(label)) for label in (b"member", b"token", b"other"))
REQUEST = EnrolRequest("fed", "sha256:00", "charite", MEMBER.public, bytes(32), TOKEN.public, 1_700_000_000)


def test_both_signatures_hold() -> None:
    check_enrolment(sign_enrolment(REQUEST, MEMBER, TOKEN), REQUEST)


@pytest.mark.parametrize(("member", "token"), [(OTHER, TOKEN), (MEMBER, OTHER), (TOKEN, MEMBER)])
def test_a_request_signed_by_others_is_refused(member: SigningKey, token: SigningKey) -> None:
    with pytest.raises(BadSignature):
        check_enrolment(sign_enrolment(REQUEST, member, token), REQUEST)


def test_the_bytes_that_arrived_are_what_is_signed() -> None:
    signed = sign_enrolment(REQUEST, MEMBER, TOKEN)
    with pytest.raises(BadSignature):
        check_enrolment(replace(signed, request=encode(replace(REQUEST, name="other"))), REQUEST)


def test_a_signature_without_the_label_is_no_enrolment() -> None:
    signed = sign_enrolment(REQUEST, MEMBER, TOKEN)
    with pytest.raises(BadSignature):
        check_enrolment(replace(signed, by_member=MEMBER.sign(signed.request)), REQUEST)


@pytest.mark.parametrize("reply", [Waiting(bytes(32)), Admitted(b"push"), Denied("E-X", "Cause.", "Remedy.")])
def test_replies_are_told_apart(reply: EnrolReply) -> None:
    assert decode(EnrolReply, encode(reply)) == reply  # type: ignore[arg-type]
