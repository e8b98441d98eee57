"""Proofs of a member's fault: signed bytes that convince anybody who knows the member's signing key.

How to read it: one struct for each kind of fault. `check_fault` judges an encoded proof from nothing but itself and the
key of the member that it names.
Rules (protocol §3): every proof holds something that the member itself signed under H(manifest). So a manifest that
nobody honest took part in names nobody honest; and
1. `answer`: the answer names H(U2), and the U2 with this hash holds the dealer's list as the holder saw it. All leaves
   under its root are there, so that the holder's coordinate stands in it once. The share is another one, or it is
   missing without a report. The latter needs the holder's own list, which shows that the dealer is its neighbour, and
   its header. For a node holds back nothing that it did not report, and sends nothing but what it held against its
   leaf.
2. `dealing`: t shares that the dealer listed give another secret than its list or its advertised key commits to. Or one
   more that it listed lies off their polynomial. A listed share is one whose digest stands under the signed root.
   Whoever shows it needs nobody's signature for it, so that a proof tells nothing but the dealer's own secret.
3. `two-lists`: two lists of one attempt.
4. `reported`: c + 1 members of the attempt report the dealer. One of them is honest, and an honest one reports nothing
   but a piece that its dealer signed.
Leaves to others: finding faults (recovery.py, reports.py), making proofs of them (judging.py), what follows from one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.shamir import outliers
from secagg.errors import ProtocolViolation, SecaggError, VerificationFailed
from secagg.ids import EVERYBODY, Listed, Ordinal
from secagg.log.statements import FaultKind
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.masks import keys
from secagg.protocol.masks.dealing import Leaves, all_leaves, listed
from secagg.protocol.masks.keys import Part
from secagg.protocol.masks.messages import (
    AdvertiseKeys,
    Answer,
    MaskedInput,
    OwnedShare,
    ShareBytes,
    ShareLeaf,
    ShareList,
)
from secagg.protocol.masks.recovery import reconstruct
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, open_signed


class WrongAnswer(Struct, frozen=True, forbid_unknown_fields=True, tag="answer"):
    """A holder's share of `dealer`'s secret is not the listed one, or is missing.

    `header` and `own`, the holder's leaves, are there where a share is missing.
    """

    u2: bytes
    answer: Signed
    dealer: Listed
    leaves: tuple[ShareLeaf, ...]
    header: Signed | None = None
    own: tuple[ShareLeaf, ...] = ()


class Point(Struct, frozen=True, forbid_unknown_fields=True):
    """A share with its coordinate."""

    x: Ordinal
    share: ShareBytes


class WrongDealing(Struct, frozen=True, forbid_unknown_fields=True, tag="dealing"):
    """Listed shares of one secret that its dealer did not commit to, or that lie on no one polynomial.

    `advertised` is the dealer's signed key, where the shares are of that.
    """

    shares: Signed
    leaves: tuple[ShareLeaf, ...]
    part: Part
    points: tuple[Point, ...]
    advertised: Signed | None = None


class TwoLists(Struct, frozen=True, forbid_unknown_fields=True, tag="two-lists"):
    """Two signed lists of one dealer for one attempt."""

    first: Signed
    second: Signed


class Reported(Struct, frozen=True, forbid_unknown_fields=True, tag="reported"):
    """Signed headers of more than c members that report the signer of this list."""

    shares: Signed
    headers: tuple[Signed, ...]


class Proof(Struct, frozen=True, forbid_unknown_fields=True):
    """A fault in the attempt that the manifest with these bytes proposed."""

    manifest: bytes
    fault: WrongAnswer | WrongDealing | TwoLists | Reported


@dataclass(frozen=True)
class Proven:
    """Whose fault a proof shows, of which kind and in which attempt."""

    member: str
    kind: FaultKind
    scope: Scope


def check_fault(data: bytes, key_of: Callable[[str], bytes]) -> Proven:
    """Return what an encoded proof shows; `key_of` gives the signing key of a member as the reader knows it.

    Raises: VerificationFailed when it proves nothing.
    """
    try:
        proof = decode(Proof, data, LIMIT_BULK)
        manifest = decode(Manifest, proof.manifest, LIMIT_BULK)
        found = _judge(proof, manifest, Scope(manifest.round, digest(proof.manifest)))
        known = key_of(found.member) == manifest.key(found.member)
    except (SecaggError, KeyError) as error:
        raise _nothing(error.cause if isinstance(error, SecaggError) else "it is of nobody known here") from None
    if not known:
        raise _nothing(f"it is of another key than {found.member} has")
    return found


def _nothing(why: str) -> VerificationFailed:
    return VerificationFailed(f"A proof of a fault proves nothing: {why.rstrip('.')}.", "It names nobody.")


def _judge(proof: Proof, manifest: Manifest, scope: Scope) -> Proven:
    match proof.fault:
        case WrongAnswer() as fault:
            _check_answer(fault, manifest, scope)
            return Proven(fault.answer.sender, "answer", scope)
        case WrongDealing() as fault:
            _check_dealing(fault, manifest, scope)
            return Proven(fault.shares.sender, "dealing", scope)
        case TwoLists() as fault:
            _check_lists(fault, manifest, scope)
            return Proven(fault.first.sender, "two-lists", scope)
        case Reported() as fault:
            _check_reported(fault, manifest, scope)
            return Proven(fault.shares.sender, "reported", scope)


def _check_answer(fault: WrongAnswer, manifest: Manifest, scope: Scope) -> None:
    holder = fault.answer.sender
    answer = decode(Answer, _open(fault.answer, "Answer", manifest, scope, manifest.aggregator), LIMIT_BULK)
    if sha256(fault.u2) != answer.u2:
        raise _nothing("the answer is about another U2")
    leaves, x = _leaves_in(fault.u2, fault.dealer, fault.leaves, manifest, scope), manifest.index(holder) + 1
    if x not in leaves:
        raise _nothing(f"{fault.dealer} dealt {holder} nothing")
    for part, shares in _parts(answer):
        for entry in shares:
            if entry.owner == fault.dealer:
                if keys.share_digest(part, fault.dealer, x, entry.share) == listed(leaves[x], part):
                    raise _nothing("the share is the listed one")
                return
    _check_missing(fault, answer, manifest, scope)


def _check_missing(fault: WrongAnswer, answer: Answer, manifest: Manifest, scope: Scope) -> None:
    """Check that a holder whose answer has no share of a dealer owes it one."""
    holder = fault.answer.sender
    if fault.header is None or fault.header.sender != holder:
        raise _nothing("no share is missing without the holder's header")
    header = decode(MaskedInput, _open(fault.header, "MaskedInput", manifest, scope))
    own = _leaves_in(fault.u2, holder, fault.own, manifest, scope)
    if header.u2 != answer.u2 or manifest.index(fault.dealer) + 1 not in own:
        raise _nothing(f"{holder} owes no share of {fault.dealer}")
    if fault.dealer in header.reported:
        raise _nothing(f"{holder} reported {fault.dealer}")


def _parts(answer: Answer) -> tuple[tuple[Part, tuple[OwnedShare, ...]], ...]:
    return ("seed", answer.seeds), ("key", answer.keys)


def _check_dealing(fault: WrongDealing, manifest: Manifest, scope: Scope) -> None:
    dealer, t = fault.shares.sender, manifest.share_threshold
    list_ = decode(ShareList, _open(fault.shares, "ShareKeys", manifest, scope))
    leaves = all_leaves(dealer, fault.leaves, list_.root)
    points = {point.x: point.share for point in fault.points}
    if len(points) != len(fault.points) or not t <= len(points) <= t + 1:
        raise _nothing(f"{t} shares of different holders are needed, or one more")
    for x, share in points.items():
        if x not in leaves or keys.share_digest(fault.part, dealer, x, share) != listed(leaves[x], fault.part):
            raise _nothing(f"share {x} is not one that {dealer} listed")
    base = tuple(points)[:t]
    if len(points) > t and outliers(points, base):
        return
    expected = list_.commitment if fault.part == "seed" else _advertised(fault, manifest, scope)
    try:
        reconstruct(fault.part, {x: points[x] for x in base}, expected, scope, dealer)
    except ProtocolViolation:
        return
    raise _nothing(f"the shares give what {dealer} committed to")


def _advertised(fault: WrongDealing, manifest: Manifest, scope: Scope) -> bytes:
    if fault.advertised is None or fault.advertised.sender != fault.shares.sender:
        raise _nothing("the dealer's advertised key is missing")
    return decode(AdvertiseKeys, _open(fault.advertised, "AdvertiseKeys", manifest, scope)).mask_key


def _check_lists(fault: TwoLists, manifest: Manifest, scope: Scope) -> None:
    first, second = (_open(one, "ShareKeys", manifest, scope) for one in (fault.first, fault.second))
    if fault.first.sender != fault.second.sender or first == second:
        raise _nothing("there are no two lists of one dealer")


def _check_reported(fault: Reported, manifest: Manifest, scope: Scope) -> None:
    dealer = fault.shares.sender
    _open(fault.shares, "ShareKeys", manifest, scope)
    for signed in fault.headers:
        header = decode(MaskedInput, _open(signed, "MaskedInput", manifest, scope))
        if dealer not in header.reported or signed.sender == dealer:
            raise _nothing(f"{signed.sender} does not report {dealer}")
    if len({signed.sender for signed in fault.headers}) <= manifest.colluders:
        raise _nothing(f"no more than {manifest.colluders} members report {dealer}")


def _open(signed: Signed, kind: str, manifest: Manifest, scope: Scope, receiver: str = EVERYBODY) -> bytes:
    return open_signed(signed, manifest.key(signed.sender), kind, scope, receiver)


def _leaves_in(
    u2: bytes, dealer: str, leaves: tuple[ShareLeaf, ...], manifest: Manifest, scope: Scope
) -> Leaves:  # fmt: skip
    """Return a dealer's leaves, once they are all under the root of its list in this U2."""
    found = [entry for entry in decode(tuple[Signed, ...], u2, LIMIT_BULK) if entry.sender == dealer]
    if len(found) != 1:
        raise _nothing(f"{dealer} is not in U2 once")
    list_ = decode(ShareList, _open(found[0], "ShareKeys", manifest, scope))
    return all_leaves(dealer, leaves, list_.root)
