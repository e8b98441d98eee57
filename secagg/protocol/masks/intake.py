"""Members' messages at the aggregator's door: verified one by one, then kept in the phase; sets read back from lists.

Rules: a message counts once (the first stays; a repeated one changes nothing, another one under the same name is
equivocation). Signature and content are checked before it counts, so that what the members would refuse never reaches
them. Bodies are in their one form (`wire.form`), so that no member makes a list or a proof too long to be sent.
Leaves to others: when a step ends (aggregator.py), complete and verified uploads (aggregator.rounds).
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.seal import SealingKey
from secagg.errors import ProtocolViolation
from secagg.ids import EVERYBODY
from secagg.log.checkpoint import Checkpoint, read_checkpoint, verify_cosignature
from secagg.protocol.lanes import check_signed_length
from secagg.protocol.masks import graph, keys
from secagg.protocol.masks.dealing import all_leaves
from secagg.protocol.masks.messages import (
    PIECE_BYTES,
    AdvertiseKeys,
    Agreement,
    Answer,
    ConsistencyCheck,
    MaskedInput,
    OpenBeacon,
    ShareKeys,
    ShareLeaf,
    ShareList,
    Unmask,
)
from secagg.protocol.masks.recovery import Evidence, check_answer
from secagg.protocol.masks.reports import check_reported
from secagg.protocol.masks.rounds import (
    Advertising,
    Agreeing,
    Dealt,
    Drawing,
    Judging,
    Opening,
    Sharing,
    Unmasking,
    Uploading,
)
from secagg.protocol.round.events import FromNode
from secagg.protocol.round.lists import senders
from secagg.protocol.round.messages import Cosignature, Refuse
from secagg.protocol.round.phases import Common, Out
from secagg.wire.codec import decode, decode_exact
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Signed, open_signed

STEP: dict[type, str] = {
    Advertising: "AdvertiseKeys",
    Drawing: "OpenBeacon",
    Sharing: "ShareKeys",
    Uploading: "MaskedInput",
    Agreeing: "ConsistencyCheck",
    Opening: "Unmask",
}
"""The step that a collecting phase belongs to."""

Dealing = Uploading | Agreeing | Opening | Judging | Unmasking
"""Phases that know U2."""

Collecting = Advertising | Drawing | Sharing | Uploading | Agreeing | Opening


@lru_cache(maxsize=64)
def _digest(data: bytes) -> bytes:
    """Return SHA-256 of a list that every message of a step is held against."""
    return sha256(data)


@lru_cache(maxsize=2)
def _advertised(u1: bytes) -> Mapping[str, AdvertiseKeys]:
    """Return what each member advertised in a list that this aggregator made."""
    entries = decode(tuple[Signed, ...], u1, LIMIT_LIST)
    return MappingProxyType({entry.sender: decode(AdvertiseKeys, entry.body) for entry in entries})


@lru_cache(maxsize=2)
def _dealt(u2: bytes) -> Mapping[str, ShareList]:
    """Return whom each member dealt to, from a list that this aggregator made."""
    entries = decode(tuple[Signed, ...], u2, LIMIT_LIST)
    return MappingProxyType({entry.sender: decode(ShareList, entry.body, LIMIT_BULK) for entry in entries})


@lru_cache(maxsize=2)
def dealt_leaves(dealt: bytes) -> Mapping[str, tuple[ShareLeaf, ...]]:
    """Return every dealer's leaves, from what this aggregator kept of their messages."""
    return MappingProxyType({entry.dealer: entry.leaves for entry in decode(tuple[Dealt, ...], dealt, LIMIT_LIST)})


def near(phase: Sharing | Dealing) -> Mapping[str, tuple[str, ...]]:
    """Return to whom every member that dealt, or is to deal, deals: itself and its neighbours, in roster order."""
    if isinstance(phase, Sharing):
        return graph.neighbours(phase.members, phase.manifest.degree, phase.basis)
    basis = graph.basis(phase.scope, phase.u1, phase.drawn)
    dealt = graph.neighbours(senders(phase.drawn or phase.u1), phase.manifest.degree, basis)
    return {dealer: dealt[dealer] for dealer in senders(phase.u2)}


def log_sizes(u1: bytes) -> dict[str, int]:
    """Return the checkpoint size that each member said it holds."""
    return {member: entry.log_size for member, entry in _advertised(u1).items()}


