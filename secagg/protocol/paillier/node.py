"""A node's round of engine `paillier`: accept the manifest, encrypt, sign one header; there is nothing else to say.

How to read it: `start` answers a proposal, `advance` takes the shell's `Encrypted`. Values in, values out: the shell
stores `Step.phase` and `Step.records` in one transaction and only then sends `Step.send`.
Rules: parameters, trustees and key are judged here and taken from nobody on trust. No header leaves without its entry
in the ledger of inputs. None leaves for an input that a person excused before everybody in the sets that it was summed
over allowed that. A later attempt ends the earlier one.
Leaves to others: the upload itself (encrypting.py), what is opened (the trustees). Source: docs/protocol.md §5.
"""

from msgspec import UNSET

from secagg.errors import ProtocolViolation
from secagg.ids import EVERYBODY
from secagg.protocol.acceptance import accept
from secagg.protocol.allowing import allowed_by
from secagg.protocol.custody import custody_of
from secagg.protocol.memory import check_current
from secagg.protocol.paillier.bound import own_bound
from secagg.protocol.paillier.door import admit
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.protocol.paillier.phases import Encrypted, Encrypting, NodePhase, Uploaded
from secagg.protocol.round import events, parties
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import NodeContext, logged_manifest
from secagg.protocol.round.phases import unexpected
from secagg.wire.codec import encode
from secagg.wire.signed import Signed, sign

Step = events.Step[NodePhase]


def start(propose: Propose, ctx: NodeContext) -> Step:
    """Accept the manifest and its key, or raise; the shell then trains and encrypts.

    Raises: Refused naming the rule; VerificationFailed when the log proof does not hold.
    """
    manifest, scope = accept(propose.manifest, ctx.expect, ctx.memory)
    admit(custody_of(manifest), ctx.expect.policy.min_key_bits, ctx.expect.earlier_moduli)
    seen = logged_manifest(propose, scope, ctx.expect, ctx.memory)
    allowed = allowed_by(propose.allowances, scope.round, ctx.expect.seats)
    return Step(Encrypting(scope, manifest, tuple(sorted(allowed))), (), parties.entered(scope, seen))


def advance(phase: NodePhase, event: Signed | Encrypted, ctx: NodeContext) -> Step:
    """Take one event in one phase.

    Raises: ProtocolViolation when it is not legal here: an aggregator has nothing to say after its proposal.
    """
    match phase, event:
        case Encrypting(), Encrypted():
            check_current(ctx.memory, phase.scope.round)
            return _upload(phase, event, ctx)
        case _:
            kind = event.kind if isinstance(event, Signed) else type(event).__name__
            raise unexpected(phase, f"A {kind}")


def _upload(phase: Encrypting, done: Encrypted, ctx: NodeContext) -> Step:
    """Sign the header of a stored upload, with what the ledger says of it; from now on the trustees may open it."""
    if done.given is UNSET:
        raise ProtocolViolation("An upload without its entry in the ledger.", rule="phase.message")
    bound = own_bound(phase, done.given, ctx.expect.seats)
    body = encode(
        EncryptedInput(root=done.root, length=done.length, upload=done.upload, proof=done.proof, bound=bound)
    )
    header = sign(ctx.key, "EncryptedInput", phase.scope, ctx.name, EVERYBODY, body)
    after = Uploaded(phase.scope, phase.manifest, header)
    return Step(after, (("EncryptedInput", encode(header)),), (done.given.counted,))
