"""How an attempt of engine `masks` ended, for a member that signed a header and was not there when the set was frozen.

Rules (protocol §6.5): a set is believed once t members of it signed exactly its lists. Of two sets of one attempt only
one can have that (2t > n + c). So a member that is told of a set without it may give its input to another. One in it
knows over whom it was summed. Leaves to others: what follows for the ledger (node.ending).
"""

from secagg.crypto.derive import sha256
from secagg.errors import ProtocolViolation, Refused
from secagg.log.checkpoint import Checkpoint
from secagg.log.statements import Contributors
from secagg.log.witness import LogProof
from secagg.log.witness import check as check_proof
from secagg.protocol.acceptance import KnownLog
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks.checks import agreed
from secagg.protocol.masks.messages import Agreement, MaskedInput
from secagg.protocol.round.lists import signed_list
from secagg.protocol.round.parties import statement_of
from secagg.wire.codec import decode
from secagg.wire.signed import Scope, Signed


def check_frozen(
    before: bytes, frozen: bytes, leaf: bytes, proof: LogProof, agreements: tuple[Signed, ...], manifest: Manifest,
    scope: Scope, known: KnownLog, last: Checkpoint | None,
) -> tuple[tuple[str, ...], Checkpoint]:  # fmt: skip
    """Check that `frozen` (U3) over `before` (U2) is the set that was frozen and agreed to for an attempt.

    `last` is the last checkpoint of the log that this node accepted. Return its members, and the checkpoint that holds
    the freeze.
    Raises: Refused (`freeze.statement`, `open.signer`, `open.same-sets`, `open.threshold`); ProtocolViolation;
    BadSignature; VerificationFailed.
    """
    headers = signed_list(frozen, manifest, "MaskedInput", scope)
    if any(decode(MaskedInput, entry.body).u2 != sha256(before) for entry in headers.values()):
        raise ProtocolViolation("A header of the set is over another U2.", rule="u3.same-u2")
    stated = statement_of(leaf, known, Contributors)
    found = scope.round
    about = (stated.federation, stated.job, stated.round, stated.attempt, stated.group)
    same = (
        about == (found.federation, found.job, found.round, found.attempt, found.group),
        stated.manifest == scope.manifest.hex(), stated.u2 == sha256(before).hex(),
        stated.u3 == sha256(frozen).hex(),
        bool(stated.listed) or tuple(entry.member for entry in stated.members) == tuple(headers),
    )  # fmt: skip
    if not all(same):
        raise Refused("The logged freeze names another contributor set.", "Ask for the log.", rule="freeze.statement")
    seen = check_proof(leaf, proof, known.log_origin, known.aggregator_key, last)
    sets = Agreement(sha256(before), sha256(frozen))
    agreed(agreements, manifest, scope, sets, tuple(headers), manifest.threshold)
    return tuple(headers), seen
