"""Messages of members and trustees at the aggregator's door: verified one by one, then kept in the phase.

Rules: a message counts once: the first stays, a repeated one changes nothing, and a trustee's second, different answer
is equivocation, which the log states. Signature and content are checked before it counts, so that what a trustee would
refuse never reaches it. Leaves to others: when a step ends (aggregator.py), uploads and their proofs (the shell, with
accepting.py), the proofs of answers (opening.py).
"""

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.seal import SealingKey
from secagg.errors import ProtocolViolation
from secagg.ids import EVERYBODY
from secagg.log.checkpoint import read_checkpoint, verify_cosignature
from secagg.protocol.custody import custody_of
from secagg.protocol.paillier.accepting import check_header
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import PIECE, Agreement, Attend, Decrypt, EncryptedInput, Piece, Witness
from secagg.protocol.paillier.rounds import Collecting, Freezing, Given, Opening, Waiting, Witnessing, complete
from secagg.protocol.paillier.trustee import answer_info
from secagg.protocol.round.events import FromNode
from secagg.protocol.round.messages import Cosignature, Refuse
from secagg.protocol.round.phases import Common, Out, Standing
from secagg.wire.codec import decode, decode_exact, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, open_signed

ANSWER_LIMIT = LIMIT_BULK
"""A piece of an answer is one message."""

_PROOF = 16_384
"""Bytes that an answer has beside its numbers: a proof under the longest key, and names of fields."""

Attended = Collecting | Freezing | Witnessing | Opening
"""Phases in which a trustee may still say that it takes part."""

STEP: dict[type, str] = {Collecting: "EncryptedInput", Witnessing: "Witness", Opening: "Decrypt"}
"""The step that a waiting phase belongs to."""


def gone(phase: Common) -> set[str]:
    """Return who is out."""
    return {entry.member for entry in phase.out}


def waiting_for(phase: Waiting) -> tuple[str, ...]:
    """Return whose message this step still lacks: members in roster order, then trustees in the order of seats."""
    match phase:
        case Collecting():
            settled = {*(entry.sender for entry in phase.headers), *(entry.member for entry in phase.attending)}
            expected = (*phase.manifest.names(), *custody_of(phase.manifest).names())
        case Witnessing():
            settled, expected = {entry.sender for entry in phase.agreements}, phase.shown
        case Opening():
            settled, expected = set(complete(phase.answers)), phase.shown
    return tuple(name for name in expected if name not in settled | gone(phase))


def attend(phase: Attended, event: FromNode) -> Attended:
    """Take a trustee's word that it judges this round, and from which checkpoint; one that is late is only slow."""
    signed = decode(Signed, event.data)
    said = decode_exact(Attend, _of_trustee(phase, event, signed, "Attend", phase.manifest.aggregator))
    if event.sender in present(phase):
        return phase
    if isinstance(phase, Witnessing | Opening):
        return replace(phase, present=(*phase.present, event.sender))
    return replace(phase, attending=(*phase.attending, Standing(event.sender, said.log_size)))


def present(phase: Attended) -> tuple[str, ...]:
    """Return the trustees that said a word in this round."""
    if isinstance(phase, Witnessing | Opening):
        return phase.present
    return tuple(entry.member for entry in phase.attending)


def encrypted_input(phase: Collecting, event: FromNode) -> Collecting:
    """Take a member's header; the shell has stored the upload it names and verified it, proof included."""
    signed = decode(Signed, event.data)
    if signed.sender != event.sender:
        raise ProtocolViolation(f"{event.sender} sends a message signed as {signed.sender}.", rule="intake.sender")
    if event.sender not in phase.manifest.names() or event.sender in gone(phase):
        raise _stranger(event)
    key = phase.manifest.key(event.sender)
    header = decode_exact(EncryptedInput, open_signed(signed, key, "EncryptedInput", phase.scope, EVERYBODY))
    check_header(Layout(phase.manifest), event.sender, header)
    if event.sender in {entry.sender for entry in phase.headers}:
        return phase
    return replace(phase, headers=(*phase.headers, signed))


def witness(phase: Witnessing, event: FromNode) -> Witnessing:
    """Take a trustee's agreement and its witness lines on both checkpoints."""
    message = decode(Witness, event.data)
    agreed(phase, event, message)
    if event.sender in {entry.sender for entry in phase.agreements}:
        return phase
    return replace(
        phase,
        present=phase.present if event.sender in phase.present else (*phase.present, event.sender),
        agreements=(*phase.agreements, message.agreement),
        cosignatures=(*phase.cosignatures, Cosignature(event.sender, message.rounds)),
        directory=(*phase.directory, Cosignature(event.sender, message.directory)),
    )


