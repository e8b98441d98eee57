"""Who may open: the seats of trustees, their number and threshold, and that enough of them accepted the key.

Rules (protocol §4, §5): trustees are members of the roster with that role, one seat per organisation. 2t > m + c', so
that two openings of one round share an honest trustee. Of them t signed that they checked their shares of exactly this
key. Else whoever proposes a job could deal a key of its own. The numbers are 5, 1, 4 (m, c', t) by default or 7, 2, 5.
With c' = 0 (3, 0, 2, or a single holder) it is for trials, and a person has to allow it.
Leaves to others: the key itself (secagg.protocol.paillier.door), dealing and shares (the ceremony).
"""

from msgspec import UNSET

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.sign import SigningKey, verify
from secagg.errors import BadSignature, Refused
from secagg.ids import Name
from secagg.protocol.manifest import Acceptance, Custody, Manifest, Seat

LABEL = "secagg/v1/custody/acceptance"


def key_digest(key: bytes) -> bytes:
    """Return what names a key everywhere: SHA-256 of its encoded public part."""
    return sha256(key)


def accept_key(signing: SigningKey, federation: str, trustee: Name, key: bytes) -> Acceptance:
    """Sign that `trustee` checked its share of `key` (encoded public part) and keeps it."""
    return Acceptance(trustee, signing.sign(_accepted(federation, trustee, key)))


def custody_of(manifest: Manifest) -> Custody:
    """Return who opens a round.

    Raises: Refused (`manifest.custody`) when the manifest names nobody.
    """
    if manifest.custody is UNSET:
        raise _refusal("The manifest names no trustees.", "custody")
    return manifest.custody


def words_needed(custody: Custody) -> int:
    """Return how many trustees have to say that an attempt is over for them: then fewer than t could still answer,
    whoever of them lies.
    """
    return len(custody.trustees) - custody.threshold + 1 + custody.colluders


def readers(custody: Custody) -> str:
    """Return, in one sentence for people, who can read single updates that are encrypted to a key."""
    names = custody.names()
    if len(names) == 1:
        return f"{names[0]} alone holds the whole key and can read every single update."
    said = f"Any {custody.threshold} of {', '.join(names)} together can read every single update."
    return said if custody.colluders else f"{said} One dishonest trustee can help to open two sums of one round."


def check_custody(custody: Custody, federation: str, known: tuple[Seat, ...], trials: bool) -> None:
    """Hold a custody against the roster's trustees (`known`) and the rules; `trials` allows c' = 0.

    Raises: Refused (custody.seats, organisations, threshold, trial, acceptance, acceptances).
    """
    seats = {seat.name: seat for seat in known}
    names = custody.names()
    if len(set(names)) != len(names) or not names or any(seats.get(seat.name) != seat for seat in custody.trustees):
        raise _refusal("The trustees do not agree with the roster.", "seats")
    if len({seat.organisation for seat in custody.trustees}) != len(names):
        raise _refusal("Two trustees are of one organisation.", "organisations")
    if not len(names) + custody.colluders < 2 * custody.threshold <= 2 * len(names):
        raise _refusal(
            f"{custody.threshold} of {len(names)} trustees, {custody.colluders} colluding: 2t > m + c' does not hold.",
            "threshold",
        )
    if not custody.colluders and not trials:
        raise _refusal("No trustee may collude here (c' = 0), which is for trials only.", "trial")
    _check_acceptances(custody, federation)


def _check_acceptances(custody: Custody, federation: str) -> None:
    accepted = set()
    for entry in custody.acceptances:
        if entry.trustee not in custody.names():
            raise _refusal(f"{entry.trustee} accepts a key of which it has no share.", "acceptance")
        try:
            data = _accepted(federation, entry.trustee, custody.key)
            verify(custody.seat(entry.trustee).key, data, entry.signature)
        except BadSignature:
            raise _refusal(f"The acceptance of {entry.trustee} is not of this key.", "acceptance") from None
        accepted.add(entry.trustee)
    if len(accepted) < custody.threshold:
        raise _refusal(f"{len(accepted)} trustees accepted the key, {custody.threshold} have to.", "acceptances")


def _accepted(federation: str, trustee: str, key: bytes) -> bytes:
    return fields(LABEL, federation, trustee, key_digest(key))


def _refusal(cause: str, rule: str) -> Refused:
    return Refused(cause, "Ask the operator for a key from the ceremony.", rule=f"custody.{rule}")
