"""What must hold whatever happens: watched on the wire while it happens, and looked up in what is left at the end.

`Watch` sees every message when it is handed to the network, before the weather:
`one-voice` two different messages of one member in one step of one attempt, or two chunks in one place: a mask used
twice; `one-opening` answers of one member to two attempts, or both shares of one peer; `minimum` an answer that opens
fewer than max(t, K_min); `durable` an acknowledged message or chunk that a restart forgot.
`inspect` judges the end: `sum`, `one-result`, `log`, `abort` (for want of members only: nobody lies here), `job` (every
one ends), `told` (who is in a sum has it), `once` (no message is handled twice; watched by the journal),
`left` (messages nobody acknowledged, keys that should be gone), `audit` (the product's own auditor over everything).
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import UNSET

from aggregator import records as kept
from aggregator.jobs import vector_of
from aggregator.uploads import uploads_of
from node import records
from secagg.auditor.export import export
from secagg.auditor.verify import verify
from secagg.crypto.derive import sha256
from secagg.crypto.seal import SealingKey
from secagg.daemon.vault import RoundKeys
from secagg.errors import SecaggError
from secagg.ids import RoundId
from secagg.log.durable import read_entries
from secagg.log.growing import Tree
from secagg.log.statements import (
    Aborted,
    AnyStatement,
    Contributors,
    DropOut,
    Equivocation,
    ManifestLogged,
    OfRound,
    Opening,
    Refusal,
    Result,
    parse_statement,
)
from secagg.log.tree import leaf_hash
from secagg.protocol.manifest import Manifest, Published
from secagg.protocol.masks import keys
from secagg.protocol.masks.messages import Answer, Freeze, Propose, Unmask
from secagg.protocol.memory import Accepted, Witnessed
from secagg.protocol.paillier.messages import Freeze as EntrustedFreeze
from secagg.protocol.rehearsal import AGGREGATOR
from secagg.protocol.session import RoundHeader
from secagg.transport.link import BROKER, Received
from secagg.wire.chunks import ChunkAck, ChunkHeader
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed
from support.simulation_roles import AggregatorMachine, Machine, NodeMachine
from support.simulation_trustees import TrusteeMachine
from support.simulation_world import World

SPOKEN_ONCE = frozenset(
    {"AdvertiseKeys", "ShareKeys", "MaskedInput", "ConsistencyCheck", "Unmask", "Attend", "Witness", "Decrypt"}
)
WHOLE = 2**40
_SHORT = re.compile(
    r"\d+ of \d+ members at \w+, \d+ are needed"
    r"|(\d+ of \d+ members|\d+ trustees( attend)?|\d+ right answers of trustees)"
    r" at \w+, \d+ members and \d+ trustees are needed"
)
"""The one reason for which a round without liars may end."""

_NAMES: dict[type, str] = {
    ManifestLogged: "attempt", DropOut: "drop-out", Aborted: "attempt aborted", Refusal: "refusal", Result: "result"
}  # fmt: skip
"""Which statements are counted, and as what."""


class Watch:
    """Everything that was handed to the network."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._spoken: dict[tuple[object, ...], bytes] = {}
        self._answered: dict[tuple[object, ...], int] = {}
        self._kinds: dict[tuple[str, str], str] = {}
        self._manifests: dict[str, tuple[Manifest, bytes]] = {}
        self._frozen: dict[str, int] = {}
        self._openers: dict[bytes, SealingKey] = {}
        self._acked: dict[str, dict[tuple[str, bytes], None]] = {}
        self._chunks: dict[tuple[str, str, int], bytes] = {}

    def sent(self, to: str, message: Received) -> None:
        """Take a message that a role hands to the network."""
        sender = message.sender
        header = decode(RoundHeader, message.header) if message.kind == "round" else None
        label = f" {header.kind} {header.round.label()}" if header else ""
        self._world.note(sender, f"-> {to} {message.kind}{label} {len(message.body)}")
        if message.kind == "ack":
            self._acknowledged(sender, to, message.id)
        elif header and sender == AGGREGATOR:
            self._from_aggregator(to, header, message.body)
        elif header:
            self._from_node(sender, header, message.body)
        elif message.kind == "chunk":
            self._chunk(sender, message)
        elif message.kind == "ack-chunk":
            receipt = decode(ChunkAck, decode(Signed, message.body).body)
            self._chunks[receipt.round.label(), receipt.node, receipt.index] = receipt.hash

    def _once(self, key: tuple[object, ...], data: bytes, what: str) -> None:
        digest = sha256(data)
        if self._spoken.setdefault(key, digest) != digest:
            self._world.violate("one-voice", what)

    def _from_aggregator(self, to: str, header: RoundHeader, body: bytes) -> None:
        label = header.round.label()
        if header.kind == "Propose":
            signed = decode(Propose, body, LIMIT_BULK).manifest
            manifest = decode(Manifest, signed.body, LIMIT_BULK)
            self._manifests[label] = (manifest, sha256(signed.body))
            self._once((label, "Manifest"), signed.body, f"two manifests for {label}")
            self._learn(manifest.round.job, manifest.opening_key)
        elif header.kind == "Freeze":
            self._froze(label, decode(Signed, body, LIMIT_BULK).body)

    def _froze(self, label: str, body: bytes) -> None:
        if self._manifests[label][0].custody is UNSET:
            freeze = decode(Freeze, body, LIMIT_BULK)
            listed, leaf = freeze.u3, freeze.leaf
        else:
            entrusted = decode(EntrustedFreeze, body, LIMIT_BULK)
            listed, leaf = entrusted.u, entrusted.leaf
            self._frozen[label] = len(uploads_of(listed))
        self._once((label, "U3"), listed, f"two frozen sets for {label}")
        self._once((label, "freeze"), leaf, f"two freezes for {label}")

    def _learn(self, job: str, public: bytes) -> None:
        """Learn the key that opens a job's answers, from where the aggregator keeps it."""
        machine = self._world.machines[AGGREGATOR]
        if public in self._openers or not isinstance(machine, AggregatorMachine):
            return
        label = f"{job}.opening"
        vault = RoundKeys(machine.root / "opening", machine.ring.storage, machine.rng)
        sealed = machine.journal.get(f"opening/{job}")
        if sealed:
            self._openers[public] = SealingKey.from_private_bytes(vault.open(label, sealed))

    def _from_node(self, sender: str, header: RoundHeader, body: bytes) -> None:
        label = header.round.label()
        if header.kind in SPOKEN_ONCE:
            self._once((sender, label, header.kind), body, f"two {header.kind} of {sender} in {label}")
        if header.kind in ("Unmask", "Decrypt"):
            place = (sender, header.round.opening)
            if self._answered.setdefault(place, header.round.attempt) != header.round.attempt:
                self._world.violate("one-opening", f"{sender} answers two attempts of {label}")
        if header.kind == "Unmask":
            self._answer(sender, header.round, decode(Signed, body, LIMIT_BULK))
        elif header.kind == "Decrypt" and self._frozen[label] < self._manifests[label][0].needed:
            self._world.violate("minimum", f"{sender} opens the sum of {self._frozen[label]} members in {label}")

    def _answer(self, sender: str, round_id: RoundId, envelope: Signed) -> None:
        manifest, digest = self._manifests[round_id.label()]
        opener = self._openers[manifest.opening_key]
        info = keys.answer_info(Scope(round_id, digest), sender, AGGREGATOR)
        inner = decode(Signed, opener.open(decode(Unmask, envelope.body, LIMIT_BULK).sealed, info), LIMIT_BULK)
        answer = decode(Answer, inner.body, LIMIT_BULK)
        if len(answer.seeds) < manifest.needed:
            self._world.violate("minimum", f"{sender} opens {len(answer.seeds)} of {manifest.needed} in {digest.hex()}")
        for shares, kind in ((answer.seeds, "seed"), (answer.keys, "key")):
            for share in shares:
                if self._kinds.setdefault((round_id.label(), share.owner), kind) != kind:
                    self._world.violate("one-opening", f"both shares of {share.owner} in {round_id.label()}")

    def _chunk(self, sender: str, message: Received) -> None:
        header = decode(ChunkHeader, decode(Signed, message.header).body)
        place = (sender, header.round.label(), header.index)
        self._once(place, message.body, f"{sender} uploads two ciphertexts under one mask in {place[1]}")

    def _acknowledged(self, by: str, to: str, id: bytes) -> None:
        machine = self._world.machines[by]
        if machine.journal.handled(to, id):
            self._acked.setdefault(by, {})[to, id] = None
        elif machine.refused[to] > 0:
            machine.refused[to] -= 1
        else:
            self._world.violate("durable", f"{by} acknowledges what it neither kept nor refused")

    def restarted(self, machine: Machine) -> None:
        """Look whether a new life remembers what earlier ones acknowledged."""
        for sender, id in self._acked.get(machine.name, ()):
            if not machine.journal.handled(sender, id):
                self._world.violate("durable", f"{machine.name} forgot a message of {sender} that it acknowledged")
        if isinstance(machine, AggregatorMachine):
            self._restarted_uploads(machine)

    def _restarted_uploads(self, machine: AggregatorMachine) -> None:
        with machine.journal.transaction() as transaction:
            phase = machine.service._schedule.rounds.running(transaction)  # type: ignore[arg-type]
        if type(phase).__name__ not in ("Uploading", "Collecting"):
            return
        label = phase.scope.round.label()  # type: ignore[union-attr]
        uploads = machine.service._desk.uploads
        for (round_label, node, index), digest in self._chunks.items():
            if round_label != label:
                continue
            partial = uploads._partial(phase, node)  # type: ignore[arg-type]
            header = machine.journal.get(f"header/{node}")
            whole = header is not None and uploads.whole(phase, node, decode(Signed, header))  # type: ignore[arg-type]
            if partial.hash_of(index) != digest and not whole:
                self._world.violate("durable", f"the aggregator forgot chunk {index} of {node} that it acknowledged")