def expected(phase: Collecting) -> tuple[str, ...]:
    """Return whom this step waits for, in roster order."""
    match phase:
        case Advertising():
            return phase.manifest.names()
        case Drawing() | Sharing():
            return phase.members
        case Uploading():
            return senders(phase.u2)
        case Agreeing():
            return senders(phase.u3)
        case Opening():
            return phase.asked


def taken(phase: Collecting) -> tuple[Signed, ...]:
    """Return what counts of this step: signed messages."""
    match phase:
        case Advertising():
            return phase.keys
        case Drawing():
            return phase.beacons
        case Sharing():
            return tuple([entry.shares for entry in phase.shares])
        case Uploading():
            return phase.headers
        case Agreeing():
            return phase.agreements
        case Opening():
            return phase.answers


def received(phase: Collecting) -> tuple[str, ...]:
    """Return who has answered this step."""
    return tuple([entry.sender for entry in taken(phase)])


def _fresh(phase: Collecting, event: FromNode) -> bool:
    """Say whether this message is the member's first of this step; refuse strangers and members who are out."""
    if event.sender not in expected(phase) or any(entry.member == event.sender for entry in phase.out):
        raise ProtocolViolation(f"{event.sender} is not waited for in {event.kind}.", rule="intake.stranger")
    return event.sender not in received(phase)


def _body(phase: Common, event: FromNode, signed: Signed, kind: str, receiver: str = EVERYBODY) -> bytes:
    if signed.sender != event.sender:
        raise ProtocolViolation(f"{event.sender} sends a message signed as {signed.sender}.", rule="intake.sender")
    if event.sender not in phase.manifest.names():
        raise ProtocolViolation(f"{event.sender} is not in the cohort of {event.kind}.", rule="intake.stranger")
    return open_signed(signed, phase.manifest.key(event.sender), kind, phase.scope, receiver)


def advertise_keys(phase: Advertising, event: FromNode) -> Advertising:
    """Take step 0's keys; one that is none would stop everybody, and two members with one key cannot both stay."""
    signed = decode(Signed, event.data)
    body = decode_exact(AdvertiseKeys, _body(phase, event, signed, "AdvertiseKeys"))
    if not _fresh(phase, event):
        return phase
    keys.check_advertised(body.seal_key, body.mask_key)
    others = [decode(AdvertiseKeys, entry.body) for entry in phase.keys]
    if any(body.mask_key == other.mask_key or body.seal_key == other.seal_key for other in others):
        raise ProtocolViolation(f"{event.sender} advertises another member's key.", rule="u1.distinct")
    return replace(phase, keys=(*phase.keys, signed))


def open_beacon(phase: Drawing, event: FromNode) -> Drawing:
    """Take one value of a draw; it must open its commitment and follow the draw before."""
    signed = decode(Signed, event.data)
    body = decode_exact(OpenBeacon, _body(phase, event, signed, "OpenBeacon"))
    if (body.draw, body.after) != (phase.draw, phase.after):
        raise ProtocolViolation(f"{event.sender} took part in another draw.", rule="beacon.draw")
    if not _fresh(phase, event):
        return phase
    committed = _advertised(phase.u1)[event.sender].beacon
    if not graph.opens(body.value, committed, phase.scope, event.sender, phase.draw):
        raise ProtocolViolation(f"The beacon of {event.sender} does not open.", rule="beacon.commitment")
    return replace(phase, beacons=(*phase.beacons, signed))


def share_keys(phase: Sharing, event: FromNode) -> Sharing:
    """Take step 1's list, leaves, pieces and witness line; dealt to exactly the neighbours, and they are the list's."""
    message = decode(ShareKeys, event.data, LIMIT_BULK)
    body = decode_exact(ShareList, _body(phase, event, message.shares, "ShareKeys"), LIMIT_BULK)
    if event.sender not in phase.members or body.u1 != phase.basis:
        raise ProtocolViolation(f"{event.sender} dealt shares to another U1.", rule="u2.same-u1")
    leaves = all_leaves(event.sender, message.leaves, body.root)
    if tuple(leaves) != tuple(phase.manifest.index(name) + 1 for name in near(phase)[event.sender]):
        raise ProtocolViolation(f"{event.sender} dealt shares to others than its neighbours.", rule="u2.receivers")
    if any(len(piece) > PIECE_BYTES for piece in message.pieces):
        raise ProtocolViolation(f"{event.sender} sends a piece longer than any is.", rule="u2.pieces")
    if tuple(leaf.piece for leaf in message.leaves) != tuple(sha256(piece) for piece in message.pieces):
        raise ProtocolViolation(f"{event.sender} sends pieces it did not sign for.", rule="u2.digests")
    if not _fresh(phase, event):
        return phase
    _check_witness(phase, event.sender, read_checkpoint(phase.manifest.directory), message.directory)
    return replace(phase, shares=(*phase.shares, message))


