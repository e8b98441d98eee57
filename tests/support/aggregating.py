"""The aggregator's service in its real shell, and members in process that answer it with the real node machine.

A `Member` keeps what a node daemon keeps (phase, notebook, jobs) and can fall silent before a step. Time is virtual,
work is done at once, so a test says what happens and waits for nothing.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from aggregator.answers import AggregatorStatus, JobSubmitted
from aggregator.requests import JobResult
from aggregator.service import AggregatorService
from secagg.crypto.derive import sha256
from secagg.crypto.secret import Secret
from secagg.daemon import logs
from secagg.daemon.answers import read
from secagg.daemon.loop import Daemon
from secagg.daemon.membership import Pin
from secagg.daemon.vault import RoundKeys
from secagg.errors import VerificationFailed
from secagg.ids import EVERYBODY, NO_DIGEST, STEPS
from secagg.learning.algorithm import State
from secagg.learning.digest import model_digest, state_digest
from secagg.learning.layout import Arrays
from secagg.log.checkpoint import read_checkpoint
from secagg.log.log import Log, MemoryLog
from secagg.log.statements import Aborted, open_statement
from secagg.log.witness import check as check_proof
from secagg.protocol import server_step
from secagg.protocol.acceptance import Expectation, Policy
from secagg.protocol.inputs import rehearsed
from secagg.protocol.lanes import Ready, chunk_hash, encode_sum, encode_training
from secagg.protocol.manifest import JobSpec, Manifest, Published
from secagg.protocol.masks import masking, node
from secagg.protocol.masks.messages import ANSWERED_BY
from secagg.protocol.masks.phases import Masking, Protected
from secagg.protocol.masks.phases import Phase as NodePhase
from secagg.protocol.memory import Witnessed
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import NodeContext
from secagg.protocol.session import (
    LOST_STEPS,
    AbortNotice,
    Announce,
    Fetch,
    PieceHeader,
    Present,
    ResultNotice,
    RoundHeader,
    job_scope,
)
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation
from secagg.rehearsal.notebook import Notebook
from secagg.roster.chain import fingerprint
from secagg.roster.messages import RosterPush
from secagg.transport.link import KEYSERVER, Received
from secagg.transport.memory import MemoryLink, MemoryNetwork
from secagg.wire.chunks import ChunkHeader, count
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, open_signed, sign
from support.arriving import turns
from support.federation import counted_rng
from support.memory import MemoryJournal
from support.timers import VirtualTimers

CHUNK = 4096


class Inline(ThreadPoolExecutor):
    """Does the work at once."""

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return a future that is done."""
        future: Future[Any] = Future()
        future.set_result(work(*args, **kwargs))
        return future


