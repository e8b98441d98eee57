"""How an attempt of engine `paillier` ended, as a node verifies it: the node itself sees no freeze and answers nothing.

Rules (protocol §6.5): a node believes a frozen set once a quorum of trustees signed that they saw exactly this one. Of
two sets of one attempt only one can have that. A node takes an input out of its ledger only once enough trustees signed
that the attempt is over for them. Then fewer than t are left who could answer, whoever of them lies. Whoever says
something else beside them changes nothing of that.
Leaves to others: what follows for the ledger (node), that the `Aborted` is logged (node), who is asked (aggregator).
"""

from collections.abc import Iterable

from secagg.crypto.derive import sha256
from secagg.errors import BadSignature, ProtocolViolation, Refused, WireError
from secagg.ids import EVERYBODY
from secagg.log.checkpoint import Checkpoint
from secagg.log.witness import LogProof
from secagg.protocol.acceptance import KnownLog
from secagg.protocol.custody import words_needed
from secagg.protocol.manifest import Custody, Manifest
from secagg.protocol.paillier.checks import agreed, logged_set
from secagg.protocol.round.lists import signed_list
from secagg.protocol.round.messages import Ended
from secagg.wire.codec import decode_exact
from secagg.wire.signed import Scope, Signed, open_signed


def check_words(words: Iterable[Signed], custody: Custody, scope: Scope) -> None:
    """Check that enough distinct trustees signed that they never answer exactly this attempt.

    What is no word of a trustee about it counts for nothing, and takes nothing from the words beside it. Else one
    trustee's bad word would keep every input counted. The last word of each is judged, so that a list costs no more
    than there are trustees. Raises: Refused (`ended.words`).
    """
    said = {signed.sender: signed for signed in words}
    good = [name for name in custody.names() if name in said and _is_word(said[name], custody, scope)]
    if len(good) < words_needed(custody):
        others = len(said) - len(good)
        beside = f" ({others} beside them say nothing that counts)" if others else ""
        raise Refused(
            f"{len(good)} trustees say that the attempt is over{beside}, and {words_needed(custody)} have to.",
            "It stays counted until more of them say it.", rule="ended.words",
        )  # fmt: skip


def _is_word(signed: Signed, custody: Custody, scope: Scope) -> bool:
    """Say whether a trustee signed that exactly this attempt is over for it."""
    try:
        decode_exact(Ended, open_signed(signed, custody.seat(signed.sender).key, "Ended", scope, EVERYBODY))
    except (BadSignature, ProtocolViolation, WireError):
        return False
    return True


def check_frozen(
    before: bytes, frozen: bytes, leaf: bytes, proof: LogProof, agreements: tuple[Signed, ...], manifest: Manifest,
    scope: Scope, known: KnownLog, last: Checkpoint | None,
) -> tuple[tuple[str, ...], Checkpoint]:  # fmt: skip
    """Check that the encoded list `frozen` (U) is the set that is frozen, in the log and by a quorum of trustees.

    Nothing comes `before` it here. `last` is the last checkpoint of the log that this node accepted. Return the members
    of the set, and the checkpoint that holds the freeze.
    Raises: Refused (`u.enough`, `freeze.statement`, `open.signer`, `open.same-set`, `open.threshold`); BadSignature;
    ProtocolViolation; VerificationFailed.
    """
    headers = signed_list(frozen, manifest, "EncryptedInput", scope)
    if len(headers) < manifest.needed:
        raise Refused(
            f"{len(headers)} members are fewer than the {manifest.needed} this round needs.",
            "Keep it as evidence against the aggregator.", rule="u.enough",
        )  # fmt: skip
    seen = logged_set(frozen, leaf, proof, scope, tuple(headers), known, last)
    agreed(agreements, manifest, scope, sha256(frozen))
    return tuple(headers), seen
