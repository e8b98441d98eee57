"""The aggregator's round of engine `masks`: collect, close a step, log, send; pure, no vectors.

How to read it: phases are in the order of a round (rounds.py), and `advance` is the transition table. `_close_*` ends a
step when everybody answered or its deadline came.
Rules (protocol §3, §6): below max(t, K_min) the round aborts, says who was missing where and releases nothing. Nothing
is opened before the freeze is logged and witnessed. The result is published only after its log entry.
Leaves to others: uploads and their sum (aggregator.rounds), the log (secagg.log), the model (secagg.learning).
"""

from collections.abc import Iterable

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.protocol.fitting import left_out
from secagg.protocol.masks import graph, intake, judging, naming, notices, reports
from secagg.protocol.masks.dealing import tree_of
from secagg.protocol.masks.messages import Beacons, DeliverShares, Freeze, MaskedInput, MemberKeys, Open, Piece
from secagg.protocol.masks.rounds import (
    Advertising,
    Agreeing,
    Dealt,
    Drawing,
    Freezing,
    Judged,
    Judging,
    Opening,
    Phase,
    Sharing,
    Unmask,
    Unmasked,
    Unmasking,
    Uploading,
)
from secagg.protocol.round import events, lists, stating
from secagg.protocol.round.aggregating import close, proposals, publish, what
from secagg.protocol.round.aggregating import start as start
from secagg.protocol.round.events import Append, Deadline, Effect, Event, FromNode, Judge, Keep, Log, Logged, Send
from secagg.protocol.round.messages import Cosignature, Witnesses
from secagg.protocol.round.parties import AggregatorContext
from secagg.protocol.round.phases import Common, Failed, Out, Proposing, Publishing, unexpected
from secagg.wire.codec import decode, encode
from secagg.wire.signed import sign_each

Turned = events.Turned[Phase]


def advance(phase: Phase, event: Event, ctx: AggregatorContext) -> Turned:  # noqa: C901 - the whole table, one match
    """Take one event in one phase.

    Raises: ProtocolViolation when a member's message is not legal here or fails a check; the phase is then unchanged.
    """
    match phase, event:
        case Advertising() | Drawing() | Sharing() | Uploading() | Agreeing() | Opening(), FromNode(kind="Refuse"):
            return _close_if_complete(intake.refusal(phase, event), ctx)
        case Advertising(), FromNode(kind="AdvertiseKeys"):
            return _close_if_complete(intake.advertise_keys(phase, event), ctx)
        case Drawing(), FromNode(kind="OpenBeacon"):
            return _close_if_complete(intake.open_beacon(phase, event), ctx)
        case Sharing() | Uploading() | Agreeing() | Opening(), FromNode(kind="ShareKeys"):
            return _dealt(phase, event, ctx)
        case Uploading(), FromNode(kind="MaskedInput"):
            return _close_if_complete(intake.masked_input(phase, event), ctx)
        case Agreeing(), FromNode(kind="ConsistencyCheck"):
            return _close_if_complete(intake.consistency(phase, event), ctx)
        case Opening(), FromNode(kind="Unmask"):
            return _close_if_complete(intake.unmask(phase, event, ctx.opening), ctx)
        case (Advertising() | Drawing() | Sharing() | Uploading() | Agreeing() | Opening(), Deadline(step)) if (
            step == step_of(phase)
        ):
            return _close(phase, ctx)
        case Proposing(), Logged():
            return _propose(phase, event)
        case Freezing(), Logged():
            return _freeze(phase, event, ctx)
        case Judging(), Judged():
            return _judged(phase, event, ctx)
        case Unmasking(), Unmasked():
            return publish(phase, event.groups, lists.senders(phase.u3), phase.out, ctx)
        case Publishing(), Logged():
            return close(phase, event)
        case _, Deadline():
            return Turned(phase)
        case _:
            raise unexpected(phase, what(event))


def step_of(phase: intake.Collecting) -> str:
    """Return the protocol's name of the step a collecting phase belongs to."""
    return intake.STEP[type(phase)]


