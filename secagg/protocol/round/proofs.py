"""Proofs of members' faults, whatever the engine: whose manifest a proof is about says which engine judges it.

Rule: every engine's proof is an encoded struct that has the bytes of the manifest as its field `manifest`.
Leaves to others: what convinces (each engine's `AuditSide`).
"""

from collections.abc import Callable

from msgspec import Struct

from secagg.errors import SecaggError, VerificationFailed
from secagg.protocol import engines
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.asked import Fault
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK


class Proposed(Struct, frozen=True):
    """What every engine's proof has: the manifest of the attempt, as it was signed."""

    manifest: bytes


def check_fault(data: bytes, key_of: Callable[[str], bytes]) -> Fault:
    """Return what an encoded proof shows; `key_of` gives the signing key of a member as the reader knows it.

    Raises: VerificationFailed when it proves nothing.
    """
    try:
        manifest = decode(Manifest, decode(Proposed, data, LIMIT_BULK).manifest, LIMIT_BULK)
        audit = engines.load(manifest.engine).audit
    except SecaggError as error:
        cause = error.cause.rstrip(".")
        raise VerificationFailed(f"A proof of a fault proves nothing: {cause}.", "It names nobody.") from None
    return audit.check_fault(data, key_of)
