"""What an aggregator asks of engine `toy`: it collects clear words, freezes the set, adds, publishes."""

from collections.abc import Callable
from typing import cast

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import ProtocolViolation
from secagg.ids import EVERYBODY
from secagg.protocol import lanes
from secagg.protocol.binding import Bound
from secagg.protocol.engine import Phase as AnyPhase
from secagg.protocol.fitting import left_out
from secagg.protocol.lanes import Groups, check_canaries, check_signed_length
from secagg.protocol.manifest import Manifest
from secagg.protocol.round import events, stating
from secagg.protocol.round.aggregating import close, lose, proposals, publish, what
from secagg.protocol.round.aggregating import start as start
from secagg.protocol.round.asked import Running, Stage
from secagg.protocol.round.events import Append, Deadline, Effect, Event, FromNode, Keep, Log, Logged, Open
from secagg.protocol.round.lists import in_order, senders
from secagg.protocol.round.messages import Refuse
from secagg.protocol.round.parties import AggregatorContext
from secagg.protocol.round.phases import (
    Closed,
    Common,
    Failed,
    Out,
    Proposing,
    Publishing,
    unexpected,
    within,
)
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed, open_signed
from support.toy_engine.audit import headers_of
from support.toy_engine.messages import Adding, Freezing, Gathering, PlainInput

UPLOAD = "PlainInput"
OPENING = "Open"

Phase = Proposing | Gathering | Freezing | Adding | Publishing | Closed | Failed
Turned = events.Turned[Phase]


class Summed(Event):
    """The clear summed words per lane group."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups


class Words:
    """The sum of clear words."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest, self.groups = manifest, Groups()

    def add(self, data: bytes | memoryview) -> None:
        lanes.accumulate(self._manifest, self.groups, data)


def read(data: bytes) -> Phase:
    return decode(cast(type[Phase], Phase), data, 2**40)


def advance(phase: AnyPhase, event: Event, ctx: AggregatorContext) -> Turned:  # noqa: C901 - the whole table
    match phase, event:
        case Proposing(), Logged():
            after = Gathering(phase.scope, phase.manifest, phase.signed, phase.out)
            return Turned(after, proposals(phase, event))
        case Gathering(), FromNode(kind="Refuse"):
            return _go_on(_refused(phase, event), ctx)
        case Gathering(), FromNode(kind="PlainInput"):
            return _go_on(_header(phase, event), ctx)
        case Gathering(), Deadline("PlainInput"):
            return _freeze(phase, ctx)
        case Freezing(), Logged():
            adding = Adding(phase.scope, phase.manifest, phase.signed, phase.out, phase.u)
            return Turned(adding, (Keep(encode(())), Open()))
        case Adding(), Summed():
            return publish(phase, event.groups, senders(phase.u), phase.out, ctx)
        case Publishing(), Logged():
            return close(phase, event)
        case _, Deadline():
            return Turned(cast(Phase, phase))
        case _:
            raise unexpected(phase, what(event))


def _header(phase: Gathering, event: FromNode) -> Gathering:
    signed = decode(Signed, event.data)
    if signed.sender != event.sender or event.sender not in waiting_for(phase):
        raise ProtocolViolation(f"{event.sender} is not waited for.", rule="intake.stranger")
    body = open_signed(signed, phase.manifest.key(event.sender), UPLOAD, phase.scope, EVERYBODY)
    check_signed_length(phase.manifest, event.sender, decode(PlainInput, body).length)
    return replace(phase, headers=(*phase.headers, signed))


def _refused(phase: Gathering, event: FromNode) -> Gathering:
    signed = decode(Signed, event.data)
    body = open_signed(signed, phase.manifest.key(event.sender), "Refuse", phase.scope, EVERYBODY)
    out = Out(event.sender, UPLOAD, f"refused: {decode(Refuse, body).rule}")
    return replace(phase, out=(*phase.out, out))