def second_list(phase: Sharing | Dealing, event: FromNode) -> tuple[Signed, Signed] | None:
    """Return a member's two lists, when it has signed another one before for this attempt.

    Raises: ProtocolViolation when this is none of the sender's.
    """
    signed = decode(ShareKeys, event.data, LIMIT_BULK).shares
    _body(phase, event, signed, "ShareKeys")
    known = taken(phase) if isinstance(phase, Sharing) else decode(tuple[Signed, ...], phase.u2, LIMIT_LIST)
    return next(((one, signed) for one in known if one.sender == event.sender and one.body != signed.body), None)


def _check_witness(phase: Common, member: str, checkpoint: Checkpoint, line: bytes) -> None:
    """Check a member's co-signature. Raises: VerificationFailed."""
    verify_cosignature(checkpoint, line, f"{phase.scope.round.federation}/{member}", phase.manifest.key(member))


def masked_input(phase: Uploading, event: FromNode) -> Uploading:
    """Take step 2's header; the shell has stored and verified the upload it names."""
    signed = decode(Signed, event.data)
    body = decode_exact(MaskedInput, _body(phase, event, signed, "MaskedInput"))
    if body.u2 != _digest(phase.u2):
        raise ProtocolViolation(f"{event.sender} masked over another U2.", rule="u3.same-u2")
    check_signed_length(phase.manifest, event.sender, body.length)
    check_reported(event.sender, body, near(phase))
    return replace(phase, headers=(*phase.headers, signed)) if _fresh(phase, event) else phase


def consistency(phase: Agreeing, event: FromNode) -> Agreeing:
    """Take step 3's agreement and the witness line on the freeze."""
    message = decode(ConsistencyCheck, event.data)
    agreed = decode_exact(Agreement, _body(phase, event, message.agreement, "ConsistencyCheck"))
    if (agreed.u2, agreed.u3) != (_digest(phase.u2), _digest(phase.u3)):
        raise ProtocolViolation(f"{event.sender} agreed to other sets.", rule="open.same-sets")
    if not _fresh(phase, event):
        return phase
    _check_witness(phase, event.sender, read_checkpoint(phase.checkpoint), message.rounds)
    return replace(
        phase,
        agreements=(*phase.agreements, message.agreement),
        cosignatures=(*phase.cosignatures, Cosignature(event.sender, message.rounds)),
    )


def unmask(phase: Opening, event: FromNode, key: SealingKey) -> Opening:
    """Take step 4's sealed answer and keep the signed plaintext inside."""
    manifest = phase.manifest
    envelope = decode(Signed, event.data, LIMIT_BULK)
    body = decode(Unmask, _body(phase, event, envelope, "Unmask", manifest.aggregator), LIMIT_BULK)
    info = keys.answer_info(phase.scope, event.sender, manifest.aggregator)
    inner = decode(Signed, key.open(body.sealed, info), LIMIT_BULK)
    _body(phase, event, inner, "Answer", manifest.aggregator)
    if not _fresh(phase, event):
        return phase
    answer = decode_exact(Answer, inner.body, LIMIT_BULK)
    check_answer(event.sender, answer, _digest(phase.u2), senders(phase.u2), senders(phase.u3))
    return replace(phase, answers=(*phase.answers, inner))


def refusal(phase: Collecting, event: FromNode) -> Collecting:
    """Take a member's leave; it is not waited for any more."""
    leave = decode_exact(Refuse, _body(phase, event, decode(Signed, event.data), "Refuse"))
    if not _fresh(phase, event):
        return phase
    return replace(phase, out=(*phase.out, Out(event.sender, STEP[type(phase)], f"refused: {leave.rule}")))


def evidence(phase: Judging | Unmasking) -> Evidence:
    """Return what opens the round: lists already verified when they were taken."""
    return Evidence(
        manifest=phase.manifest,
        scope=phase.scope,
        u2=_digest(phase.u2),
        advertised=_advertised(phase.u1),
        shares=_dealt(phase.u2),
        near=near(phase),
        u3=senders(phase.u3),
        answers={entry.sender: decode(Answer, entry.body, LIMIT_BULK) for entry in phase.answers},
    )
