"""The dealer: makes a key and one share for each trustee, checks everything it made, seals the shares, forgets.

In order:
 1. the cards are of one federation, of different people and organisations, and signed;
 2. the numbers hold: 2t > m + c' (a single holder: t = m = 1, c' = 0);
 3. two safe primes, the key with its statement, the polynomial, its commitments (secagg.crypto.paillier.threshold);
 4. the key passes what every trustee and node will check, every share its own check, before anything is written;
 5. each share is sealed to its card; the transcript names every file.

Rules: an honest dealer is assumed: for a moment this process knows the primes. It writes no secret anywhere but sealed,
and forgets by ending. A Python process can overwrite neither what its numbers left in memory nor what the system
swapped out. So it runs on an offline machine that is switched off afterwards.
Leaves to others: hardening the process, files, asking people (keyserver.trustee). Source: docs/protocol.md §5, §8.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.keys import DEFAULT_BITS, Profile, check_size, validate
from secagg.crypto.paillier.primes import Watch, unwatched
from secagg.crypto.paillier.private import generate
from secagg.crypto.paillier.threshold import MOST_TRUSTEES, check_share, deal, validate_threshold
from secagg.crypto.rng import Rng
from secagg.crypto.seal import seal
from secagg.crypto.secret import Secret
from secagg.errors import ProtocolViolation
from secagg.ids import Count, Name, Ordinal
from secagg.protocol.ceremony.files import (
    Card,
    Passed,
    Place,
    SealedShare,
    Transcript,
    open_card,
    share_info,
    write_transcript,
)
from secagg.wire.codec import encode

Clock = Callable[[], int]


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be made: t of as many trustees as there are cards, c' of whom may collude."""

    threshold: Ordinal
    colluders: Count
    bits: Ordinal = DEFAULT_BITS
    profile: Profile = "provable"
    program: str = ""


class Dealt(NamedTuple):
    """What leaves the dealer's machine; nothing in it is secret to anybody but whom it is sealed to."""

    key: bytes
    transcript: bytes
    shares: tuple[tuple[Name, bytes], ...]


class _Diary:
    """What was done and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.began = clock, clock()
        self.steps: list[Passed] = []

    def note(self, what: str) -> None:
        self.steps.append(Passed(max(0, self._clock() - self.began), what))


def largest_collusion(trustees: int, threshold: int) -> int:
    """Return the largest c' with 2t > m + c'; negative when there is none."""
    return 2 * threshold - trustees - 1


def check_cards(files: Sequence[bytes]) -> tuple[Card, ...]:
    """Return the trustees of a ceremony, in the order of their cards.

    Raises: WireError, BadSignature; ProtocolViolation (ceremony.cards, federation, seats, organisations, role).
    """
    cards = tuple(open_card(data) for data in files)
    if not 1 <= len(cards) <= MOST_TRUSTEES:
        raise _refusal(f"There are {len(cards)} cards; 1 to {MOST_TRUSTEES} trustees are possible.", "cards")
    if len({(card.federation, card.root_fingerprint) for card in cards}) != 1:
        raise _refusal("The cards are of different federations.", "federation")
    keys = {card.member.sign_key for card in cards}, {card.sealing_key for card in cards}
    if any(len(found) != len(cards) for found in ({card.member.name for card in cards}, *keys)):
        raise _refusal("Two cards are of one trustee.", "seats")
    if len({card.member.organisation for card in cards}) != len(cards):
        raise _refusal("Two trustees are of one organisation.", "organisations")
    return cards


def check_plan(plan: Plan, trustees: int, *, weak: bool = False) -> None:
    """Refuse numbers that no job could use.

    Raises: ProtocolViolation (paillier.floor, ceremony.threshold, ceremony.profile).
    """
    check_size(plan.bits, weak=weak)
    if plan.colluders > largest_collusion(trustees, plan.threshold) or plan.threshold > trustees:
        raise _refusal(
            f"{plan.threshold} of {trustees} trustees, {plan.colluders} colluding: 2t > m + c' does not hold.",
            "threshold",
        )
    if plan.profile != "provable" and (trustees > 1 or plan.profile != "fast"):
        raise _refusal(f"A key of profile {plan.profile} is not dealt to {trustees} trustees.", "profile")


def hold(
    plan: Plan, files: Sequence[bytes], rng: Rng, clock: Clock, watch: Watch = unwatched, *, weak: bool = False
) -> Dealt:
    """Hold the ceremony for these cards; `clock` gives unix seconds. `weak` lengths are for tests, passed by no role.

    Raises: as `check_cards` and `check_plan`.
    """
    cards, diary = check_cards(files), _Diary(clock)
    check_plan(plan, len(cards), weak=weak)
    diary.note(f"opened {len(cards)} cards")
    key, secrets = _single(plan, rng, watch, weak) if len(cards) == 1 else _shared(plan, cards, rng, watch, weak)
    diary.note(f"made a key of {plan.bits} bits and {len(secrets)} shares, and checked every one")
    digest, federation = sha256(key), cards[0].federation
    sealed = [
        seal(card.sealing_key, secret.reveal(), share_info(federation, digest, card.member.name, index))
        for index, (card, secret) in enumerate(zip(cards, secrets, strict=True), start=1)
    ]
    del secrets
    diary.note("sealed every share to its card; primes, polynomial and shares end with this process")
    places = tuple(
        Place(card.member.name, card.member.organisation, card.member.sign_key.hex(), sha256(file).hex(),
              sha256(share).hex())
        for card, file, share in zip(cards, files, sealed, strict=True)
    )  # fmt: skip
    transcript = Transcript(
        federation, cards[0].root_fingerprint, diary.began, plan.program, plan.profile, plan.bits, plan.threshold,
        plan.colluders, digest.hex(), places, tuple(diary.steps),
    )  # fmt: skip
    shares = tuple(
        (card.member.name, encode(SealedShare(card.member.name, digest, share)))
        for card, share in zip(cards, sealed, strict=True)
    )
    return Dealt(key, write_transcript(transcript), shares)


def _shared(plan: Plan, cards: Sequence[Card], rng: Rng, watch: Watch, weak: bool) -> tuple[bytes, list[Secret]]:
    names = [card.member.name for card in cards]
    key, shares = deal(plan.bits, names, plan.threshold, rng, weak=weak, watch=watch)
    watch("checks", 0.0)
    validate_threshold(key, plan.bits, weak=weak)
    for share in shares:
        check_share(key, share)
    return encode(key), [share.secret for share in shares]


def _single(plan: Plan, rng: Rng, watch: Watch, weak: bool) -> tuple[bytes, list[Secret]]:
    private = generate(plan.profile, plan.bits, rng, weak=weak, watch=watch)
    watch("checks", 0.0)
    validate(private.public, plan.bits, weak=weak)
    return encode(private.public), [private.private_bytes()]


def _refusal(cause: str, rule: str) -> ProtocolViolation:
    return ProtocolViolation(cause, "Hold no ceremony with these cards and numbers.", rule=f"ceremony.{rule}")
