"""The aggregator's service in its real shell with trustees: members and trustees answer with their real machines.

As `support.aggregating`, whose hall this is. A trustee fetches uploads piece by piece over the link, as its daemon
does. It holds back what it says in the step `silent` until `release`.
"""

from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.encrypt import obfuscate
from secagg.errors import Refused, VerificationFailed
from secagg.ids import NO_DIGEST
from secagg.protocol.acceptance import Policy
from secagg.protocol.inputs import rehearsed
from secagg.protocol.lanes import encode_sum
from secagg.protocol.paillier import node, trustee
from secagg.protocol.paillier.decrypting import Collector, answer, collect
from secagg.protocol.paillier.encrypting import protect
from secagg.protocol.paillier.phases import Decrypting, Encrypting, TrusteePhase
from secagg.protocol.round.messages import Propose
from secagg.protocol.session import PIECE, Fetch, PieceHeader, Present, RoundHeader
from secagg.rehearsal.entrusted import Entrusted, holder
from secagg.rehearsal.entrusted import member as seat_member
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import Received
from secagg.transport.memory import MemoryNetwork
from secagg.wire.chunks import ChunkHeader
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.aggregating import Hall, Member
from support.nodes import Ward

STEPS = ("Attend", "Witness", "Decrypt")


class Node(Member):
    """A member of engine paillier: its one message is its upload; it says nothing while `silent`."""

    entrusted: Entrusted

    async def _round(self, header: RoundHeader, body: bytes) -> None:
        if header.kind != "Propose" or self.silent or self.spec is None:
            return
        seated = seat_member(self.entrusted, self.name, self.next_round)
        ctx = seated.ctx
        expect = type(ctx.expect)(
            **{**vars(ctx.expect), "spec": self.spec, "spec_digest": self._digest(), "model": NO_DIGEST}
        )
        ctx = type(ctx)(**{**vars(ctx), "memory": self.notebook, "expect": expect})
        done = node.start(decode(Propose, body, LIMIT_BULK), ctx)
        self.notebook.records.extend(done.records)
        assert isinstance(done.phase, Encrypting)
        words = encode_sum(done.phase.manifest, self.value())
        upload, encrypted = protect(
            done.phase, self.name, words, lambda count: obfuscate(self.entrusted.powers, count, self.rng), self.rng
        )
        await self._send_chunks(done.phase, upload, encrypted.chunks)
        given = rehearsed(done.phase.manifest, done.phase.scope, self.name)
        done = node.advance(done.phase, replace(encrypted, given=given), ctx)
        self.notebook.records.extend(done.records)
        for kind, data in done.send:
            await self.say(RoundHeader(header.round, kind), data)

    def _digest(self) -> bytes:
        return sha256(encode(self.spec))

    async def _send_chunks(self, phase: Encrypting, upload: bytes, hashes: tuple[bytes, ...]) -> None:
        size = phase.manifest.chunk_bytes
        for index, digest in enumerate(hashes):
            body = upload[index * size : (index + 1) * size]
            header = ChunkHeader(phase.scope.round, self.name, index, size, len(upload), digest)
            key = self.federation.members[self.name]
            signed = sign(key, "ChunkHeader", phase.scope, self.name, "aggregator", encode(header))
            await self.link.send(AGGREGATOR, "chunk", encode(signed), body)