def inspect(world: World, plan: dict[str, Any]) -> Counter[str]:
    """Judge what is left at the end; return how jobs ended."""
    aggregator = world.machines[AGGREGATOR]
    nodes = [machine for machine in world.machines.values() if isinstance(machine, NodeMachine)]
    if not isinstance(aggregator, AggregatorMachine):
        raise TypeError("the aggregator is one")
    jobs = [decode(kept.Job, value, WHOLE) for _, value in aggregator.journal.scan("job/")]
    _log(world, aggregator, jobs)
    for job in jobs:
        outcomes = [decode(kept.Outcome, v, WHOLE) for _, v in aggregator.journal.scan(f"outcome/{job.spec.name}/")]
        for outcome in outcomes:
            if not outcome.lost:
                _sum(world, aggregator, job, outcome, plan)
        for node in nodes:
            _told(world, node, job, outcomes)
    _left(world, nodes)
    _witnesses(world, aggregator, nodes)
    return Counter(job.state for job in jobs)


def _sum(
    world: World, aggregator: AggregatorMachine, job: kept.Job, outcome: kept.Outcome, plan: dict[str, Any]
) -> None:
    names = list(job.spec.cohort)
    length, place = plan["jobs"][job.spec.name]
    base = place + len(names) * (outcome.round.round - 1)
    wanted = sum(2.0 ** (base + names.index(name)) for name in outcome.contributors)
    place = aggregator.root / "blobs" / outcome.published.hex()
    data = place.read_bytes() if place.exists() else b""
    if sha256(data) != outcome.published:
        world.violate("sum", f"{outcome.round.label()} is published, and its bytes are gone or torn")
        return
    found = vector_of(data)
    rest = [*found[:1], *found[2:]]
    if len(found) != length or any(value != wanted for value in rest):
        world.violate("sum", f"{outcome.round.label()} is {found[:1]}, its contributors make {wanted}")
    if decode(Published, data, WHOLE).contributors != outcome.contributors:
        world.violate("sum", f"{outcome.round.label()} is published for others than its outcome names")