def agreed(phase: Witnessing | Opening, event: FromNode, message: Witness) -> None:
    """Check a trustee's agreement and witness lines.

    Raises: ProtocolViolation naming the rule.
    """
    said = decode_exact(Agreement, _of_trustee(phase, event, message.agreement, "Witness", EVERYBODY))
    if event.sender not in phase.shown:
        raise _stranger(event)
    if said.u != sha256(phase.u):
        raise ProtocolViolation(f"{event.sender} agreed to another set.", rule="open.same-set")
    key, name = custody_of(phase.manifest).seat(event.sender).key, f"{phase.scope.round.federation}/{event.sender}"
    verify_cosignature(read_checkpoint(phase.checkpoint), message.rounds, name, key)
    verify_cosignature(read_checkpoint(phase.manifest.directory), message.directory, name, key)


def decrypt(phase: Opening, event: FromNode, key: SealingKey) -> tuple[Opening, bytes, bytes]:
    """Take a piece of a trustee's sealed answer. Return the phase that names it, the signed piece, to be kept, and the
    SHA-256 of the other piece that it contradicts, if it does. Its trustee is then in `doubled`.
    """
    aggregator = phase.manifest.aggregator
    envelope = decode(Signed, event.data, ANSWER_LIMIT)
    body = decode(Decrypt, _of_trustee(phase, event, envelope, "Decrypt", aggregator), ANSWER_LIMIT)
    if event.sender not in phase.asked:
        raise _stranger(event)
    inner = decode(Signed, key.open(body.sealed, answer_info(phase.scope, event.sender, aggregator)), ANSWER_LIMIT)
    piece = decode_exact(Piece, _of_trustee(phase, event, inner, "Answer", aggregator), ANSWER_LIMIT)
    if piece.u != sha256(phase.u):
        raise ProtocolViolation(f"{event.sender} answered for another set.", rule="answer.set")
    mine = [entry for entry in phase.answers if entry.trustee == event.sender]
    most = _most_pieces(phase)
    if not piece.index < piece.count <= most or any(entry.count != piece.count for entry in mine):
        raise ProtocolViolation(f"{event.sender} answers in other pieces than it can have.", rule="answer.pieces")
    data = encode(inner)
    first = next((entry.digest for entry in mine if entry.index == piece.index), None)
    if first is None:
        given = Given(event.sender, sha256(data), piece.index, piece.count)
        return replace(phase, answers=(*phase.answers, given)), data, b""
    if first == sha256(data) or event.sender in phase.doubled:
        return phase, data, b""
    return replace(phase, doubled=(*phase.doubled, event.sender)), data, first


def _most_pieces(phase: Opening) -> int:
    """Return into how many pieces an answer can be cut: as many bytes as an upload, and its proof."""
    return (Layout(phase.manifest).upload_bytes + _PROOF) // PIECE + 1


def refusal(phase: Waiting, event: FromNode) -> Waiting:
    """Take a member's or a trustee's leave; it is not waited for any more."""
    signed = decode(Signed, event.data)
    if event.sender in custody_of(phase.manifest).names():
        body = _of_trustee(phase, event, signed, "Refuse", EVERYBODY)
    elif isinstance(phase, Collecting) and event.sender in phase.manifest.names() and signed.sender == event.sender:
        body = open_signed(signed, phase.manifest.key(event.sender), "Refuse", phase.scope, EVERYBODY)
    else:
        raise _stranger(event)
    if event.sender not in waiting_for(phase):
        return phase
    leave = decode_exact(Refuse, body)
    step = "Attend" if event.sender in custody_of(phase.manifest).names() else STEP[type(phase)]
    if not isinstance(phase, Collecting):
        step = STEP[type(phase)]
    return replace(phase, out=(*phase.out, Out(event.sender, step, f"refused: {leave.rule}")))


def _of_trustee(phase: Common, event: FromNode, signed: Signed, kind: str, receiver: str) -> bytes:
    custody = custody_of(phase.manifest)
    if signed.sender != event.sender:
        raise ProtocolViolation(f"{event.sender} sends a message signed as {signed.sender}.", rule="intake.sender")
    if event.sender not in custody.names() or event.sender in gone(phase):
        raise _stranger(event)
    return open_signed(signed, custody.seat(event.sender).key, kind, phase.scope, receiver)


def _stranger(event: FromNode) -> ProtocolViolation:
    return ProtocolViolation(f"{event.sender} is not waited for in {event.kind}.", rule="intake.stranger")