class Trustee:
    """A trustee in process."""

    def __init__(self, name: str, entrusted: Entrusted, network: MemoryNetwork) -> None:
        self.name, self.entrusted, self.link = name, entrusted, network.link(name)
        self.holder = holder(entrusted, name)
        self.silent, self.away = "", False
        self.held: list[tuple[RoundHeader, bytes]] = []
        self.refused: list[str] = []
        self.told: list[Received] = []
        self._collector: Collector | None = None
        self._pieces: dict[bytes, dict[int, bytes]] = {}
        self._round_header: RoundHeader | None = None

    async def present(self) -> None:
        """Say that this trustee is here."""
        if not self.away:
            last = self.holder.notebook.last(self.holder.ctx.expect.log_origin)
            await self.link.send(AGGREGATOR, "present", b"", encode(Present(last.size if last else 0)))

    async def hear(self, message: Received) -> None:
        """Take one message as a trustee's daemon would."""
        if self.away or message.kind == "ack":
            return
        if message.id:
            await self.link.send(message.sender, "ack", b"", id=message.id)
        if message.kind == "round":
            await self._take(decode(RoundHeader, message.header), message.body)
        elif message.kind == "piece":
            await self._piece(decode(PieceHeader, message.header), message.body)
        elif message.kind in ("result", "aborted"):
            self.told.append(message)

    async def _take(self, header: RoundHeader, body: bytes) -> None:
        try:
            await self._judge(header, body)
        except Refused as refusal:
            self.refused.append(refusal.rule)
        except VerificationFailed as error:
            if error.code != "E-BEHIND":
                raise
            await self.present()

    async def _judge(self, header: RoundHeader, body: bytes) -> None:
        self._round_header = header
        if header.kind == "Propose":
            await self._keep(trustee.start(decode(Propose, body, LIMIT_BULK), self.holder.ctx))
        elif self.holder.phase is not None:
            phase, said = cast(TrusteePhase, self.holder.phase), decode(Signed, body, LIMIT_BULK)
            await self._keep(trustee.advance(phase, said, self.holder.ctx))

    async def _keep(self, step: trustee.Step) -> None:
        self.holder.phase = step.phase
        self.holder.notebook.records.extend(step.records)
        assert self._round_header is not None
        for kind, data in step.send:
            header = RoundHeader(self._round_header.round, kind)
            if self.silent and STEPS.index(self.silent) <= STEPS.index(kind):
                self.held.append((header, data))
            else:
                await self._say(header, data)
        if isinstance(step.phase, Decrypting):
            self._collector = collect(step.phase)
            await self._fetch()

    async def _say(self, header: RoundHeader, data: bytes) -> None:
        await self.link.send(AGGREGATOR, "round", encode(header), data, id=self.holder.ctx.rng(16))

    async def release(self) -> None:
        """Say what was held back."""
        self.silent, held, self.held = "", self.held, []
        for header, data in held:
            await self._say(header, data)

    async def _fetch(self) -> None:
        """Ask for the first upload that is missing, from its beginning."""
        assert self._collector is not None
        for digest in self._collector.wanted().values():
            have = self._pieces.setdefault(digest, {})
            await self.link.send(AGGREGATOR, "fetch", b"", encode(Fetch(digest, len(have))))
            return

    async def _piece(self, header: PieceHeader, body: bytes) -> None:
        phase = self.holder.phase
        if self._collector is None or not isinstance(phase, Decrypting):
            return
        found = self._pieces.setdefault(header.digest, {})
        found[header.index] = body
        if len(found) * PIECE >= header.total:
            member = next(name for name, one in self._collector.wanted().items() if one == header.digest)
            self._collector.add(member, b"".join(found[index] for index in sorted(found)))
        if self._collector.wanted():
            await self._fetch()
            return
        done = answer(phase, self.entrusted.secrets[self.name], self._collector.close(), self.holder.ctx.rng)
        await self._keep(trustee.advance(phase, done, self.holder.ctx))


class EntrustedHall(Hall):
    """One aggregator, its members and the trustees of their sums."""

    def __init__(self, entrusted: Entrusted, state: Path) -> None:
        super().__init__(entrusted.nodes, state)
        self.entrusted = entrusted
        for member in self.members.values():
            member.__class__ = Node
            member.entrusted = entrusted  # type: ignore[attr-defined]
        self.trustees = {name: Trustee(name, entrusted, self.network) for name in entrusted.trustees}
        # They are carried messages to as members are.
        self.members |= self.trustees  # type: ignore[arg-type]
        self.custody = state.parent / "custody.bin"
        self.custody.write_bytes(encode(entrusted.custody))

    def submit(self, model: Path | None = None, **fields: object) -> object:
        """Submit a sum job of engine paillier."""
        job = {"name": "job", "task": "task", "purpose": "sum", "length": 7, **fields}
        file: dict[str, Any] = {
            "job": job, "cohort": {"step_timeout": "3s"}, "engine": {"name": "paillier", "chunk": 4096},
        }  # fmt: skip
        return self.daemon.command({"command": "job-submit", "file": file, "custody": str(self.custody)})


class EntrustedWard(Ward):
    """Real nodes, a real aggregator, and trustees in process."""

    def __init__(self, entrusted: Entrusted, state: Path, policy: Policy) -> None:
        super().__init__(entrusted.nodes, state)
        self.trustees = {name: Trustee(name, entrusted, self.network) for name in entrusted.trustees}
        self.members = dict(self.trustees)  # type: ignore[arg-type]
        for one in self.nodes.values():
            one.policy = policy
        self.custody = state / "custody.bin"
        self.custody.write_bytes(encode(entrusted.custody))

    async def gather(self) -> None:
        """Let trustees say that they are here, and everything happen that follows."""
        for one in self.trustees.values():
            await one.present()
        await self.settle()

    async def settle(self) -> None:
        """Let everybody go on, trustees too, until nobody sends anything any more."""
        heard = True
        while heard:
            await super().settle()
            heard = False
            for one in self.trustees.values():
                while one.link._queue:
                    heard = True
                    await one.hear(await one.link.receive())

    def submit(self, model: Path | None = None, **fields: object) -> object:
        """Submit a sum job, of engine paillier unless told otherwise; `without` leaves members out."""
        engine, left = str(fields.pop("engine", "paillier")), fields.pop("without", ())
        assert isinstance(left, tuple)
        job = {"name": "job", "task": "task", "purpose": "sum", "length": 7, **fields}
        file: dict[str, Any] = {
            "job": job, "cohort": {"step_timeout": "3s"}, "engine": {"name": engine, "chunk": 4096},
        }  # fmt: skip
        custody = {"custody": str(self.custody)} if engine == "paillier" else {}
        return self.daemon.command({"command": "job-submit", "file": file, "without": list(left), **custody})
