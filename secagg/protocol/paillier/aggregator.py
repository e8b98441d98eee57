"""The aggregator's round of engine `paillier`: collect, freeze, log, ask trustees, combine, publish; pure, no vectors.

How to read it: phases are in the order of a round (rounds.py), and `advance` is the transition table. `_close` ends a
step when everybody answered or its deadline came. A dead trustee delays nothing as long as t others are there. Each
step goes on as soon as t have answered, and who is late is asked late.
Rules (protocol §5, §6): below K_min members or t trustees the round aborts, says who was missing where and releases
nothing. Nothing is opened before the freeze is logged and witnessed. A wrong answer names its trustee and any t right
ones finish the round. The result is published only after its log entry.
Leaves to others: uploads, their proofs and products (the shell), the log (secagg.log), the model (secagg.learning).
"""

from typing import cast

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.log.checkpoint import read_checkpoint
from secagg.protocol.custody import custody_of
from secagg.protocol.fitting import left_out
from secagg.protocol.paillier import intake, notices
from secagg.protocol.paillier.messages import EncryptedInput, Freeze, Open, Witness
from secagg.protocol.paillier.rounds import (
    Collecting,
    Combine,
    Combined,
    Freezing,
    Opening,
    Phase,
    Waiting,
    Witnessing,
    complete,
)
from secagg.protocol.round import events, stating
from secagg.protocol.round.aggregating import close, proposals, publish, sizes, what
from secagg.protocol.round.aggregating import start as start
from secagg.protocol.round.events import Append, Deadline, Effect, Event, FromNode, Keep, Log, Logged, Send
from secagg.protocol.round.lists import in_order, senders
from secagg.protocol.round.messages import Witnesses
from secagg.protocol.round.parties import AggregatorContext
from secagg.protocol.round.phases import Closed, Common, Failed, Out, Proposing, Publishing, unexpected
from secagg.wire.codec import decode, encode
from secagg.wire.signed import sign

_LAST = 3
_RANK = {"Attend": 2, "EncryptedInput": 0, "Witness": 1, "Decrypt": 2}
_RANK_OF: dict[type, int] = {
    Proposing: 0, Collecting: 0, Freezing: 1, Witnessing: 1, Opening: 2, Publishing: _LAST, Closed: _LAST,
    Failed: _LAST,
}  # fmt: skip
"""A message whose rank is below its phase's came late."""


Turned = events.Turned[Phase]


def advance(phase: Phase, event: Event, ctx: AggregatorContext) -> Turned:  # noqa: C901 - the whole table, one match
    """Take one event in one phase.

    Raises: ProtocolViolation when a message is not legal here or fails a check; the phase is then unchanged.
    """
    match phase, event:
        case Collecting() | Witnessing() | Opening(), FromNode(kind="Refuse"):
            return _close_if_complete(intake.refusal(phase, event), ctx)
        case Collecting(), FromNode(kind="Attend"):
            return _close_if_complete(cast(Collecting, intake.attend(phase, event)), ctx)
        case Freezing() | Witnessing() | Opening(), FromNode(kind="Attend"):
            return Turned(intake.attend(phase, event))
        case Collecting(), FromNode(kind="EncryptedInput"):
            return _close_if_complete(intake.encrypted_input(phase, event), ctx)
        case Witnessing(), FromNode(kind="Witness"):
            return _close_if_complete(intake.witness(phase, event), ctx)
        case Opening(), FromNode(kind="Witness"):
            return _ask_late(phase, event, ctx)
        case Opening(), FromNode(kind="Decrypt"):
            return _take_answer(phase, event, ctx)
        case Opening(), Combined() if phase.trying:
            return _combined(phase, event, ctx)
        case Collecting() | Witnessing() | Opening(), Deadline(step) if step == step_of(phase):
            return _close(phase, ctx)
        case Proposing(), Logged():
            return _propose(phase, event, ctx)
        case Freezing(), Logged():
            return _freeze(phase, event, ctx)
        case Publishing(), Logged():
            return close(phase, event)
        case _, Deadline():
            return Turned(phase)
        case _, FromNode(kind=kind) if _RANK.get(kind, _LAST) < _RANK_OF[type(phase)]:
            # Nobody's fault: steps go on as soon as enough have answered.
            return Turned(phase)
        case _:
            raise unexpected(phase, what(event))


def step_of(phase: Waiting) -> str:
    """Return the protocol's name of the step a waiting phase belongs to."""
    return intake.STEP[type(phase)]


def waiting_for(phase: Waiting) -> tuple[str, ...]:
    """Return the members and trustees whose message this step still lacks."""
    return intake.waiting_for(phase)


