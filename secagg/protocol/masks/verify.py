"""An auditor's recomputation of a round of engine `masks` from kept files: lists, uploads, answers (protocol §7).

Rules: every signature, order and set is checked again from the bytes. The uploads must be the ones the headers name.
The secrets must match commitments and advertised keys. So the result is the sum of what the members signed, whoever
colludes. Leaves to others: which files belong to a round (secagg.auditor), that the manifest is the logged one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import UNSET

from secagg.crypto.derive import sha256
from secagg.errors import BundleIncomplete, ProtocolViolation, Refused, SecaggError, VerificationFailed
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.statements import Contributors
from secagg.protocol.binding import Bound
from secagg.protocol.lanes import Groups, accumulate, check_signed_length, upload_root
from secagg.protocol.manifest import Manifest, Seat, digest, minimum_contributors, threshold
from secagg.protocol.masks import graph
from secagg.protocol.masks.checks import agreed
from secagg.protocol.masks.faults import check_fault as check_fault
from secagg.protocol.masks.messages import AdvertiseKeys, Agreement, Answer, MaskedInput, ShareList
from secagg.protocol.masks.recovery import Evidence, recover, unmask
from secagg.protocol.round.lists import signed_list
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Scope, Signed, open_signed

T = TypeVar("T")



def recompute(
    manifest_signed: bytes,
    u1: bytes,
    u2: bytes,
    u3: bytes,
    answers: Sequence[bytes],
    upload: Callable[[str], bytes],
    aggregator_key: bytes,
    drawn: bytes = b"",
) -> Groups:
    """Return the clear summed words per lane group.

    `upload(member)` gives the wire bytes of a member's upload, `drawn` is the list of beacons of a sparse graph.
    Raises: VerificationFailed saying what does not hold; BundleIncomplete as `upload` raises it.
    """
    try:
        return _recompute(manifest_signed, (u1, u2, u3, drawn), answers, upload, aggregator_key)
    except (VerificationFailed, BundleIncomplete):
        raise
    except (SecaggError, KeyError) as error:
        raise VerificationFailed(f"The round cannot be recomputed: {error}", "Treat the round as unproved.") from None


def recompute_frozen(
    manifest_signed: bytes, frozen: Contributors, file: Callable[[str], bytes], answers: Sequence[bytes],
    upload: Callable[[str], bytes], aggregator_key: bytes,
) -> Groups:  # fmt: skip
    """Return what `recompute` does, for a frozen set whose lists `file` gives by digest; so every engine is asked."""
    lists = (file(frozen.u1), file(frozen.u2), file(frozen.u3))
    drawn = file(frozen.drawn) if frozen.drawn else b""
    return recompute(manifest_signed, *lists, answers, upload, aggregator_key, drawn)


def check_agreements(data: bytes, manifest: Manifest, scope: Scope, frozen: Contributors) -> None:
    """Check that at least t members of the frozen set signed exactly its lists; `data` is the list of them.

    Raises: ProtocolViolation naming the member, or how many there are; WireError.
    """
    sets = Agreement(bytes.fromhex(frozen.u2), bytes.fromhex(frozen.u3))
    u3 = tuple(entry.member for entry in frozen.members)
    agreed(decode(tuple[Signed, ...], data, LIMIT_LIST), manifest, scope, sets, u3, quorum(manifest))


def witnesses(manifest: Manifest) -> dict[str, bytes]:
    """Return who witnesses a round, with their keys: its members."""
    return {seat.name: seat.key for seat in manifest.members}


def quorum(manifest: Manifest) -> int:
    """Return how many witnesses and agreements a manifest needs: its own word or the formula's, the larger."""
    return max(manifest.threshold, threshold(len(manifest.members), manifest.colluders))


def least(manifest: Manifest, colluders: int) -> int:
    """Return how many contributors a manifest needs, `colluders` being the federation's c."""
    assumed = max(manifest.colluders, colluders)
    return max(manifest.needed, minimum_contributors(len(manifest.members), assumed))


def check_holders(manifest: Manifest, trustees: tuple[Seat, ...]) -> None:
    """Members open sums of this engine themselves.

    Raises: Refused when the manifest names trustees all the same.
    """
    if manifest.custody is not UNSET:
        raise Refused("It names trustees, who have no part in this engine.", rule="manifest.custody")


