"""What a node asks of engine `toy`: it accepts a manifest, sends its words as they are, and has nothing else to say."""

from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import cast

from msgspec import UNSET
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.errors import Refused
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.checkpoint import Checkpoint
from secagg.log.statements import Contributors
from secagg.log.witness import LogProof, check
from secagg.protocol.acceptance import KnownLog, accept
from secagg.protocol.inputs import Given
from secagg.protocol.lanes import Contribution, to_upload, words_of
from secagg.protocol.manifest import Custody, Manifest
from secagg.protocol.round import events, parties
from secagg.protocol.round.asked import Named, Stage
from secagg.protocol.round.lists import signed_list
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import NodeContext, stated_of
from secagg.protocol.round.phases import Over, unexpected, within
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope, Signed, sign
from support.toy_engine.messages import HEADER, PlainInput, Stored, Training, Uploaded

ANSWERS: Mapping[str, str] = {"Propose": HEADER}
FIRST = ""

Phase = Training | Uploaded | Over
Step = events.Step[Phase]


def read(data: bytes) -> Phase:
    return decode(cast(type[Phase], Phase), data, 2**40)


def start(propose: Propose, ctx: NodeContext) -> Step:
    manifest, scope = accept(propose.manifest, ctx.expect, ctx.memory)
    seen = parties.logged_manifest(propose, scope, ctx.expect, ctx.memory)
    return Step(Training(scope, manifest), (), parties.entered(scope, seen))


def advance(phase: object, event: object, ctx: NodeContext) -> Step:
    match phase, event:
        case Training(), Stored(given=given) if given is not UNSET:
            body = encode(PlainInput(event.length, event.upload, given.bound))
            header = sign(ctx.key, HEADER, phase.scope, ctx.name, EVERYBODY, body)
            return Step(Uploaded(phase.scope, phase.manifest, header), ((HEADER, encode(header)),), (given.counted,))
        case _:
            raise unexpected(phase, f"A {event.kind if isinstance(event, Signed) else type(event).__name__}")


def stage(phase: object) -> Stage:
    return Stage.JOINED | Stage.TRAINS | Stage.READY if isinstance(phase, Training) else Stage.NOTHING


def awaited(phase: object) -> str:
    return "the end of the round"


def agreed(phase: object) -> bytes:
    return NO_DIGEST


def moduli(manifest: Manifest) -> tuple[bytes, ...]:
    return ()


def prepare(phase: object, me: str, rng: Rng, tables: Path, executor: Executor) -> object:
    return None


def protect(
    phase: object, me: str, given: Contribution, rng: Rng, tables: Path, executor: Executor,
    warm: bytearray | None = None, prepared: object = None,
) -> tuple[bytes | bytearray, Stored]:  # fmt: skip
    manifest = within(phase, Training).manifest
    data = to_upload(manifest, words_of(manifest, given))
    size = manifest.chunk_bytes
    chunks = tuple(sha256(data[at : at + size]) for at in range(0, len(data), size))
    return data, Stored(len(data), sha256(data), chunks)


def counted(done: Named, given: Given) -> Stored:
    return replace(within(done, Stored), given=given)


def check_frozen(
    before: bytes, frozen: bytes, leaf: bytes, proof: LogProof, agreements: tuple[Signed, ...], manifest: Manifest,
    scope: Scope, known: KnownLog, last: Checkpoint | None,
) -> tuple[tuple[str, ...], Checkpoint]:  # fmt: skip
    headers = signed_list(frozen, manifest, HEADER, scope)
    if stated_of(leaf, known, Contributors, scope).u3 != sha256(frozen).hex():
        raise Refused("The logged freeze names another set.", "Ask for the log.", rule="freeze.statement")
    return tuple(headers), check(leaf, proof, known.log_origin, known.aggregator_key, last)


def check_words(words: Collection[Signed], custody: Custody, scope: Scope) -> None:
    """Nobody has to say that an attempt is over."""