def _told(world: World, node: NodeMachine, job: kept.Job, outcomes: list[kept.Outcome]) -> None:
    value = node.journal.get(f"job/{job.spec.name}")
    if value is None:
        # It was away for the whole job, so it is in no sum of it.
        return
    own = decode(records.Job, value, WHOLE)
    published = [outcome.published for outcome in outcomes if not outcome.lost]
    mine = [outcome.round.round for outcome in outcomes if node.name in outcome.contributors]
    if mine and own.next_round <= mine[-1]:
        world.violate("told", f"{node.name} lacks the result of round {mine[-1]} of {job.spec.name}, which it is in")
    if own.published != bytes(32) and own.published not in published:
        world.violate("told", f"{node.name} took a result of {job.spec.name} in that was never published")


def _left(world: World, nodes: list[NodeMachine]) -> None:
    for machine in world.machines.values():
        for message in machine.journal.unacknowledged():
            if message.to != BROKER:
                world.violate("left", f"{machine.name} still sends {message.kind} to {message.to}")
        if isinstance(machine, TrusteeMachine) and machine.left():
            world.violate("left", f"{machine.name} still keeps {machine.left()}")
    for node in nodes:
        # A key that was drawn in a turn that could not be saved has sealed nothing; the next start removes it.
        taken = {decode(Accepted, value).round.label() for _, value in node.journal.scan("ledger/accepted/")}
        left = sorted(path.name for path in (node.root / "rounds").glob("*.key") if path.stem in taken)
        if left or node.journal.get("round"):
            world.violate("left", f"{node.name} is still in a round, or holds keys: {left}")