def waiting_for(phase: intake.Collecting) -> tuple[str, ...]:
    """Return the members whose message this step still lacks, in roster order."""
    settled = {*intake.received(phase), *(entry.member for entry in phase.out)}
    return tuple(name for name in intake.expected(phase) if name not in settled)


def _close_if_complete(phase: intake.Collecting, ctx: AggregatorContext) -> Turned:
    # Said first by counting: who is missing is asked for after every message of every member.
    few = len(intake.taken(phase)) + len(phase.out) < len(intake.expected(phase))
    return Turned(phase) if few or waiting_for(phase) else _close(phase, ctx)


def _dealt(phase: Sharing | Uploading | Agreeing | Opening, event: FromNode, ctx: AggregatorContext) -> Turned:
    """Take a list of step 1; whoever signed another one before is named, and what it sends means nothing any more."""
    lists = intake.second_list(phase, event)
    if lists is None or any(entry.member == event.sender for entry in phase.out):
        if isinstance(phase, Sharing):
            return _close_if_complete(intake.share_keys(phase, event), ctx)
        return Turned(phase)
    charges = (judging.two_lists(phase, lists),)
    out, effects = naming.named(phase.scope, charges, step_of(phase), ctx.now)
    after = replace(phase, out=(*phase.out, *out))
    if isinstance(after, Sharing):
        after = replace(after, shares=tuple(one for one in after.shares if one.shares.sender != event.sender))
    turned = _close_if_complete(after, ctx)
    return Turned(turned.phase, (*effects, *turned.effects))


def _close(phase: intake.Collecting, ctx: AggregatorContext) -> Turned:
    """End a step: name who dropped, abort below max(t, K_min), else go on."""
    step = step_of(phase)
    phase, late = _late(phase, ctx)
    out = _in_roster_order(phase, step, (*phase.out, *late))
    noted = tuple(Append(stating.drop_out(phase.scope, entry, ctx.now)) for entry in out if entry.step == step)
    if len(intake.received(phase)) < phase.manifest.needed:
        return _abort(phase, out, noted, ctx)
    match phase:
        case Advertising():
            turned = _announce(phase, out, ctx)
        case Drawing():
            turned = _draw(phase, out, ctx)
        case Sharing():
            turned = _deliver(phase, out, ctx)
        case Uploading():
            turned = fix(phase, out, ctx)
        case Agreeing():
            turned = _ask(phase, out, ctx)
        case Opening():
            turned = _open(phase, out, ctx)
    return Turned(turned.phase, (*noted, *turned.effects))


def _late(phase: intake.Collecting, ctx: AggregatorContext) -> tuple[intake.Collecting, tuple[Out, ...]]:
    """Return who sent nothing and whose inputs cannot be summed with the others'; the phase is without those."""
    late = tuple(Out(name, step_of(phase), "no message before the deadline") for name in waiting_for(phase))
    if not isinstance(phase, Uploading):
        return phase, late
    bounds = {
        entry.sender: decode(MaskedInput, entry.body).bound for entry in lists.in_order(phase.manifest, phase.headers)
    }
    left = left_out(bounds, phase.manifest, ctx.known())
    kept = tuple(entry for entry in phase.headers if entry.sender not in left)
    return replace(phase, headers=kept), (*late, *(Out(name, step_of(phase), why) for name, why in left.items()))


def _in_roster_order(phase: Common, step: str, out: tuple[Out, ...]) -> tuple[Out, ...]:
    """Return who is out with those of this step in the order of the roster: in which order they left is not told."""
    order = {name: position for position, name in enumerate(phase.manifest.names())}
    return tuple(sorted(out, key=lambda entry: order[entry.member] if entry.step == step else -1))


def _abort(phase: intake.Collecting, out: tuple[Out, ...], noted: tuple[Effect, ...], ctx: AggregatorContext) -> Turned:
    step = step_of(phase)
    have = len(intake.received(phase))
    reason = f"{have} of {len(phase.manifest.members)} members at {step}, {phase.manifest.needed} are needed"
    statement = stating.aborted(phase.scope, step, reason, out, ctx.now)
    return Turned(Failed(phase.scope, step, reason, out), (*noted, Append(statement)))


