"""Planted bugs: named mutations of the product's code that the simulator must find, or its oracles prove nothing.

Each takes one precaution out of one or two functions; where two precautions back each other up, both go. A mutation is
made of the function it replaces, wherever that function is known by any name, for as long as `planted` lasts. The
product itself has no switch. Run: `make soak SEEDS=0-1000 BUG=name`, or `BUG=all`.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from aggregator import records as aggregators
from aggregator.ending import Endings
from aggregator.logbook import LogBook
from aggregator.rounds import Rounds as AggregatorRounds
from aggregator.uploads import Uploads, shell_of
from keyserver.trustee import records as trustees
from keyserver.trustee.opening import Work as TrusteeWork
from keyserver.trustee.rounds import Rounds as TrusteeRounds
from node import records
from node.rounds import Rounds as NodeRounds
from secagg.crypto.derive import sha256
from secagg.daemon.blobs import Blobs
from secagg.daemon.loop import Daemon
from secagg.daemon.participant import WHOLE, Round, put_round
from secagg.daemon.turn import Emit, Turn
from secagg.errors import SecaggError
from secagg.log.statements import sign_statement
from secagg.log.witness import LogProof
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks.aggregator import Turned, _send
from secagg.protocol.masks.messages import Freeze
from secagg.protocol.masks.phases import Uploaded
from secagg.protocol.masks.rounds import Agreeing
from secagg.protocol.memory import Opened, Summed
from secagg.protocol.paillier.phases import Answered, Decrypting
from secagg.protocol.round.lists import senders
from secagg.protocol.round.phases import Common
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed
from support.simulation_input_bugs import INPUT_BUGS

LIE = ("a lie in a lane group twice",)
"""Among drawn tricks this one is tried once in a hundred seeds of an aggregator that means harm."""

Function = Callable[..., Any]
Mutation = Callable[[Function], Function]
"""From a function of the product to what stands in its place."""


def _instead(function: Function) -> Mutation:
    return lambda original: function


def _ack_before_commit(take: Function) -> Function:
    def mutated(self: Daemon, message: Any) -> Any:
        if message.id and message.kind != "ack":
            self._sender.put(Emit(message.sender, "ack", b"", b"", message.id))
        return take(self, message)

    return mutated


def _effects_before_group(take: Function) -> Function:
    def mutated(self: Daemon, message: Any) -> Any:
        for done in take(self, message):
            self._carry_out(done.effects)
        return []

    return mutated


def _effects_before_commit(decide_and_save: Function) -> Function:
    def mutated(self: Daemon, decide: Callable[[Any], object], *given: Any, **named: Any) -> Any:
        def decide_and_act(turn: Turn) -> None:
            decide(turn)
            self._carry_out(turn.effects)
            turn.effects = []

        return decide_and_save(self, decide_and_act, *given, **named)

    return mutated


def _without_sync(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(offset)
        file.write(data)


def _blob_without_sync(self: Blobs, data: bytes) -> bytes:
    digest = sha256(data)
    self.path(digest).write_bytes(data)
    return digest


def _remember_masking(keep: Function) -> Function:
    def mutated(self: NodeRounds, kept: Any, done: Any, turn: Turn) -> None:
        before = records.current(turn)
        keep(self, kept, done, turn)
        if isinstance(done.phase, Uploaded) and before:
            turn.put("masking", encode(before))

    return mutated


def _encrypt_again(start: Function) -> Function:
    def mutated(self: NodeRounds, turn: Turn) -> None:
        kept, before, upload = records.current(turn), turn.get("masking"), records.find_upload(turn)
        with suppress(SecaggError):
            if kept and before and upload and isinstance(self._open(kept), Uploaded):
                put_round(turn, decode(Round, before, WHOLE))
                records.drop_upload(turn, upload)
        start(self, turn)

    return mutated


def _no_freeze(fix: Function) -> Function:
    def mutated(phase: Any, out: Any, ctx: Any) -> Any:
        turned = fix(phase, out, ctx)
        frozen, logged = turned.phase, turned.effects[-1]
        leaf, proof = sign_statement(logged.statement, ctx.name, ctx.key), LogProof(0, b"", (), 0, ())
        after = Agreeing(
            frozen.scope, frozen.manifest, frozen.signed, frozen.out, frozen.u1, frozen.drawn, frozen.u2, frozen.dealt,
            frozen.u3, frozen.manifest.directory, directory=frozen.directory,
        )  # fmt: skip
        sent = _send(frozen, senders(frozen.u3), "Freeze", Freeze(frozen.u3, leaf, proof), ctx)
        return Turned(after, (*turned.effects[:-1], *sent))

    return mutated


def _late_freeze(apply: Function) -> Function:
    """Take uploads in again after a restart, although the set was frozen: the phase is saved one step late."""

    def mutated(self: AggregatorRounds, turned: Any, saved: Any, before: Any, turn: Turn) -> None:
        old = turn.get("round")
        apply(self, turned, saved, before, turn)
        if type(turned.phase).__name__ == "Freezing" and old:
            turn.put("before-freeze", old)

    return mutated


def _thaw(start: Function) -> Function:
    def mutated(self: AggregatorRounds, turn: Turn) -> None:
        phase, old = self.running(turn), turn.get("before-freeze")
        if old and type(phase).__name__ in ("Freezing", "Agreeing"):
            turn.put("round", old)
        turn.delete("before-freeze")
        start(self, turn)

    return mutated


def _take_always(self: Uploads, phase: Common, member: str, header: Signed) -> str:
    self._verify(phase, member, header)
    return ""


def _add_always(self: Uploads, manifest: Manifest, member: str, digest: bytes, data: bytes) -> None:
    label = manifest.round.label()
    with self._lock:
        if self._round != label or self._sums is None:
            self._round, self._added, self._sums = label, {}, shell_of(manifest).running(manifest)
        self._added[member] = digest
        self._sums.add(data)


def _cached_sum(self: Uploads, manifest: Any, u3: bytes) -> Any:
    with self._lock:
        sums, self._sums, self._added = self._sums, None, {}
        return sums


def _write_all(self: LogBook, queued: tuple[tuple[int, bytes], ...]) -> None:
    with self._lock:
        for _, leaf in queued:
            self._log.append(leaf)
        self._log.publish()


def _forgetful_of_sets(add: Function) -> Function:
    return lambda self, entries: add(self, [entry for entry in entries if not isinstance(entry, Opened | Summed)])


def _answer_not_kept(keep: Function) -> Function:
    def mutated(self: TrusteeRounds, kept: Any, done: Any, turn: Turn) -> None:
        keep(self, kept, done, turn)
        if isinstance(done.phase, Answered) and isinstance(trustees.read(kept), Decrypting):
            turn.put(f"round/{kept.label}", encode(kept))

    return mutated


def _multiply_and_keep(multiply: Function) -> Function:
    def mutated(self: TrusteeWork, product: Any, member: str, digest: bytes) -> object:
        data = self._blobs.get(digest)
        outcome: object = multiply(self, product, member, digest)
        self._blobs.put(data)
        return outcome

    return mutated


def _end_of_fetching(self: TrusteeWork, label: str, turn: Turn) -> None:
    if self._product and self._product.label == label:
        self._product = None
        self._fetching.stop(turn)


def _members_only(tell: Function) -> Function:
    def mutated(self: Endings, outcome: Any, party: str, *given: Any) -> None:
        turn = next(one for one in given if isinstance(one, Turn))
        if party in aggregators.get_job(turn, outcome.round.job).spec.cohort:
            tell(self, outcome, party, *given)

    return mutated


@dataclass(frozen=True)
class Bug:
    """What is broken, in words, and by which mutations: where (module:path), and what stands there instead.

    It is looked for in a federation of that engine, under an aggregator that tries these tricks, or drawn ones.
    """

    what: str
    mutations: tuple[tuple[str, Mutation], ...]
    engine: str = "masks"
    tricks: tuple[str, ...] = ()


BUGS: Mapping[str, Bug] = {
    "no-dedup": Bug(
        "the shell hands a message to its service as often as it comes",
        (("secagg.daemon.loop:Daemon._known", _instead(lambda self, sender, id: False)),),
    ),
    "ack-before-commit": Bug(
        "a message is acknowledged before its turn is saved", (("secagg.daemon.loop:Daemon._take", _ack_before_commit),)
    ),
    "effects-before-commit": Bug(
        "messages leave and work begins before the turn is saved",
        (("secagg.daemon.loop:Daemon._decide", _effects_before_commit),),
    ),
    "effects-before-group": Bug(
        "what a turn asks for happens before the group is saved in which it was decided",
        (("secagg.daemon.loop:Daemon._take", _effects_before_group),),
    ),
    "ack-before-sync": Bug(
        "a chunk is acknowledged before it is on disk", (("secagg.daemon.blobs:_write_at", _instead(_without_sync)),)
    ),
    "blob-not-synced": Bug(
        "a blob is named in the journal before it is on disk",
        (("secagg.daemon.blobs:Blobs.put", _instead(_blob_without_sync)),),
    ),
    "encrypt-again": Bug(
        "a node that restarts encrypts again under the masks of its attempt",
        (("secagg.daemon.participant:Rounds._keep", _remember_masking), ("node.rounds:Rounds.start", _encrypt_again)),
    ),
    "freeze-skipped": Bug(
        "the set is told to the nodes before it is logged, and nodes do not look",
        (
            ("secagg.protocol.masks.aggregator:fix", _no_freeze),
            ("secagg.protocol.masks.checks:logged_freeze", _instead(lambda message, phase, *more: phase.seen)),
        ),
    ),
    "freeze-thawed": Bug(
        "an aggregator that restarts takes uploads into a set that was frozen",
        (("aggregator.rounds:Rounds._apply", _late_freeze), ("aggregator.rounds:Rounds.start", _thaw)),
    ),
    "attempt-not-checked": Bug(
        "a node takes part in an attempt again that it has left",
        (
            ("secagg.daemon.participant:Rounds._left", _instead(lambda self, scope, turn: False)),
            ("secagg.protocol.memory:check_attempt", _instead(lambda memory, round_id, manifest: None)),
            ("secagg.protocol.memory:check_current", _instead(lambda memory, round_id: None)),
        ),
    ),
    "ledger-not-written": Bug(
        "a node does not remember which rounds it took part in and opened",
        (("secagg.daemon.ledger:Ledger._append", _instead(lambda self, prefix, record: None)),),
    ),
    "outbox-not-resent": Bug(
        "a message is sent once", (("secagg.daemon.outbox:Outbox.tick", _instead(lambda self: [])),)
    ),
    "outbox-forgotten": Bug(
        "a role that restarts does not send what it had not sent",
        (("support.simulation_disk:SimulatedJournal.pending", _instead(lambda self: [])),),
    ),
    "upload-added-twice": Bug(
        "an upload that is verified twice is added twice",
        (
            ("aggregator.uploads:Uploads._add", _instead(_add_always)),
            ("aggregator.uploads:Uploads.take", _instead(_take_always)),
            ("aggregator.uploads:Uploads.taking", _instead(lambda self, phase, member: False)),
        ),
    ),
    "sum-not-rebuilt": Bug(
        "the running sum is believed after a restart", (("aggregator.uploads:Uploads.sum", _instead(_cached_sum)),)
    ),
    "log-written-twice": Bug(
        "entries that are in the log already are appended again after a restart",
        (("aggregator.logbook:LogBook._write", _instead(_write_all)),),
    ),
    "keys-not-erased": Bug(
        "a node keeps the keys of rounds that are over",
        (("secagg.daemon.vault:RoundKeys.erase", _instead(lambda self, label: None)),),
    ),
    "sets-forgotten": Bug(
        "a trustee does not remember which sets it opened, and nodes do not ask trustees whether an attempt is over",
        (
            ("secagg.daemon.ledger:Ledger.add", _forgetful_of_sets),
            ("secagg.protocol.paillier.ending:check_words", _instead(lambda words, custody, scope: None)),
        ), "paillier",
    ),
    "answer-not-kept": Bug(
        "a trustee does not keep its answer, and makes another one",
        (("secagg.daemon.participant:Rounds._keep", _answer_not_kept),), "paillier",
    ),
    "trustees-not-told": Bug(
        "trustees are not told how a round ended",
        (
            ("aggregator.ending:Endings.tell", _members_only),
            ("aggregator.ending:Endings._tell", _members_only),
        ),
        "paillier",
    ),
    "uploads-not-removed": Bug(
        "a trustee keeps what it fetched of an upload when the round is over",
        (
            ("keyserver.trustee.opening:Work.end", _instead(_end_of_fetching)),
            ("keyserver.trustee.opening:Work._multiply", _multiply_and_keep),
        ),
        "paillier",
    ),
    **{name: Bug(*found, tricks=LIE if name == "group-twice" else ()) for name, found in INPUT_BUGS.items()},
}  # fmt: skip


def _holders(target: str) -> tuple[Function, list[tuple[Any, str]]]:
    """Return a function and every place where it is known, under whatever name."""
    module, _, path = target.partition(":")
    outer, _, name = path.rpartition(".")
    # An engine is loaded when it is first used, which may be later.
    loaded = import_module(module)
    home = attrgetter(outer)(loaded) if outer else loaded
    function = vars(home)[name]
    places = [(home, name)]
    for other in list(sys.modules.values()):
        known = list(getattr(other, "__dict__", {}).items())
        places += [(other, alias) for alias, value in known if value is function and other is not home]
    return function, places


@contextmanager
def planted(bug: str) -> Iterator[None]:
    """Run with a bug; with none when `bug` is empty."""
    undo: list[tuple[Any, str, Function]] = []
    try:
        for target, mutation in BUGS[bug].mutations if bug else ():
            function, places = _holders(target)
            for holder, name in places:
                undo.append((holder, name, function))
                setattr(holder, name, mutation(function))
        yield
    finally:
        for holder, name, function in reversed(undo):
            setattr(holder, name, function)