def _witnesses(world: World, aggregator: AggregatorMachine, nodes: list[NodeMachine]) -> None:
    tree = Tree()
    for leaf in read_entries(aggregator.root / "audit" / "rounds")[0]:
        tree.append(leaf_hash(leaf))
    for node in nodes:
        for _, value in node.journal.scan("ledger/witnessed/"):
            seen = decode(Witnessed, value)
            if seen.size > tree.size or tree.root(seen.size) != seen.root:
                world.violate("log", f"{node.name} witnessed a checkpoint of {seen.size} that the log never had")


def _log(world: World, aggregator: AggregatorMachine, jobs: list[kept.Job]) -> None:
    leaves = read_entries(aggregator.root / "audit" / "rounds")[0]
    statements = [parse_statement(leaf)[0] for leaf in leaves]
    if len(set(leaves)) != len(leaves):
        world.violate("log", "an entry stands in the log twice")
    _counts(world, statements)
    for statement in statements:
        if isinstance(statement, Aborted) and not _SHORT.fullmatch(statement.reason):
            world.violate("abort", f"{_attempt(statement)} ends in {statement.step}: {statement.reason}")
        if isinstance(statement, Equivocation):
            world.violate("one-voice", f"{statement.member} is logged as an equivocator")
        if isinstance(statement, Result):
            _result(world, statement, statements)
    _ends(world, statements, jobs)


def _ends(world: World, statements: list[AnyStatement], jobs: list[kept.Job]) -> None:
    ended = {_attempt(s)[:2] for s in statements if isinstance(s, Result | Aborted)}
    for job in jobs:
        if job.state not in ("done", "failed"):
            world.violate("job", f"{job.spec.name} is still in state {job.state}")
        elif (job.spec.name, job.round) not in ended:
            world.violate("job", f"{job.spec.name} is {job.state} without a logged end")


def _counts(world: World, statements: list[AnyStatement]) -> None:
    world.count.update(_NAMES[type(statement)] for statement in statements if type(statement) in _NAMES)
    world.count["attempt repeated"] += sum(isinstance(s, ManifestLogged) and s.attempt > 1 for s in statements)
    once = Counter((type(s).__name__, *_attempt(s)) for s in statements if isinstance(s, Contributors | Aborted))
    single = Counter((type(s).__name__, *_attempt(s)[:2]) for s in statements if isinstance(s, Result | Opening))
    for place, number in once.items():
        if number > 1:
            world.violate("log", f"{number} entries {place}")
    for place, number in single.items():  # type: ignore[assignment]
        if number > 1:
            world.violate("one-result", f"{number} entries {place}")


def _result(world: World, result: Result, statements: list[AnyStatement]) -> None:
    frozen = [s for s in statements if isinstance(s, Contributors) and _attempt(s) == _attempt(result)]
    if [tuple(entry.member for entry in s.members) for s in frozen] != [result.contributors]:
        world.violate("sum", f"the result of {_attempt(result)} is not of the set that was frozen")


def _attempt(statement: OfRound) -> tuple[str, int, int]:
    return statement.job, statement.round, statement.attempt


def audit(world: World, place: Path) -> None:
    """Export everything and let the product's auditor judge it."""
    roots = {name: world.machines[name].root for name in ("keyserver", AGGREGATOR)}
    bundle = place / "bundle"
    try:
        export(bundle, roots["keyserver"], roots[AGGREGATOR])
        report = verify(bundle)
    except SecaggError as error:
        world.violate("audit", str(error))
        return
    for line in report.checks:
        if line.status not in ("pass", "n/a"):
            world.violate("audit", f"check {line.number}: {line.detail}")