def _close_if_complete(phase: Waiting, ctx: AggregatorContext) -> Turned:
    """End a step as soon as nothing that is still missing could matter."""
    left, needed = intake.waiting_for(phase), custody_of(phase.manifest).threshold
    match phase:
        case Collecting():
            members = any(name in phase.manifest.names() for name in left)
            done = not members and (len(phase.attending) >= needed or not left)
        case Witnessing():
            done = len(phase.agreements) >= needed or not left
        case Opening():
            done = not left and not phase.trying
    return _close(phase, ctx) if done else Turned(phase)


def _close(phase: Waiting, ctx: AggregatorContext) -> Turned:
    """End a step: go on, or abort below K_min members or t trustees, naming who was missing."""
    late = _late(phase)
    match phase:
        case Collecting():
            phase, left = _fitted(replace(phase, out=_in_roster_order(phase)), ctx)
            late = (*late, *left)
            if len(phase.headers) < phase.manifest.needed:
                have = f"{len(phase.headers)} of {len(phase.manifest.members)} members"
                return _abort(phase, (*phase.out, *late), have, ctx)
            if len(phase.attending) < phase.manifest.threshold:
                return _abort(phase, (*phase.out, *late), f"{len(phase.attending)} trustees attend", ctx)
            # A trustee that is only slow still takes part: whether it did is said at the end.
            members = tuple(entry for entry in late if entry.member in phase.manifest.names())
            return _fix(phase, (*phase.out, *members), ctx)
        case Witnessing():
            if len(phase.agreements) < phase.manifest.threshold:
                return _abort(phase, (*phase.out, *late), f"{len(phase.agreements)} trustees", ctx)
            return _ask(phase, ctx)
        case Opening():
            if phase.trying:
                return Turned(replace(phase, overdue=True))
            return _abort(phase, (*phase.out, *late), f"{_right(phase)} right answers of trustees", ctx)


def _fitted(phase: Collecting, ctx: AggregatorContext) -> tuple[Collecting, tuple[Out, ...]]:
    """Leave out whose inputs cannot be summed with the others'; tell whom and why."""
    headers = in_order(phase.manifest, phase.headers)
    bounds = {entry.sender: decode(EncryptedInput, entry.body).bound for entry in headers}
    left = left_out(bounds, phase.manifest, ctx.known())
    kept = tuple(entry for entry in phase.headers if entry.sender not in left)
    return replace(phase, headers=kept), tuple(Out(name, "EncryptedInput", why) for name, why in left.items())


def _in_roster_order(phase: Collecting) -> tuple[Out, ...]:
    """Return who is out in the order of the roster: in which order they left is not told."""
    order = (*phase.manifest.names(), *custody_of(phase.manifest).names())
    return tuple(sorted(phase.out, key=lambda entry: order.index(entry.member)))


def _late(phase: Waiting) -> tuple[Out, ...]:
    absent = set(custody_of(phase.manifest).names()) - set(intake.present(phase))
    steps = {name: "Attend" if name in absent else step_of(phase) for name in intake.waiting_for(phase)}
    return tuple(Out(name, step, "no message before the step ended") for name, step in steps.items())


def _noted(phase: Common, out: tuple[Out, ...], ctx: AggregatorContext) -> tuple[Effect, ...]:
    """State who dropped since the phase began."""
    return tuple(Append(stating.drop_out(phase.scope, entry, ctx.now)) for entry in out if entry not in phase.out)


def _abort(phase: Waiting, out: tuple[Out, ...], have: str, ctx: AggregatorContext) -> Turned:
    step, manifest = step_of(phase), phase.manifest
    needed = f"{manifest.needed} members and {manifest.threshold} trustees are needed"
    reason = f"{have} at {step}, {needed}"
    statement = stating.aborted(phase.scope, step, reason, out, ctx.now)
    return Turned(Failed(phase.scope, step, reason, out), (*_noted(phase, out, ctx), Append(statement)))


def _send(phase: Common, to: str, kind: str, message: object, ctx: AggregatorContext) -> Send:
    return Send(to, kind, encode(sign(ctx.key, kind, phase.scope, ctx.name, to, encode(message))))


def _propose(phase: Proposing, event: Logged, ctx: AggregatorContext) -> Turned:
    sent = proposals(phase, event, ctx.known().allowances)
    size = read_checkpoint(event.proofs[0].checkpoint).size
    return Turned(Collecting(phase.scope, phase.manifest, phase.signed, phase.out, size), sent)


def _fix(phase: Collecting, out: tuple[Out, ...], ctx: AggregatorContext) -> Turned:
    """Freeze U and have it logged, with a proof for the checkpoint of every trustee that attends, or may yet."""
    u = encode(in_order(phase.manifest, phase.headers))
    after = Freezing(phase.scope, phase.manifest, phase.signed, out, phase.size, phase.attending, u)
    listed = stating.contributor_list(u)
    statement = stating.contributors(phase.scope, listed, ctx.now, u3=u)
    kept = (Keep(encode(listed)),) if statement.listed else ()
    wanted = tuple(sorted({phase.size, *sizes(phase.attending)}))
    return Turned(after, (*_noted(phase, out, ctx), Keep(u), *kept, Log(statement, wanted)))