class Member:
    """A node in process: falls silent before its message of `silent`, for as long as that is set."""

    def __init__(self, name: str, federation: Federation, network: MemoryNetwork) -> None:
        self.name, self.federation = name, federation
        self.link: MemoryLink = network.link(name)
        self.rng = counted_rng(name.encode())
        self.notebook = Notebook()
        self.silent = ""
        self.away = False
        self.spec: JobSpec | None = None
        self.signed: Signed | None = None
        self.phase: NodePhase | None = None
        self.next_round = 1
        self.model = NO_DIGEST
        self.results: list[ResultNotice] = []
        self.aborted: list[Aborted] = []
        self.disbelieved: list[str] = []
        self.published: list[Published] = []
        self.manifest: Manifest | None = None
        self.arrays: Arrays = {}
        self.state: State = {}

    @property
    def index(self) -> int:
        """Return this member's place in the federation."""
        return list(self.federation.members).index(self.name)

    def value(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return this member's input: a power of two, so that a lost or doubled one shows in the sum."""
        length = self.spec.parameters if self.spec else 0
        return np.full(length, 2.0**self.index)

    async def present(self) -> None:
        """Say that this member is here."""
        if self.away:
            return
        last = self.notebook.last(f"{self.federation.spec.federation}/rounds")
        said = Present(last.size if last else 0, self.spec.name if self.spec else "", self.next_round)
        await self.link.send(AGGREGATOR, "present", b"", encode(said))

    async def hear(self, message: Received) -> None:
        """Take one message as a node daemon would."""
        if self.away or message.kind == "ack":
            return
        if message.id:
            await self.link.send(message.sender, "ack", b"", id=message.id)
        try:
            await self._hear(message)
        except VerificationFailed as error:
            self.disbelieved.append(error.cause)

    async def _hear(self, message: Received) -> None:
        match message.kind:
            case "announce":
                await self._announced(decode(Announce, message.body, LIMIT_BULK))
            case "round":
                await self._round(decode(RoundHeader, message.header), message.body)
            case "result":
                await self._result(decode(ResultNotice, message.body, LIMIT_BULK))
            case "piece":
                await self._piece(decode(PieceHeader, message.header), message.body)
            case "aborted":
                notice = decode(AbortNotice, message.body, LIMIT_BULK)
                self._believe(notice.leaf, notice.proof)
                statement, _ = open_statement(notice.leaf, lambda name: self.federation.aggregator.public)
                if not isinstance(statement, Aborted):
                    raise AssertionError("the end of a round is another entry")
                self.aborted.append(statement)
                self.phase = None
                if statement.step in LOST_STEPS:
                    self.next_round = notice.round.round + 1
                await self.present()

    def _believe(self, leaf: bytes, proof: Any) -> None:
        origin = f"{self.federation.spec.federation}/rounds"
        found = check_proof(leaf, proof, origin, self.federation.aggregator.public, self.notebook.last(origin))
        self.notebook.records.append(Witnessed(found.origin, found.size, found.root))

    async def _announced(self, announce: Announce) -> None:
        spec = decode(JobSpec, announce.spec.body)
        open_signed(announce.spec, self.federation.aggregator.public, "JobSpec", job_scope(spec), EVERYBODY)
        self._believe(announce.leaf, announce.proof)
        self.spec, self.next_round, self.model, self.phase = spec, 1, spec.initial_model, None
        await self.present()

    async def _result(self, notice: ResultNotice) -> None:
        if notice.round.round != self.next_round:
            return
        self._believe(notice.leaf, notice.proof)
        self.results.append(notice)
        self.phase = None
        await self.link.send(AGGREGATOR, "fetch", b"", encode(Fetch(notice.published, 0)))

    async def _piece(self, header: PieceHeader, body: bytes) -> None:
        """Take the published result and, in training, make the next model from it as a node does."""
        if sha256(body) != header.digest or not self.results:
            raise AssertionError("a result of these tests fits one piece")
        self.published.append(decode(Published, body, LIMIT_BULK))
        if self.spec and self.spec.purpose == "training":
            sums = server_step.sums_of(self.spec, self.published[-1], self.results[-1].round)
            self.arrays, self.state = server_step.next_model(self.spec, self.arrays, self.state, sums)
            self.model = model_digest(self.arrays)
        self.next_round = self.results[-1].round.round + 1
        await self.present()

    def _context(self) -> NodeContext:
        federation, spec = self.federation, self.spec
        if spec is None:
            raise AssertionError("proposed to before a job was announced")
        expect = Expectation(
            me=self.name, aggregator=AGGREGATOR, aggregator_key=federation.aggregator.public,
            log_origin=f"{spec.federation}/rounds", directory_origin=f"{spec.federation}/directory",
            directory_key=federation.online.public, spec=spec, spec_digest=sha256(encode(spec)), roster_version=1,
            roster=sha256(federation.roster), seats=federation.seats, colluders=federation.colluders,
            policy=Policy(exact_counts=True), model=self.model, state=state_digest(self.state), round=self.next_round,
            directory=read_checkpoint(federation.directory_note),
        )  # fmt: skip
        return NodeContext(self.name, federation.members[self.name], self.rng, self.notebook, expect, START_OF_TIME)

    def _drops(self, kind: str) -> bool:
        return bool(self.silent) and STEPS.index(self.silent) <= STEPS.index(ANSWERED_BY[kind])

    async def _round(self, header: RoundHeader, body: bytes) -> None:
        if self._drops(header.kind):
            return
        ctx = self._context()
        if header.kind == "Propose":
            done = node.start(decode(Propose, body, LIMIT_BULK), ctx)
        elif self.phase is None:
            return
        else:
            done = node.advance(self.phase, decode(Signed, body, LIMIT_BULK), ctx)
        if isinstance(done.phase, Masking):
            done = await self._mask(done.phase, header, ctx)
        self.phase = done.phase
        self.notebook.records.extend(done.records)
        for kind, data in done.send:
            await self.say(RoundHeader(header.round, kind), data)

    async def say(self, header: RoundHeader, data: bytes) -> None:
        """Send a message of the round."""
        await self.link.send(AGGREGATOR, "round", encode(header), data, id=self.rng(16))

    async def _mask(self, phase: Masking, header: RoundHeader, ctx: NodeContext) -> node.Step:
        manifest = self.manifest = phase.manifest
        if manifest.purpose == "sum":
            groups = encode_sum(manifest, self.value())
        else:
            groups = encode_training(manifest, self.value() / 2**10, 10, {}, self.rng)
        made = masking.contribute(Ready(groups), phase, self.name)
        await self.upload(phase, bytes(made.data))
        entry = rehearsed(manifest, phase.scope, self.name)
        return node.advance(phase, Protected(made.root, len(made.data), made.chunks, entry), ctx)

    async def upload(self, phase: Masking, upload: bytes) -> None:
        """Send an upload in chunks."""
        for index in range(count(len(upload), phase.manifest.chunk_bytes)):
            await self.chunk(phase, upload, index)

    async def chunk(self, phase: Masking, upload: bytes, index: int) -> None:
        """Send one chunk of an upload."""
        size = phase.manifest.chunk_bytes
        body = upload[index * size : (index + 1) * size]
        digest = chunk_hash(phase.manifest, body)
        header = ChunkHeader(phase.scope.round, self.name, index, size, len(upload), digest)
        key = self.federation.members[self.name]
        signed = sign(key, "ChunkHeader", phase.scope, self.name, "aggregator", encode(header))
        await self.link.send(AGGREGATOR, "chunk", encode(signed), body)


class Hall:
    """One aggregator, its members and the key server's push, over one network and one virtual clock."""

    def __init__(
        self, federation: Federation, state: Path, *, log: Log | None = None,
        service: type[AggregatorService] = AggregatorService,
    ) -> None:  # fmt: skip
        self.federation, self.state, self.kind = federation, state, service
        self.network = MemoryNetwork()
        self.keyserver = self.network.link(KEYSERVER)
        self.members = {name: Member(name, federation, self.network) for name in federation.members}
        self.journal = MemoryJournal()
        origin = f"{federation.spec.federation}/rounds"
        self.rounds_log: Log = log or MemoryLog(origin, origin, federation.aggregator)
        self.events: list[dict[str, Any]] = []
        self.log = io.StringIO()
        self.now = START_OF_TIME
        self.open()

    def open(self) -> None:
        """Make the aggregator's daemon over what was kept, as a start or a restart does."""
        self.timers = VirtualTimers()
        keys = RoundKeys(self.state / "keys", Secret(bytes(32)), self.federation.rng)
        pin = Pin(self.federation.spec.federation, fingerprint(self.federation.root_key))
        self.service = self.kind(
            AGGREGATOR, self.federation.aggregator, pin, self.state,
            self.rounds_log, keys, self.federation.rng,
        )  # fmt: skip
        self.daemon = Daemon(
            self.network.link(AGGREGATOR), self.journal, self.service, Inline(1),
            logs.configure("aggregator", AGGREGATOR, file=self.log), later=self.timers.later,
            wall=lambda: self.now, rng=self.federation.rng,
        )  # fmt: skip
        self.daemon._publish = lambda event: self.events.append(event.shown())  # type: ignore[method-assign]

    def play(self, script: Callable[["Hall"], Awaitable[None]]) -> "Hall":
        """Run the aggregator while `script` makes things happen."""

        async def main() -> None:
            self.serving = asyncio.create_task(self.daemon.serve())
            await self.settle()
            try:
                await script(self)
            finally:
                self.daemon.stop()
                await self.serving

        asyncio.run(main())
        return self

    async def restart(self) -> None:
        """Kill the aggregator and start it again from what it had saved."""
        self.daemon.stop()
        await self.serving
        self.journal = self.journal.reopened()
        self.open()
        self.serving = asyncio.create_task(self.daemon.serve())
        await self.settle()

    async def push(self) -> None:
        """Let the key server push the roster."""
        directory = self.federation.directory
        body = RosterPush(self.federation.roster, directory.leaf(1), encode(directory.prove(1)))
        await self.keyserver.send(AGGREGATOR, "roster", b"", encode(body), id=bytes(16))
        await self.settle()

    async def gather(self) -> None:
        """Let every member say that it is here, and everything happen that follows."""
        for member in self.members.values():
            await member.present()
        await self.settle()

    async def settle(self) -> None:
        """Carry messages until nobody has anything to say."""
        quiet = 0
        while quiet < 5:
            await turns(40)
            heard = False
            for member in self.members.values():
                while member.link._queue:
                    heard = True
                    await member.hear(await member.link.receive())
            quiet = 0 if heard else quiet + 1

    async def wait(self, seconds: float) -> None:
        """Let virtual time pass; members say that they are here every two seconds."""
        for step in range(1, round(seconds / 0.5) + 1):
            self.timers.pass_time(0.5)
            await (self.settle() if step % 4 else self.gather())

    def submit(self, model: Path | None = None, **fields: object) -> object:
        """Submit a job: a sum of seven values unless told otherwise; `without` leaves members out."""
        cohort = fields.pop("cohort", {"step_timeout": "3s"})
        job: dict[str, object] = {"name": "job", "task": "task", "purpose": "sum", "length": 7, **fields}
        file = {"job": job, "cohort": cohort, "engine": {"chunk": CHUNK}}
        left = job.pop("without", [])
        request = {"command": "job-submit", "file": file, "model": str(model or ""), "without": left}
        found = self.daemon.command(request)
        read(found, JobSubmitted)
        return found

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the events of this name."""
        return [values for values in self.events if values["event"] == event]

    def result_step(self) -> str:
        """Return the step that the running round collects."""
        running = read(self.daemon.command({"command": "status"}), AggregatorStatus).round
        if running is None:
            raise AssertionError("no round is running")
        return str(running.step)

    def result(self) -> dict[str, Any]:
        """Return what the admin socket says of the job's result."""
        shown: Any = self.daemon.command({"command": "job-result", "name": "job"})
        read(shown, JobResult.answered_by())
        return dict(shown)
