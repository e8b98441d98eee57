"""An auditor's recomputation of a round of engine `paillier` from kept files: U, uploads, answers (protocol §7).

Rules: every signature, order and set is checked again from the bytes. Every upload must be the one its header names and
carry its proof. The product is made anew. Every answer that the log names must be proven for exactly this product, and
together they must give the sum. So the result is the sum of what the members signed, whoever colludes.
Leaves to others: which files belong to a round (secagg.auditor), and that the manifest is the logged one. So is that
its key and trustees are the federation's (`custody`, by the roster that the manifest names).
"""

from collections.abc import Callable, Sequence
from typing import NoReturn

from secagg.crypto.derive import sha256
from secagg.errors import BundleIncomplete, Refused, SecaggError, VerificationFailed
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.statements import Contributors
from secagg.protocol.binding import Bound
from secagg.protocol.custody import check_custody, custody_of, words_needed
from secagg.protocol.lanes import Groups
from secagg.protocol.manifest import Manifest, Seat, digest, fewest_entrusted
from secagg.protocol.paillier.accepting import check_header
from secagg.protocol.paillier.checks import agreed
from secagg.protocol.paillier.decrypting import Collector
from secagg.protocol.paillier.door import admit
from secagg.protocol.paillier.intake import ANSWER_LIMIT
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.protocol.paillier.opening import open_sum, read_answer
from secagg.protocol.round.lists import signed_list
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Scope, Signed, open_signed


def check_fault(data: bytes, key_of: Callable[[str], bytes]) -> NoReturn:
    """Trustees prove their answers one by one, so that no fault of a member is left to be proven.

    Raises: VerificationFailed.
    """
    raise VerificationFailed("No fault can be proven in this engine.", "It names nobody.")


def recompute(
    manifest_signed: bytes, u: bytes, answers: Sequence[bytes], upload: Callable[[str], bytes], aggregator_key: bytes
) -> Groups:
    """Return the clear summed words per lane group.

    `answers` are the signed pieces of the answers that opened the round, in the log's order; `upload(member)` gives the
    bytes of a member's upload.
    Raises: VerificationFailed saying what does not hold; BundleIncomplete as `upload` raises it.
    """
    try:
        return _recompute(manifest_signed, u, answers, upload, aggregator_key)
    except (VerificationFailed, BundleIncomplete):
        raise
    except (SecaggError, KeyError) as error:
        raise VerificationFailed(f"The round cannot be recomputed: {error}", "Treat the round as unproved.") from None


def recompute_frozen(
    manifest_signed: bytes, frozen: Contributors, file: Callable[[str], bytes], answers: Sequence[bytes],
    upload: Callable[[str], bytes], aggregator_key: bytes,
) -> Groups:  # fmt: skip
    """Return what `recompute` does, for a frozen set whose list `file` gives by digest; so every engine is asked.

    Raises: as `recompute`.
    """
    if frozen.u1 or frozen.u2:
        raise VerificationFailed("The frozen set names lists that this engine has not.", "Treat it as unproved.")
    return recompute(manifest_signed, file(frozen.u3), answers, upload, aggregator_key)


def check_agreements(data: bytes, manifest: Manifest, scope: Scope, frozen: Contributors) -> None:
    """Check that a quorum of trustees signed exactly the frozen list; `data` is the list of their agreements.

    Raises: ProtocolViolation naming the trustee, or how many there are; WireError.
    """
    agreed(decode(tuple[Signed, ...], data, LIMIT_LIST), manifest, scope, bytes.fromhex(frozen.u3))


def witnesses(manifest: Manifest) -> dict[str, bytes]:
    """Return who witnesses a round, with their keys: its trustees."""
    return {seat.name: seat.key for seat in custody_of(manifest).trustees}


def quorum(manifest: Manifest) -> int:
    """Return how many witnesses and agreements a manifest needs."""
    return custody_of(manifest).quorum


def least(manifest: Manifest, colluders: int) -> int:
    """Return how many contributors a manifest needs, `colluders` being the federation's c."""
    return max(manifest.needed, fewest_entrusted(max(manifest.colluders, colluders)))


def check_holders(manifest: Manifest, trustees: tuple[Seat, ...]) -> None:
    """Hold a manifest's trustees against those of the roster that it names, and judge their key.

    Raises: Refused or another ProtocolViolation naming the rule.
    """
    custody = custody_of(manifest)
    check_custody(custody, manifest.round.federation, trustees, True)
    if manifest.threshold != custody.threshold:
        raise Refused("Its threshold is not the trustees'.", rule="manifest.threshold")
    admit(custody)


def bounds(data: bytes, manifest: Manifest, scope: Scope) -> dict[str, Bound]:
    """Return what every header in a list says of its input, by member, each signed and of a whole upload.

    Raises: ProtocolViolation, BadSignature, WireError.
    """
    layout, signed = Layout(manifest), signed_list(data, manifest, "EncryptedInput", scope)
    headers = {name: decode(EncryptedInput, header.body) for name, header in signed.items()}
    for name, header in headers.items():
        check_header(layout, name, header)
    return {name: header.bound for name, header in headers.items()}


def answered(manifest: Manifest, names: tuple[str, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
    """Return the members of a set whose inputs count as opened when a round is lost in its last step. That is all of
    them, unless enough trustees are missing. Then their words could have taken the inputs out of the members'
    ledgers."""
    custody = custody_of(manifest)
    silent = sum(name in missing for name in custody.names())
    return () if silent >= words_needed(custody) else names


def _recompute(
    manifest_signed: bytes, u: bytes, answers: Sequence[bytes], upload: Callable[[str], bytes], aggregator_key: bytes
) -> Groups:
    signed = decode(Signed, manifest_signed, LIMIT_BULK)
    manifest = decode(Manifest, signed.body, LIMIT_BULK)
    open_signed(signed, aggregator_key, "Manifest", Scope(manifest.round, NO_DIGEST), EVERYBODY)
    scope = Scope(manifest.round, digest(signed.body))
    names = tuple(signed_list(u, manifest, "EncryptedInput", scope))
    if len(names) < manifest.needed:
        raise VerificationFailed(f"{len(names)} contributors are too few.", "Treat the round as unproved.")
    collector = Collector(manifest, scope, u)
    for member in names:
        collector.add(member, upload(member))
    pieces: dict[str, list[bytes]] = {}
    for data in answers:
        pieces.setdefault(_trustee(data, manifest, scope), []).append(data)
    given = {trustee: read_answer(found) for trustee, found in pieces.items()}
    opened = open_sum(manifest, scope, names, sha256(u), collector.close(), given)
    if len(opened.used) != len(given):
        wrong = ", ".join(opened.wrong) or "one was not needed"
        raise VerificationFailed(f"The answers do not open the round: {wrong}.", "Treat the round as unproved.")
    return opened.groups


def _trustee(data: bytes, manifest: Manifest, scope: Scope) -> str:
    """Return who signed a piece of an answer for this round."""
    signed = decode(Signed, data, ANSWER_LIMIT)
    open_signed(signed, custody_of(manifest).seat(signed.sender).key, "Answer", scope, manifest.aggregator)
    return signed.sender
