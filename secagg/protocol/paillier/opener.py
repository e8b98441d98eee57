"""What a trustee's shell asks of engine `paillier`: its transitions, the product of a frozen set, the use of its share.

Rules: a product travels as its bytes and is made by this trustee itself. The share is a secret value until the one
function that decrypts with it.
Leaves to others: the transitions (trustee.py), the arithmetic (decrypting.py), fetching, processes (keyserver.trustee).
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import cast

from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.threshold import Share
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.protocol.custody import custody_of
from secagg.protocol.paillier import decrypting, trustee
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.phases import Answered, Attending, Decrypted, Decrypting, TrusteePhase, Witnessed
from secagg.protocol.round.asked import Decided, Stage
from secagg.protocol.round.phases import within
from secagg.protocol.round.trustees import TrusteeContext
from secagg.wire.codec import decode
from secagg.wire.signed import Signed

WHOLE = 2**40

_STAGES: dict[type, Stage] = {
    Attending: Stage.JOINED,
    Witnessed: Stage.AGREED,
    Decrypting: Stage.OPENS,
    Answered: Stage.ANSWERED,
}

start = trustee.start


def read(data: bytes) -> TrusteePhase:
    """Return an encoded phase. Raises: WireError."""
    return decode(cast(type[TrusteePhase], TrusteePhase), data, WHOLE)


def advance(phase: object, event: object, ctx: TrusteeContext) -> trustee.Step:
    """Take a signed message, or what `answer` gave. Raises: ProtocolViolation; the phase is then unchanged."""
    return trustee.advance(cast(TrusteePhase, phase), cast(Signed | Decrypted, event), ctx)


def stage(phase: object) -> Stage:
    """Return what a phase means."""
    return _STAGES.get(type(phase), Stage.NOTHING)


def decided(phase: object) -> Decided:
    """Return what is to be opened."""
    found = within(phase, Decrypting)
    return Decided(found.manifest, found.names)


class Product:
    """The product of a frozen set's uploads, as bytes when it is whole."""

    def __init__(self, phase: Decrypting) -> None:
        self._ring, self._collector = Layout(phase.manifest).ring, decrypting.collect(phase)

    def wanted(self) -> Mapping[str, bytes]:
        """Return the SHA-256 of every upload that is still missing, by member."""
        return self._collector.wanted()

    def add(self, member: str, data: bytes) -> None:
        """Verify a member's upload and multiply it in. Raises: ProtocolViolation; the product is then unchanged."""
        self._collector.add(member, data)

    def close(self) -> bytes:
        """Return the product of all uploads. Raises: ProtocolViolation (upload.missing, paillier.gcd)."""
        return self._ring.write(self._collector.close())


def collect(phase: object) -> Product:
    """Return the product of the set that this trustee decided to open, as far as it is made: of nothing yet."""
    return Product(within(phase, Decrypting))


def answer(phase: object, me: str, collected: bytes, secret: Secret, rng: Rng, executor: Executor) -> Decrypted:
    """Decrypt a product and prove it: the one place that uses the share, or a single holder's key.

    Raises: ProtocolViolation for a product that is none (paillier.range, paillier.gcd); BadInput for another secret.
    """
    found = within(phase, Decrypting)
    custody, products = custody_of(found.manifest), Layout(found.manifest).ring.read(collected)
    if len(custody.trustees) == 1:
        key: Share | PrivateKey = PrivateKey.from_private_bytes(secret)
    else:
        key = Share(custody.names().index(me) + 1, secret)
    return decrypting.answer(found, key, products, rng, executor)


def read_answer(data: bytes) -> Decrypted:
    """Return an encoded event that `answer` gave. Raises: WireError."""
    return decode(Decrypted, data, WHOLE)