def _send(
    phase: Common, receivers: Iterable[str], kind: str, message: object, ctx: AggregatorContext
) -> tuple[Send, ...]:
    """Return one message signed for each of its receivers."""
    each = sign_each(ctx.key, kind, phase.scope, ctx.name, receivers, encode(message))
    return tuple(Send(signed.receiver, kind, encode(signed)) for signed in each)


def _propose(phase: Proposing, event: Logged) -> Turned:
    return Turned(Advertising(phase.scope, phase.manifest, phase.signed, phase.out), proposals(phase, event))


def _announce(phase: Advertising, out: tuple[Out, ...], ctx: AggregatorContext) -> Turned:
    u1 = encode(lists.in_order(phase.manifest, phase.keys))
    names, basis = lists.senders(u1), sha256(u1)
    after: Sharing | Drawing = Sharing(phase.scope, phase.manifest, phase.signed, out, u1, names, basis)
    if phase.manifest.degree:
        after = Drawing(phase.scope, phase.manifest, phase.signed, out, u1, names, 0, basis)
    sent = _send(phase, names, "MemberKeys", MemberKeys(u1), ctx)
    return Turned(after, (Keep(u1), *sent))


def _draw(phase: Drawing, out: tuple[Out, ...], ctx: AggregatorContext) -> Turned:
    """End a draw: deal over the graph when everybody opened, else draw again among those who did."""
    beacons = encode(lists.in_order(phase.manifest, phase.beacons))
    names, opened = lists.senders(beacons), sha256(beacons)
    seed = graph.basis(phase.scope, phase.u1, beacons)
    after: Sharing | Drawing = Sharing(phase.scope, phase.manifest, phase.signed, out, phase.u1, names, seed, beacons)
    if len(names) < len(phase.members):
        if phase.draw == graph.REDRAWS:
            return _abort(phase, out, (), ctx)
        draw = phase.draw + 1
        after = Drawing(phase.scope, phase.manifest, phase.signed, out, phase.u1, names, draw, opened)
    sent = _send(phase, names, "Beacons", Beacons(beacons), ctx)
    return Turned(after, (Keep(beacons), *sent))


def _deliver(phase: Sharing, out: tuple[Out, ...], ctx: AggregatorContext) -> Turned:
    dealt_by = {entry.shares.sender: entry for entry in phase.shares}
    u2 = encode(lists.in_order(phase.manifest, tuple(entry.shares for entry in phase.shares)))
    leaves = encode(tuple(Dealt(entry.shares.sender, entry.leaves) for entry in phase.shares))
    seen = tuple(Cosignature(entry.shares.sender, entry.directory) for entry in phase.shares)
    after = Uploading(
        phase.scope, phase.manifest, phase.signed, out, phase.u1, phase.drawn, u2, leaves, seen
    )  # fmt: skip
    near, trees = intake.near(phase), {name: tree_of(name, entry.leaves) for name, entry in dealt_by.items()}
    sent: list[Send] = []
    for to in intake.expected(after):
        # The graph is mutual: those who dealt to a member are those it dealt to.
        others = (name for name in near[to] if name in dealt_by and name != to)
        dealers = ((dealt_by[name], trees[name], near[name].index(to)) for name in others)
        pieces = tuple(
            Piece(dealt.shares.sender, dealt.pieces[at], dealt.leaves[at], tree.inclusion(at, tree.size))
            for dealt, tree, at in dealers
        )
        sent += _send(phase, (to,), "DeliverShares", DeliverShares(u2, pieces), ctx)
    return Turned(after, (Keep(u2), *sent))