def _freeze(phase: Freezing, event: Logged, ctx: AggregatorContext) -> Turned:
    proofs, gone = {proof.old_size: proof for proof in event.proofs}, intake.gone(phase)
    stand = {entry.member: entry.size for entry in phase.attending}
    sizes = {name: stand.get(name, phase.size) for name in custody_of(phase.manifest).names() if name not in gone}
    shown = tuple(name for name, size in sizes.items() if size in proofs)
    allowances = ctx.known().allowances
    sent = tuple(
        _send(phase, name, "Freeze", Freeze(phase.u, event.leaf, proofs[sizes[name]], allowances), ctx)
        for name in shown
    )
    after = Witnessing(
        phase.scope, phase.manifest, phase.signed, phase.out, shown, tuple(stand), phase.u,
        event.proofs[0].checkpoint,
    )  # fmt: skip
    return Turned(after, sent)


def _ask(phase: Witnessing, ctx: AggregatorContext) -> Turned:
    asked = tuple(entry.sender for entry in phase.agreements)
    witnesses = encode(Witnesses(phase.checkpoint, phase.cosignatures, phase.directory))
    after = Opening(
        phase.scope, phase.manifest, phase.signed, phase.out, phase.shown, phase.present, phase.u,
        phase.checkpoint, phase.agreements, phase.cosignatures, witnesses, asked,
    )  # fmt: skip
    message = Open(phase.agreements, phase.cosignatures)
    sent = tuple(_send(phase, to, "Open", message, ctx) for to in asked)
    return Turned(after, (Keep(encode(phase.agreements)), Keep(witnesses), *sent))


def _ask_late(phase: Opening, event: FromNode, ctx: AggregatorContext) -> Turned:
    """Ask a trustee that witnessed after t others: its answer may be needed when another's is wrong."""
    intake.agreed(phase, event, decode(Witness, event.data))
    if event.sender in phase.asked:
        return Turned(phase)
    message = Open(phase.agreements, phase.cosignatures)
    present = phase.present if event.sender in phase.present else (*phase.present, event.sender)
    after = replace(phase, asked=(*phase.asked, event.sender), present=present)
    return Turned(after, (_send(phase, event.sender, "Open", message, ctx),))


def _take_answer(phase: Opening, event: FromNode, ctx: AggregatorContext) -> Turned:
    after, data, first = intake.decrypt(phase, event, ctx.opening)
    if after == phase:
        return Turned(phase)
    kept: tuple[Effect, ...] = (Keep(data),)
    if first:
        kept = (*kept, Append(notices.equivocation(phase.scope, event.sender, (first, sha256(data)), ctx.now)))
    tried = _try(after)
    return Turned(tried.phase, (*kept, *tried.effects))


def _candidates(phase: Opening) -> tuple[str, ...]:
    out = intake.gone(phase)
    return tuple(name for name in complete(phase.answers) if name not in out)


def _right(phase: Opening) -> int:
    return len(_candidates(phase))


def _try(phase: Opening) -> Turned:
    """Put answers together as soon as t are there that are not known to be wrong."""
    found = _candidates(phase)
    if phase.trying or len(found) < phase.manifest.threshold:
        return Turned(phase)
    return Turned(replace(phase, trying=found), (Combine(),))


def _combined(phase: Opening, event: Combined, ctx: AggregatorContext) -> Turned:
    """Publish, or go on waiting for other trustees when too few answers were right."""
    wrong = tuple(Out(name, "Decrypt", "answered with what is not proven") for name in event.wrong)
    out = (*phase.out, *wrong)
    noted = _noted(phase, out, ctx)
    if not event.used:
        again = _try(replace(phase, trying=(), out=out))
        if again.effects:
            return Turned(again.phase, (*noted, *again.effects))
        going = replace(phase, trying=(), out=out)
        closed = _close(going, ctx) if phase.overdue else _close_if_complete(going, ctx)
        return Turned(closed.phase, (*noted, *closed.effects))
    whole = complete(phase.answers)
    used = tuple(piece for name in event.used for piece in whole[name])
    absent = tuple(name for name in phase.shown if name not in phase.present and name not in intake.gone(phase))
    out = (*out, *(Out(name, "Attend", "took no part") for name in absent))
    noted = _noted(phase, out, ctx)
    opened = notices.opening(phase.scope, used, phase.agreements, phase.witnesses, ctx.now)
    published = publish(phase, event.groups, senders(phase.u), out, ctx)
    return Turned(published.phase, (*noted, Append(opened), *published.effects))
