"""What an aggregator does in a round of every engine: propose a manifest, publish a sum, close a round or lose it.

Rules (protocol §3, §6): a manifest is proposed only once its statement is logged; a result is given away only once its
own is. Leaves to others: everything between a proposal and a clear sum (each engine's aggregator.py).
"""

from collections.abc import Iterable

from secagg.crypto.derive import hmac_sha256
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.protocol.lanes import Groups
from secagg.protocol.manifest import GroupSum, Manifest, Published, digest
from secagg.protocol.round import stating
from secagg.protocol.round.events import Append, Event, FromNode, Keep, Log, Logged, Send, Turned
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import AggregatorContext
from secagg.protocol.round.phases import Closed, Common, Failed, Out, Proposing, Publishing, Standing
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, sign


def start(
    manifest: Manifest, standings: tuple[Standing, ...], ctx: AggregatorContext, out: tuple[Out, ...] = ()
) -> Turned[Proposing]:
    """Sign a manifest and ask for its log entry; `standings`: which checkpoint each member and trustee holds.

    Those in `out` keep their seats and are in no set: they are not proposed to, and what they send means nothing.
    """
    body = encode(manifest)
    signed = sign(ctx.key, "Manifest", Scope(manifest.round, NO_DIGEST), ctx.name, EVERYBODY, body)
    scope = Scope(manifest.round, digest(body))
    statement = stating.manifest_logged(scope, signed, manifest.roster_version, ctx.now)
    phase = Proposing(scope, manifest, signed, out, standings)
    return Turned(phase, (Keep(encode(signed)), Log(statement, sizes(standings))))


def sizes(standings: Iterable[Standing]) -> tuple[int, ...]:
    """Return from which sizes of the log proofs are needed."""
    return tuple(sorted({entry.size for entry in standings}))


def proposals(phase: Proposing, event: Logged, allowances: tuple[bytes, ...] = ()) -> tuple[Send, ...]:
    """Return the proposal for everybody, each with the proof from the checkpoint that it holds."""
    proofs = {proof.old_size: proof for proof in event.proofs}
    return tuple(
        Send(entry.member, "Propose", encode(Propose(phase.signed, event.leaf, proofs[entry.size], allowances)))
        for entry in phase.standings
    )


def publish(
    phase: Common, groups: Groups, names: tuple[str, ...], out: tuple[Out, ...],
    ctx: AggregatorContext,
) -> Turned[Publishing]:  # fmt: skip
    """Ask for the log entry of a clear sum: `groups` are its words per lane group, `names` whose inputs are in it."""
    summed = tuple(GroupSum(group.name, groups[group.name].tobytes()) for group in phase.manifest.groups)
    published = Published(phase.scope.round, phase.scope.manifest, names, summed)
    salt = ctx.rng(32)
    statement = stating.result(phase.scope, published, hmac_sha256(salt, encode(published)), ctx.now)
    return Turned(Publishing(phase.scope, phase.manifest, phase.signed, out, published, salt), (Log(statement),))


def close(phase: Publishing, event: Logged) -> Turned[Closed]:
    """End a round whose result is logged."""
    return Turned(Closed(phase.scope, phase.published, phase.salt, event.leaf, event.proofs[0], phase.out))


def lose(phase: Common, step: str, reason: str, now: int) -> Turned[Failed]:
    """End a round without a result, whoever is out of it."""
    statement = stating.aborted(phase.scope, step, reason, phase.out, now)
    return Turned(Failed(phase.scope, step, reason, phase.out), (Append(statement),))


def what(event: Event) -> str:
    """Return what happened, for people."""
    return f"{event.kind} of {event.sender}" if isinstance(event, FromNode) else type(event).__name__