def bounds(data: bytes, manifest: Manifest, scope: Scope) -> dict[str, Bound]:
    """Return what every header in a list says of its input, by member, each signed and of a whole upload.

    Raises: ProtocolViolation, BadSignature, WireError.
    """
    signed = signed_list(data, manifest, "MaskedInput", scope)
    headers = {name: decode(MaskedInput, header.body) for name, header in signed.items()}
    for name, header in headers.items():
        check_signed_length(manifest, name, header.length)
    return {name: header.bound for name, header in headers.items()}


def answered(manifest: Manifest, names: tuple[str, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
    """Return the members of a set whose inputs count as opened when a round is lost in its last step: who answered."""
    return tuple(name for name in names if name not in missing)


def _recompute(
    manifest_signed: bytes,
    lists: tuple[bytes, bytes, bytes, bytes],
    answers: Sequence[bytes],
    upload: Callable[[str], bytes],
    aggregator_key: bytes,
) -> Groups:
    manifest, scope = _manifest(manifest_signed, aggregator_key)
    signed_answers = [decode(Signed, data, LIMIT_BULK) for data in answers]
    u1, u2, u3, drawn = lists
    evidence, headers = evidence_of(manifest, scope, u1, u2, u3, signed_answers, drawn)
    sums: Groups = {}
    for member, header in headers.items():
        _accumulate(sums, manifest, member, header, upload(member))
    unmask(sums, evidence, recover(evidence))
    return sums


def evidence_of(
    manifest: Manifest, scope: Scope, u1: bytes, u2: bytes, u3: bytes, answers: Sequence[Signed], drawn: bytes = b""
) -> tuple[Evidence, dict[str, MaskedInput]]:
    """Return what opens a round, every signature verified, and the headers of U3's uploads by member.

    Raises: ProtocolViolation, BadSignature or WireError when a list or an answer is not what its signers signed.
    """
    signed = signed_list(u3, manifest, "MaskedInput", scope)
    headers = {name: decode(MaskedInput, entry.body) for name, entry in signed.items()}
    for member, header in headers.items():
        if header.u2 != sha256(u2):
            raise ProtocolViolation(f"{member} masked over another U2.", rule="u3.same-u2")
    advertised = _bodies(u1, manifest, "AdvertiseKeys", scope, AdvertiseKeys)
    shares = _bodies(u2, manifest, "ShareKeys", scope, ShareList)
    names = tuple(signed_list(drawn, manifest, "OpenBeacon", scope) if drawn else advertised)
    evidence = Evidence(
        manifest=manifest,
        scope=scope,
        u2=sha256(u2),
        advertised=advertised,
        shares=shares,
        near=_near(manifest, names, graph.basis(scope, u1, drawn), shares),
        u3=tuple(headers),
        answers={entry.sender: _answer(entry, manifest, scope) for entry in answers},
    )
    return evidence, headers


def _near(
    manifest: Manifest, names: tuple[str, ...], basis: bytes, shares: Mapping[str, ShareList]
) -> dict[str, tuple[str, ...]]:
    """Return to whom every dealer dealt among `names`; each of them signed what it follows from."""
    for member, body in shares.items():
        if body.u1 != basis or member not in names:
            raise ProtocolViolation(f"{member} dealt over another U1.", rule="u2.same-u1")
    dealt = graph.neighbours(names, manifest.degree, basis)
    return {member: dealt[member] for member in shares}


def _manifest(data: bytes, key: bytes) -> tuple[Manifest, Scope]:
    signed = decode(Signed, data, LIMIT_BULK)
    manifest = decode(Manifest, signed.body, LIMIT_BULK)
    open_signed(signed, key, "Manifest", Scope(round=manifest.round, manifest=NO_DIGEST), EVERYBODY)
    return manifest, Scope(round=manifest.round, manifest=digest(signed.body))


def _bodies(data: bytes, manifest: Manifest, kind: str, scope: Scope, body: type[T]) -> dict[str, T]:
    found = signed_list(data, manifest, kind, scope)
    return {name: decode(body, signed.body, LIMIT_BULK) for name, signed in found.items()}


def _answer(signed: Signed, manifest: Manifest, scope: Scope) -> Answer:
    body = open_signed(signed, manifest.key(signed.sender), "Answer", scope, manifest.aggregator)
    return decode(Answer, body, LIMIT_BULK)


def _accumulate(sums: Groups, manifest: Manifest, member: str, header: MaskedInput, data: bytes) -> None:
    if len(data) != header.length or upload_root(manifest, data) != header.upload:
        raise VerificationFailed(f"The kept upload of {member} is not the one it signed.", "Ask for the original.")
    accumulate(manifest, sums, data)
