"""A generated corpus of malformed messages and files of engine `paillier`: see malformed.py.

Messages: cut off, with a byte more, with a field more, a field less, a field of another type. Files of the ceremony:
cards, transcript, sealed shares, acceptances, each changed where it counts.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.keys import PublicKey
from secagg.crypto.paillier.knowledge import KnowledgeProof
from secagg.crypto.paillier.partial import Partial
from secagg.crypto.paillier.threshold import ThresholdKey
from secagg.log.statements import canonical
from secagg.protocol.binding import UNKNOWN
from secagg.protocol.ceremony.accepting import assemble, check_key, receive
from secagg.protocol.ceremony.dealing import check_cards
from secagg.protocol.ceremony.files import Card, SealedShare, SignedCard, open_card, read_transcript, sign_card
from secagg.protocol.custody import check_custody
from secagg.protocol.manifest import Acceptance, Custody
from secagg.protocol.paillier.door import admit
from secagg.protocol.paillier.messages import Answer, EncryptedInput, Piece, Plain
from secagg.wire.codec import decode, encode
from support.ceremonies import FEDERATION, ROOT, held, trustee_of
from support.malformed import Malformed, bent
from support.paillier_keys import small

DEALT = held()
CUSTODY = DEALT.custody(0, 1)
_PROOF = KnowledgeProof(bytes(16), bytes(64), bytes(64))
_PARTIAL = Partial(bytes(128), bytes(16), bytes(200))
MESSAGES: tuple[Struct, ...] = (
    _PROOF,
    _PARTIAL,
    Plain(bytes(64), bytes(64)),
    EncryptedInput(bytes(32), 1, bytes(32), _PROOF, UNKNOWN),
    Answer(bytes(32), partial=_PARTIAL),
    Piece(bytes(32), 0, 1, b"x"),
    small().public,
    CUSTODY,
    CUSTODY.acceptances[0],
    decode(ThresholdKey, CUSTODY.key),
)


def wire() -> Iterator[Malformed]:
    """Yield messages that are none."""
    for message in MESSAGES:
        kind, good = type(message), encode(message)
        fields: dict[str, Any] = msgspec.msgpack.decode(good)
        for cut in (0, 1, 2, len(good) // 2, len(good) - 1):
            yield _message(kind, f"cut at {cut}", good[:cut])
        yield _message(kind, "a byte more", good + b"\0")
        yield _message(kind, "a field more", encode({**fields, "more": 1}))
        yield _message(kind, "a list", encode(list(fields.values())))
        required = [field.name for field in msgspec.structs.fields(kind) if field.required]
        for name in required:
            yield _message(kind, f"no {name}", encode({key: value for key, value in fields.items() if key != name}))
        for name in fields:
            yield _message(kind, f"{name} is a truth", encode({**fields, name: True}))


def _message(kind: type[Struct], name: str, data: bytes) -> Malformed:
    return Malformed("message", f"{kind.__name__}: {name}", partial(decode, kind, data), "E-WIRE", kind.__name__)


def transcripts() -> Iterator[Malformed]:
    """Yield transcripts that are none, and honest ones of another key."""
    good = DEALT.dealt.transcript
    document: dict[str, Any] = json.loads(good)

    def case(name: str, data: bytes) -> Malformed:
        return Malformed("transcript", name, partial(read_transcript, data), "E-WIRE", "transcript")

    for cut in (0, 1, len(good) // 2, len(good) - 1):
        yield case(f"cut at {cut}", good[:cut])
    yield case("with a space", good.replace(b":", b": ", 1))
    yield case("in another order", json.dumps(document, sort_keys=False, indent=1).encode())
    yield case("too long", good + b" " * 70_000)
    yield case("nested", b"[" * 60_000)
    yield case("a field more", canonical({**document, "more": 1}))
    for name in document:
        yield case(f"no {name}", canonical({key: value for key, value in document.items() if key != name}))
        yield case(f"{name} is nothing", canonical({**document, name: None}))
    for name, change, reason in (
        ("another key", {"key": "00" * 32}, "ceremony.key"),
        ("a threshold of three", {"threshold": 3}, "ceremony.key"),
        ("a threshold of one", {"threshold": 1}, "ceremony.key"),
        ("profile fast", {"profile": "fast"}, "ceremony.key"),
        ("one curious", {"colluders": 1}, "ceremony.threshold"),
        ("more bits", {"bits": 528}, "paillier.length"),
        ("fewer bits", {"bits": 128}, "paillier.floor"),
        ("trustees turned round", {"trustees": document["trustees"][::-1]}, "ceremony.key"),
        ("a trustee less", {"trustees": document["trustees"][1:]}, "ceremony.key"),
    ):
        data = canonical({**document, **change})
        offer = partial(check_key, DEALT.dealt.key, data, weak=True)
        yield Malformed("transcript", name, offer, reason)


def cards() -> Iterator[Malformed]:
    """Yield cards that no ceremony is held with."""
    ana, ben = trustee_of("ana"), trustee_of("ben")
    signed = decode(SignedCard, ana.card)
    card = decode(Card, signed.card)
    for cut in (0, 1, 100, len(ana.card) - 1):
        data = ana.card[:cut]
        yield Malformed("card", f"cut at {cut}", partial(open_card, data), "E-WIRE")
    others: dict[str, Card] = {
        "another federation": replace(card, federation="den"),
        "another root": replace(card, root_fingerprint="x"),
        "another sealing key": replace(card, sealing_key=ben.sealing.public),
        "another member": replace(card, member=ben.member),
    }
    for name, other in others.items():
        data = encode(replace(signed, card=encode(other)))
        yield Malformed("card", f"{name}, not signed", partial(open_card, data), "ceremony.card")
    for name, signature in list(bent(signed.signature, 8))[5:]:
        data = encode(replace(signed, signature=signature))
        yield Malformed("card", f"signature: {name}", partial(open_card, data), "ceremony.card")
    for role in ("node", "aggregator", "auditor"):
        data = trustee_of("ana", role=role).card
        yield Malformed("card", f"an {role}'s", partial(open_card, data), "ceremony.role")
    pairs: dict[str, tuple[list[bytes], str]] = {
        "none": ([], "cards"),
        "seventeen": ([ana.card] * 17, "cards"),
        "one twice": ([ana.card] * 2, "seats"),
        "two federations": (
            [ana.card, sign_card(ben.key, Card("den", ROOT, ben.member, ben.sealing.public))],
            "federation",
        ),
        "one organisation": ([ana.card, trustee_of("ben", organisation="house-ana").card], "organisations"),
        "one sealing key": (
            [ana.card, sign_card(ben.key, Card(FEDERATION, ROOT, ben.member, ana.sealing.public))],
            "seats",
        ),
    }
    for name, (files, reason) in pairs.items():
        yield Malformed("card", f"cards: {name}", partial(check_cards, files), f"ceremony.{reason}")


def shares() -> Iterator[Malformed]:
    """Yield sealed shares, and trustees whom they are not for."""
    ana, share = DEALT.trustees[0], decode(SealedShare, DEALT.share(0))

    def case(name: str, reason: str, **given: object) -> Malformed:
        parts: dict[str, object] = {
            "key": DEALT.dealt.key,
            "transcript": DEALT.dealt.transcript,
            "share": DEALT.share(0),
            "own": ana.member,
            "federation": (FEDERATION, ROOT),
            "sealing": ana.sealing,
            "card": ana.card,
            "weak": True,
        }
        return Malformed("sealed share", name, partial(receive, **(parts | given)), reason)  # type: ignore[arg-type]

    for name, sealed in bent(share.sealed):
        data = encode(replace(share, sealed=sealed))
        yield case(name, "ceremony.sealed", share=data)
        yield case(
            f"{name}, named by the transcript", "E-SEAL", share=data, transcript=_place(sealed=sha256(sealed).hex())
        )
    yield case("another's", "ceremony.sealed", share=DEALT.share(1))
    yield case(
        "another's under this name",
        "ceremony.sealed",
        share=encode(replace(decode(SealedShare, DEALT.share(1)), trustee="ana")),
    )
    yield case("of another key", "ceremony.sealed", share=encode(replace(share, key=bytes(32))))
    yield case("with another sealing key", "E-SEAL", sealing=DEALT.trustees[1].sealing)
    yield case("of another federation", "ceremony.federation", federation=("den", ROOT))
    yield case("under another root", "ceremony.federation", federation=(FEDERATION, "x"))
    yield case("by a stranger", "ceremony.seat", own=trustee_of("eve").member)
    yield case("with another card", "ceremony.card", card=DEALT.trustees[1].card)
    yield case("for another key of mine", "ceremony.seat", transcript=_place(sign_key="00" * 32))
    yield case("for another organisation", "ceremony.seat", transcript=_place(organisation="x"))
    yield case(
        "of a key that I hold a factor of",
        "paillier.shared",
        earlier=[small().public.modulus, DEALT_KEY.public.modulus],
    )
    yield case("cut", "E-WIRE", share=DEALT.share(0)[:-1])


DEALT_KEY = decode(ThresholdKey, DEALT.dealt.key)


def _place(**changes: object) -> bytes:
    document = json.loads(DEALT.dealt.transcript)
    document["trustees"][0] |= changes
    return canonical(document)


def holders() -> Iterator[Malformed]:
    """Yield custodies that nothing is encrypted under."""
    seats, (first, second) = CUSTODY.trustees, CUSTODY.acceptances

    def case(name: str, reason: str, trials: bool = True, **changes: object) -> Malformed:
        changed = replace(CUSTODY, **changes)
        return Malformed(
            "custody", name, partial(check_custody, changed, FEDERATION, seats, trials), f"custody.{reason}"
        )

    for name, trustees in (
        ("nobody", ()),
        ("one twice", (seats[0], seats[0], seats[2])),
        ("another key", (replace(seats[0], key=bytes(32)), *seats[1:])),
        ("another name", (replace(seats[0], name="zoe"), *seats[1:])),
        ("another organisation", (replace(seats[0], organisation="x"), *seats[1:])),
    ):
        yield case(name, "seats", trustees=trustees)
    for threshold, colluders in ((1, 0), (4, 0), (2, 1), (3, 3), (3, 10**6)):
        yield case(f"{threshold} of 3, {colluders} curious", "threshold", threshold=threshold, colluders=colluders)
    yield case("no trial allowed", "trial", trials=False)
    for name, given, reason in (
        ("none", (), "acceptances"),
        ("one", (first,), "acceptances"),
        ("one twice", (first, first), "acceptances"),
        ("a stranger's", (replace(first, trustee="eve"), second), "acceptance"),
        ("under another name", (replace(first, trustee="cyd"), second), "acceptance"),
    ):
        yield case(f"acceptances: {name}", reason, acceptances=given)
    for name, signature in list(bent(first.signature, 8))[5:]:
        given = (Acceptance("ana", signature), second)
        yield case(f"acceptances: signature: {name}", "acceptance", acceptances=given)
    yield case("another key accepted", "acceptance", key=encode(small().public))
    yield from _doors()


def _doors() -> Iterator[Malformed]:
    def case(name: str, reason: str, of: Custody = CUSTODY, **changes: object) -> Malformed:
        changed = replace(of, **changes)
        return Malformed("custody", f"key: {name}", partial(admit, changed, 512), reason)

    shared = DEALT_KEY
    yield Malformed("custody", "key: a weak one", partial(admit, CUSTODY), "custody.bits")
    yield case("s = 2", "custody.profile", s=2)
    yield case("for others", "custody.key", key=encode(replace(shared, trustees=("ana", "ben", "eve"))))
    yield case("another threshold", "custody.key", key=encode(replace(shared, threshold=3)))
    yield case("fast", "custody.profile", key=encode(replace(shared, public=replace(shared.public, profile="fast"))))
    yield case("of one holder", "E-WIRE", key=encode(small().public))
    yield case("no key", "E-WIRE", key=b"")
    bad: PublicKey = replace(shared.public, roots=shared.public.roots[::-1])
    yield case("a false statement", "paillier.statement", key=encode(replace(shared, public=bad)))
    yield case(
        "commitments turned round",
        "paillier.commitments",
        key=encode(replace(shared, commitments=shared.commitments[::-1])),
    )
    key, transcript = DEALT.dealt[:2]
    offers: dict[str, tuple[Callable[[], object], str]] = {
        "s = 2 of three": (partial(assemble, key, transcript, [], 2, weak=True), "ceremony.key"),
        "nobody accepted": (partial(assemble, key, transcript, [], weak=True), "custody.acceptances"),
        "a torn acceptance": (partial(assemble, key, transcript, [DEALT.acceptance(0)[:-1]], weak=True), "E-WIRE"),
    }
    for name, (offer, reason) in offers.items():
        yield Malformed("custody", f"put together: {name}", offer, reason)


def messages() -> list[Malformed]:
    """Return the corpus of messages and files."""
    return [case for maker in (wire, transcripts, cards, shares, holders) for case in maker()]
