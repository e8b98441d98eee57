"""A trustee's side of the ceremony: what it checks before it accepts a key, and what the operator puts together.

A share is accepted in this order:
 1. the transcript is of my federation under my root, and names me with my own key and my card;
 2. the key is the transcript's, of its length, profile, trustees and threshold, and passes every check of a key that
    enters (secagg.crypto.paillier.keys), none of whose factors an earlier key of mine has;
 3. the numbers hold: 2t > m + c';
 4. the sealed share is the transcript's, for me, and opens with my sealing key in exactly this context;
 5. the share fits the key's commitments; a single holder's private key gives the public one.

Rules: who accepts has compared the transcript's words with the dealer by voice, because nothing else says whose key it
is. Leaves to others: keeping the share (keyserver.trustee), judging a custody (secagg.protocol.custody).
"""

from collections.abc import Iterable, Sequence

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.keys import PublicKey, validate
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.threshold import Share, ThresholdKey, check_share, validate_threshold
from secagg.crypto.seal import SealingKey
from secagg.crypto.secret import Secret
from secagg.errors import Refused, WireError
from secagg.protocol.ceremony.files import (
    Place,
    SealedShare,
    Transcript,
    read_transcript,
    share_info,
)
from secagg.protocol.custody import check_custody
from secagg.protocol.manifest import Acceptance, Custody, Seat
from secagg.roster.members import Member
from secagg.wire.codec import decode


def check_key(key: bytes, transcript: bytes, earlier: Iterable[bytes] = (), *, weak: bool = False) -> Transcript:
    """Return the transcript of a key once the two belong together and the key may be used (checks 2 and 3).

    `earlier` are moduli of other keys. `weak` lengths are for tests, passed by no role. Raises: WireError;
    ProtocolViolation of the keys' rules; Refused (ceremony.key, ceremony.threshold).
    """
    told = read_transcript(transcript)
    if sha256(key).hex() != told.key:
        raise _refusal("The key is not the one of the transcript.", "key")
    others = [int.from_bytes(modulus, "big") for modulus in earlier]
    names = tuple(place.name for place in told.trustees)
    if len(names) == 1:
        public = decode(PublicKey, key)
        validate(public, told.bits, earlier=others, weak=weak)
        agreed = told.threshold == 1
    else:
        shared = decode(ThresholdKey, key)
        public = shared.public
        validate_threshold(shared, told.bits, earlier=others, weak=weak)
        agreed = (shared.trustees, shared.threshold) == (names, told.threshold)
    if not agreed or public.profile != told.profile:
        raise _refusal("The key has other trustees, another threshold or profile than the transcript says.", "key")
    if not len(names) + told.colluders < 2 * told.threshold <= 2 * len(names):
        raise _refusal("2t > m + c' does not hold for the numbers of the transcript.", "threshold")
    return told


def modulus_of(key: bytes) -> bytes:
    """Return the modulus of an encoded public part, of either kind. Raises: WireError."""
    try:
        return decode(ThresholdKey, key).public.modulus
    except WireError:
        return decode(PublicKey, key).modulus


def receive(
    key: bytes, transcript: bytes, share: bytes, own: Member, federation: tuple[str, str], sealing: SealingKey,
    card: bytes, earlier: Iterable[bytes] = (), *, weak: bool = False,
) -> Secret:  # fmt: skip
    """Return this trustee's secret once everything holds; `federation` is its name and root, `card` the file as given.

    Raises: as `check_key`; Refused (ceremony.federation, seat, card, sealed); SealBroken; ProtocolViolation
    (paillier.share); BadConfiguration for a private key that is none.
    """
    told = check_key(key, transcript, earlier, weak=weak)
    if (told.federation, told.root_fingerprint) != federation:
        raise _refusal(f"The ceremony was of {told.federation}, or under another root.", "federation")
    place = told.place(own.name)
    if (place.organisation, place.sign_key) != (own.organisation, own.sign_key.hex()):
        raise _refusal("The transcript names me with another key or organisation.", "seat")
    if place.card != sha256(card).hex():
        raise _refusal("The share is sealed to another card than my last one.", "card")
    index = told.trustees.index(place) + 1
    secret = _open(share, place, key, federation[0], index, sealing)
    if len(told.trustees) == 1:
        if PrivateKey.from_private_bytes(secret, weak=weak).public != decode(PublicKey, key):
            raise _refusal("The private key is of another public key.", "key")
    else:
        check_share(decode(ThresholdKey, key), Share(index, secret))
    return secret


def assemble(key: bytes, transcript: bytes, acceptances: Sequence[bytes], s: int = 1, *, weak: bool = False) -> Custody:
    """Return the custody that jobs name: the key, its trustees, and enough acceptances.

    `s` above 1 (Damgård-Jurik) is for a single holder. Raises: as `check_key`; WireError; Refused by the rules of
    `check_custody`.
    """
    told = check_key(key, transcript, weak=weak)
    if s > 1 and len(told.trustees) > 1:
        raise _refusal("Trustees share only keys with s = 1.", "key")
    seats = tuple(Seat(place.name, place.organisation, bytes.fromhex(place.sign_key)) for place in told.trustees)
    given = tuple(decode(Acceptance, data) for data in acceptances)
    custody = Custody(key, s, seats, told.threshold, told.colluders, given)
    check_custody(custody, told.federation, seats, trials=True)
    return custody


def _open(share: bytes, place: Place, key: bytes, federation: str, index: int, sealing: SealingKey) -> Secret:
    given, digest = decode(SealedShare, share), sha256(key)
    if (given.trustee, given.key) != (place.name, digest):
        raise _refusal(f"This share is {given.trustee}'s, or of another key.", "sealed")
    if sha256(given.sealed).hex() != place.sealed:
        raise _refusal("The sealed share is not the one of the transcript.", "sealed")
    return Secret(sealing.open(given.sealed, share_info(federation, digest, place.name, index)))


def _refusal(cause: str, rule: str) -> Refused:
    return Refused(cause, "Do not accept it; ask the dealer, and repeat the ceremony.", rule=f"ceremony.{rule}")