def _go_on(phase: Gathering, ctx: AggregatorContext) -> Turned:
    return Turned(phase) if waiting_for(phase) else _freeze(phase, ctx)


def _freeze(phase: Gathering, ctx: AggregatorContext) -> Turned:
    left = left_out(bounds(encode(phase.headers)), phase.manifest, ctx.known())
    late = tuple(Out(name, UPLOAD, "no message before the deadline") for name in waiting_for(phase))
    out = (*phase.out, *late, *(Out(name, UPLOAD, why) for name, why in left.items()))
    noted = tuple(Append(stating.drop_out(phase.scope, entry, ctx.now)) for entry in out)
    kept = in_order(phase.manifest, tuple(entry for entry in phase.headers if entry.sender not in left))
    if len(kept) < phase.manifest.needed:
        lost = lose(replace(phase, out=out), UPLOAD, f"{len(kept)} members are too few", ctx.now)
        return Turned(lost.phase, (*noted, *lost.effects))
    u = encode(kept)
    statement = stating.contributors(phase.scope, stating.contributor_list(u), ctx.now, u3=u)
    return Turned(Freezing(phase.scope, phase.manifest, phase.signed, out, u), (*noted, Keep(u), Log(statement)))


def stage(phase: AnyPhase) -> Stage:
    match phase:
        case Gathering():
            return Stage.WAITS | Stage.PROPOSES | Stage.GATHERS
        case Adding():
            return Stage.OPENS
        case _:
            return Stage.NOTHING


def step_of(phase: Common) -> str:
    return UPLOAD


def waiting_for(phase: Common) -> tuple[str, ...]:
    settled = {*uploaded(phase), *(entry.member for entry in phase.out)}
    return tuple(name for name in phase.manifest.names() if name not in settled)


def frozen(phase: AnyPhase) -> bytes | None:
    return phase.u if isinstance(phase, Freezing) else None


def agreed(phase: AnyPhase) -> tuple[bytes, bytes, tuple[Signed, ...]] | None:
    return (b"", phase.u, ()) if isinstance(phase, Adding) else None


def bounds(listed: bytes) -> dict[str, Bound]:
    return {name: header.bound for name, header in headers_of(listed).items()}


def opened(manifest: Manifest, names: tuple[str, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
    return names


def uploaded(phase: Common) -> tuple[str, ...]:
    return tuple(entry.sender for entry in within(phase, Gathering).headers)


def entrusted(phase: AnyPhase) -> bytes:
    return b""


def check_header(phase: Common, event: FromNode) -> None:
    _header(within(phase, Gathering), event)


def claimed_size(event: FromNode) -> int | None:
    return None


def shown(phase: Common, event: FromNode) -> bytes:
    return b""


def judge(phase: Common) -> Event:
    raise ProtocolViolation("No phase of this engine is judged.", rule="phase.message")


def failed(phase: Common, reason: str, now: int) -> Turned:
    return lose(phase, OPENING, reason, now)


def upload_bytes(manifest: Manifest) -> int:
    return lanes.upload_bytes(manifest)


def verify(phase: Common, member: str, header: Signed, data: bytes) -> None:
    check_name(phase.manifest, member, decode(PlainInput, header.body).upload, data)


def check_name(manifest: Manifest, member: str, name: bytes, data: bytes) -> None:
    if len(data) != upload_bytes(manifest) or sha256(data) != name:
        raise ProtocolViolation(f"The upload of {member} is not the one it signed.", rule="upload.digest")


def chunk_hash(manifest: Manifest, body: bytes) -> bytes:
    return sha256(body)


def running(manifest: Manifest) -> Words:
    return Words(manifest)


def open_sum(
    phase: Common, sums: Running, file: Callable[[str], bytes], asked: Effect | None = None
) -> Event:
    groups = within(sums, Words).groups
    check_canaries(phase.manifest, groups, len(senders(within(phase, Adding).u)))
    return Summed(groups)


def list_of(phase: Common) -> bytes:
    return within(phase, Adding).u
