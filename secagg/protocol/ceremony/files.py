"""What people carry between the dealer's offline machine and the trustees: cards, sealed shares, the transcript.

    trustee → dealer     card          who I am and where to seal my share, signed with my member key
    dealer → everybody   key           the encoded public part: of one trustee a `PublicKey`, of more a `ThresholdKey`
    dealer → everybody   transcript    what was done, canonical JSON, names every other file by its SHA-256
    dealer → trustee     share         the trustee's secret, sealed to its card
    trustee → operator   acceptance    I checked my share of exactly this key (secagg.protocol.custody)

Rules: a card carries the member whose words were read out at enrolment, so the dealer compares the same words again.
The dealer has no key of its own, so its word is the transcript's digest, whose words every trustee compares with it.
Leaves to others: dealing (dealing.py), checking (accepting.py), where files lie (keyserver.trustee).
"""

import json
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.sign import SigningKey, verify
from secagg.errors import BadSignature, ProtocolViolation, Refused, WireError
from secagg.ids import Count, Digest, Name, Ordinal, Organisation, Signature, Word
from secagg.log.statements import Text, canonical
from secagg.roster.fingerprints import member_fingerprint, words
from secagg.roster.members import Member
from secagg.wire.codec import decode, encode

CARD_LABEL = "secagg/v1/ceremony/card"
SHARE_LABEL = "secagg/v1/ceremony/share"
LONGEST = 65_536
"""Bytes of a transcript: sixteen trustees and their digests have 8,000."""

Hex32 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Card(Struct, frozen=True, forbid_unknown_fields=True):
    """A trustee as the dealer knows it; `sealing_key` is made for one ceremony and destroyed with acceptance."""

    federation: Name
    root_fingerprint: Word
    member: Member
    sealing_key: Annotated[bytes, Meta(min_length=1216, max_length=1216)]

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of the member, the same as at its enrolment."""
        return words(member_fingerprint(self.federation, self.root_fingerprint, self.member))


class SignedCard(Struct, frozen=True, forbid_unknown_fields=True):
    """An encoded `Card` and the signature of its member over it."""

    card: bytes
    signature: Signature


class SealedShare(Struct, frozen=True, forbid_unknown_fields=True):
    """A trustee's share of the key with this digest, sealed to its card."""

    trustee: Name
    key: Digest
    sealed: bytes


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """A trustee in the transcript: who it is, and the SHA-256 of its card and of its sealed share."""

    name: Name
    organisation: Organisation
    sign_key: Hex32
    card: Hex32
    sealed: Hex32


class Passed(Struct, frozen=True, forbid_unknown_fields=True):
    """Something the dealer did, so many seconds after it began."""

    seconds: Count
    what: Text


class Transcript(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="secagg-ceremony-v1"):
    """What the dealer says it did; no secret and no ciphertext is in it."""

    federation: Name
    root_fingerprint: Word
    time: Count
    program: Text
    profile: Text
    bits: Ordinal
    threshold: Ordinal
    colluders: Count
    key: Hex32
    trustees: Annotated[tuple[Place, ...], Meta(min_length=1, max_length=16)]
    steps: Annotated[tuple[Passed, ...], Meta(max_length=64)]

    def place(self, name: str) -> Place:
        """Return a trustee's entry.

        Raises: Refused, rule ceremony.seat, when it has none.
        """
        for place in self.trustees:
            if place.name == name:
                return place
        raise Refused(f"The ceremony has no share for {name}.", "Ask the dealer.", rule="ceremony.seat")


def sign_card(key: SigningKey, card: Card) -> bytes:
    """Return the card as a file."""
    body = encode(card)
    return encode(SignedCard(body, key.sign(fields(CARD_LABEL, body))))


def open_card(data: bytes) -> Card:
    """Return a card whose signature holds under the key that it names, which is a trustee's.

    Raises: WireError; BadSignature; ProtocolViolation, rule ceremony.role.
    """
    signed = decode(SignedCard, data)
    card = decode(Card, signed.card)
    try:
        verify(card.member.sign_key, fields(CARD_LABEL, signed.card), signed.signature)
    except BadSignature:
        raise BadSignature(
            f"The card of {card.member.name} is not signed by its own key.", "Ask for it again.", rule="ceremony.card"
        ) from None
    if card.member.role != "trustee":
        raise ProtocolViolation(
            f"{card.member.name} is enrolled as {card.member.role}.", "Only trustees hold shares.", rule="ceremony.role"
        )
    return card


def write_transcript(transcript: Transcript) -> bytes:
    """Return the transcript as a file: canonical JSON, which a person and other programs can read."""
    return canonical(msgspec.to_builtins(transcript))


def read_transcript(data: bytes) -> Transcript:
    """Return a transcript.

    Raises: WireError when it is none, or not written in the one way.
    """
    try:
        if len(data) > LONGEST:
            raise ValueError("it is too long")
        found = msgspec.convert(json.loads(data), Transcript)
        if write_transcript(found) != data:  # also one without its type, which is taken for the only one there is
            raise ValueError("it is not canonical")
        return found
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise WireError(f"This is no transcript of a ceremony: {error}.", "Ask the dealer for the file.") from None


def spoken(transcript: bytes) -> tuple[str, ...]:
    """Return the eight words that the dealer and every trustee compare by voice."""
    return words(sha256(transcript))


def share_info(federation: str, key: bytes, trustee: str, index: int) -> bytes:
    """Return the context a share is sealed in: its federation, the digest of its key, whose it is, and its index."""
    return fields(SHARE_LABEL, federation, key, trustee, index)