def fix(phase: Uploading, out: tuple[Out, ...], ctx: AggregatorContext) -> Turned:
    """Fix U3 as those whose headers are here, unless these report dealers whose secret nobody could recover then."""
    headers = {
        entry.sender: decode(MaskedInput, entry.body) for entry in lists.in_order(phase.manifest, phase.headers)
    }
    found = reports.judge(headers, intake.near(phase), phase.manifest)
    if found.end:
        return Turned(*naming.unusable(phase, found, out, step_of(phase), ctx.now))
    u3 = encode(lists.in_order(phase.manifest, phase.headers))
    after = Freezing(
        phase.scope, phase.manifest, phase.signed, out, phase.u1, phase.drawn, phase.u2, phase.dealt, u3,
        phase.directory,
    )  # fmt: skip
    sizes = tuple(sorted(set(intake.log_sizes(phase.u1).values())))
    filed = (Keep(u3), *(Keep(encode(header)) for header in phase.headers))
    statement = notices.contributors(after, ctx.now)
    listed = (Keep(encode(stating.contributor_list(u3))),) if statement.listed else ()
    return Turned(after, (*filed, *listed, Log(statement, sizes)))


def _freeze(phase: Freezing, event: Logged, ctx: AggregatorContext) -> Turned:
    sizes, names, allowances = intake.log_sizes(phase.u1), lists.senders(phase.u3), ctx.known().allowances
    sent: dict[str, Send] = {}
    for proof in event.proofs:
        alike = (name for name in names if sizes[name] == proof.old_size)
        message = Freeze(phase.u3, event.leaf, proof, allowances)
        sent |= {send.to: send for send in _send(phase, alike, "Freeze", message, ctx)}
    after = Agreeing(
        phase.scope, phase.manifest, phase.signed, phase.out, phase.u1, phase.drawn, phase.u2, phase.dealt, phase.u3,
        event.proofs[0].checkpoint, directory=phase.directory,
    )  # fmt: skip
    return Turned(after, tuple(sent[name] for name in names))


def _ask(phase: Agreeing, out: tuple[Out, ...], ctx: AggregatorContext) -> Turned:
    agreements = lists.in_order(phase.manifest, phase.agreements)
    asked = tuple(entry.sender for entry in agreements)
    # As many as every member needs to see and no more: each costs each of them a verification.
    needed = phase.manifest.threshold
    message = Open(agreements[:needed], phase.cosignatures[:needed])
    witnesses = encode(Witnesses(phase.checkpoint, phase.cosignatures, phase.directory))
    after = Opening(
        phase.scope, phase.manifest, phase.signed, out, phase.u1, phase.drawn, phase.u2, phase.dealt, phase.u3,
        agreements, asked, witnesses,
    )  # fmt: skip
    sent = _send(phase, asked, "Open", message, ctx)
    return Turned(after, (Keep(encode(agreements)), Keep(witnesses), *sent))


def _open(phase: Opening, out: tuple[Out, ...], ctx: AggregatorContext) -> Turned:
    after = Judging(
        phase.scope, phase.manifest, phase.signed, out, phase.u1, phase.drawn, phase.u2, phase.dealt, phase.u3,
        phase.agreements, phase.witnesses, lists.in_order(phase.manifest, phase.answers),
    )  # fmt: skip
    return Turned(after, (Judge(),))


def _judged(phase: Judging, event: Judged, ctx: AggregatorContext) -> Turned:
    """Name whose fault is proven; open the round with the answers that hold, or end it."""
    named, effects = naming.named(phase.scope, event.charges, "Unmask", ctx.now)
    out = (*phase.out, *named)
    noted = (*effects, *(Append(stating.drop_out(phase.scope, entry, ctx.now)) for entry in named))
    if event.recovered is None:
        statement = stating.aborted(phase.scope, "Unmask", event.reason, out, ctx.now)
        return Turned(Failed(phase.scope, "Unmask", event.reason, out), (*noted, Append(statement)))
    answers = tuple(answer for answer in phase.answers if answer.sender in event.evidence.answers)
    after = Unmasking(
        phase.scope, phase.manifest, phase.signed, out, phase.u1, phase.drawn, phase.u2, phase.u3, answers
    )  # fmt: skip
    kept = tuple(Keep(encode(answer)) for answer in answers)
    opened = notices.opening(after, phase.agreements, phase.witnesses, ctx.now)
    listed = (Keep(encode(notices.answer_list(after))),) if opened.listed else ()
    return Turned(
        after, (*noted, *kept, *listed, Append(opened), Unmask(event.evidence, event.recovered))
    )  # fmt: skip
