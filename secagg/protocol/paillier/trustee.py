"""A trustee's round of engine `paillier`: check, then (the shell) save, then send.

How to read it: `start` answers a proposal, `advance` is the whole transition table; the checks are in checks.py. The
shell stores `Step.phase` and `Step.records` in one transaction and only then sends `Step.send`.
Rules (protocol §4, §5, §6): it opens only a product that it made itself from the signed uploads of the frozen set. It
does so once per (job, round) whatever the attempt, and only with the logged freeze and a quorum of trustees that
witnessed it. The decision is recorded when it is made, before any work on it, so a round that then fails is lost. Every
set it decided for is remembered with the inputs in it, which are opened over that set again or not at all (bound.py).
Leaves to others: uploads, the share and the work with it (decrypting.py), the end of an attempt (round/trustees.py),
the shell (keyserver.trustee).
"""

from secagg.crypto.derive import sha256
from secagg.crypto.seal import seal
from secagg.errors import ProtocolViolation
from secagg.ids import EVERYBODY
from secagg.log.checkpoint import cosign
from secagg.protocol.manifest import Manifest
from secagg.protocol.memory import (
    Opened,
    check_attempt,
    check_current,
    check_going,
    check_unopened,
)  # fmt: skip
from secagg.protocol.memory import (
    Witnessed as Seen,
)
from secagg.protocol.paillier import checks
from secagg.protocol.paillier.bound import check_inputs
from secagg.protocol.paillier.messages import PIECE, Agreement, Answer, Attend, Decrypt, Freeze, Open, Piece, Witness
from secagg.protocol.paillier.phases import Answered, Attending, Decrypted, Decrypting, TrusteePhase, Witnessed
from secagg.protocol.round import events, parties
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.phases import Over, unexpected
from secagg.protocol.round.trustees import TrusteeContext
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, context, open_signed, sign

ANSWER_LABEL = "secagg/v1/paillier/answer"

Step = events.Step[TrusteePhase]


def start(propose: Propose, ctx: TrusteeContext) -> Step:
    """Accept a manifest or raise; answer with the size of the log checkpoint that it stands in.

    Raises: Refused naming the rule; VerificationFailed when the log proof does not hold.
    """
    manifest, scope = checks.proposal(propose.manifest, ctx.expect)
    check_going(ctx.memory, scope)
    check_attempt(ctx.memory, scope.round, scope.manifest)
    seen = checks.logged_manifest(propose, scope, ctx.expect, ctx.memory.last(ctx.expect.log_origin))
    signed = sign(ctx.key, "Attend", scope, ctx.name, manifest.aggregator, encode(Attend(seen.size)))
    return Step(Attending(scope, manifest, seen), (("Attend", encode(signed)),), parties.entered(scope, seen))


def advance(phase: TrusteePhase, event: Signed | Decrypted, ctx: TrusteeContext) -> Step:
    """Take one event in one phase.

    Raises: ProtocolViolation (or a subclass naming the rule) when it is not legal here or fails a check; the phase is
    then unchanged.
    """
    if isinstance(event, Decrypted):
        if isinstance(phase, Decrypting):
            return _answer(phase, event.answer, ctx)
        raise unexpected(phase, "A Decrypted")
    if isinstance(phase, Over):
        raise unexpected(phase, f"A {event.kind}")
    check_going(ctx.memory, phase.scope)
    check_current(ctx.memory, phase.scope.round)
    body = open_signed(event, ctx.expect.aggregator_key, event.kind, phase.scope, ctx.name)
    match phase, event.kind:
        case Attending(), "Freeze":
            return _witness(phase, decode(Freeze, body, LIMIT_LIST), ctx)
        case Witnessed(), "Open":
            return _decide(phase, decode(Open, body, LIMIT_LIST), ctx)
        case Answered(), "Open":
            return _answered(phase)
        case _:
            raise unexpected(phase, f"A {event.kind}")


def _witness(phase: Attending, message: Freeze, ctx: TrusteeContext) -> Step:
    """Check U, the freeze and the ledger; sign H(U), co-sign the checkpoints of the freeze and of the directory."""
    manifest, scope = phase.manifest, phase.scope
    names = tuple(checks.frozen_set(message.u, phase))
    frozen = checks.logged_freeze(message, phase, names, ctx.expect, ctx.memory.last(ctx.expect.log_origin))
    check_unopened(ctx.memory, scope.round)
    check_inputs(message.u, manifest, message.allowances, ctx.expect.seats, ctx.memory)
    agreement = sign(ctx.key, "Witness", scope, ctx.name, EVERYBODY, encode(Agreement(sha256(message.u))))
    witness = f"{scope.round.federation}/{ctx.name}"
    sent = Witness(
        agreement=agreement,
        rounds=cosign(message.proof.checkpoint, witness, ctx.key, ctx.now),
        directory=cosign(manifest.directory, witness, ctx.key, ctx.now),
    )
    after = Witnessed(scope, manifest, message.u, names, frozen, message.allowances)
    seen = Seen(origin=frozen.origin, size=frozen.size, root=frozen.root)
    return Step(after, (("Witness", encode(sent)),), (seen,))


def _decide(phase: Witnessed, message: Open, ctx: TrusteeContext) -> Step:
    """Check the quorum and decide, once: from the record on, this round is opened for this set or for none."""
    checks.agreements(message, phase)
    checks.witness_quorum(message, phase)
    check_unopened(ctx.memory, phase.scope.round)
    summed = check_inputs(phase.u, phase.manifest, phase.allowances, ctx.expect.seats, ctx.memory)
    opened = Opened(round=phase.scope.round, contributors=phase.names)
    return Step(Decrypting(phase.scope, phase.manifest, phase.u, phase.names), (), (opened, summed))


def _answer(phase: Decrypting, answer: Answer, ctx: TrusteeContext) -> Step:
    """Sign and seal what was decrypted; recorded, it is repeated byte for byte and never made again."""
    manifest, scope = phase.manifest, phase.scope
    if answer.u != sha256(phase.u):
        raise ProtocolViolation("An answer was made for another set.", "It is not sent.", rule="answer.set")
    data, u = encode(answer), sha256(phase.u)
    parts = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    pieces = (Piece(u, index, len(parts), part) for index, part in enumerate(parts))
    return _answered(Answered(scope, tuple(_sealed(piece, scope, manifest, ctx) for piece in pieces)))


def _sealed(piece: Piece, scope: Scope, manifest: Manifest, ctx: TrusteeContext) -> Signed:
    inner = sign(ctx.key, "Answer", scope, ctx.name, manifest.aggregator, encode(piece))
    sealed = seal(manifest.opening_key, encode(inner), answer_info(scope, ctx.name, manifest.aggregator))
    return sign(ctx.key, "Decrypt", scope, ctx.name, manifest.aggregator, encode(Decrypt(sealed)))


def _answered(phase: Answered) -> Step:
    return Step(phase, tuple(("Decrypt", encode(envelope)) for envelope in phase.answers))


def answer_info(scope: Scope, sender: str, aggregator: str) -> bytes:
    """Return the HPKE `info` of a sealed answer."""
    return context(ANSWER_LABEL, "Decrypt", scope, sender, aggregator)
