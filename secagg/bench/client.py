"""What a round costs one member, in a process of its own: everything it computes and every byte it sends.

Rules: the cryptographic work of a round, from the words of the update to signed chunks in memory. Keys, shares,
signatures and answers are included. Quantising, which no cipher asks for, is a figure of its own. The other members and
the aggregator are real in what they say (peers.py, stage.py) and their time is not counted. The part that does not
depend on the length of the update is a round of the same members with one parameter. Peak memory counts the update
itself, and everything else that came after the process had started and warmed up.
"""

import gc
import statistics
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from secagg.bench.case import Case, ClientFigures, Clock, establish, policy, words_bytes
from secagg.bench.footprint import Footprint
from secagg.bench.inputs import AesRate, update_of
from secagg.bench.peers import Peers
from secagg.bench.stage import Stage
from secagg.crypto.rng import Rng
from secagg.ids import RoundId
from secagg.protocol.inputs import rehearsed
from secagg.protocol.lanes import Contribution, Quantised, Words, upload_bytes
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import masking, node
from secagg.protocol.masks.phases import Masking, Phase, Protected
from secagg.protocol.round.messages import Propose
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.federation import START_OF_TIME, Federation, party
from secagg.wire.chunks import ChunkHeader
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Signed, sign

Update = npt.NDArray[np.float32]
_FEW, _MANY = 3, 100
"""Rounds of one parameter; one when there are so many members that their company takes its time."""


class Spent(Struct):
    """What one round took."""

    seconds: float = 0.0
    protect: float = 0.0
    quantise: float = 0.0
    upload_bytes: int = 0
    chunk_bytes: int = 0
    control_bytes: int = 0


@dataclass
class Vector:
    """What a node keeps from round to round: its update, and the memory of its last upload, for the next one."""

    update: Update
    warm: bytearray | None = None


class Timed:
    """A contribution that says how long its threads, together, took to make its words."""

    def __init__(self, given: Contribution, clock: Clock) -> None:
        self._given, self._clock, self._spent = given, clock, [0.0]

    @property
    def seconds(self) -> float:
        """Return the seconds of all threads."""
        return sum(self._spent)

    def fill(self, group: str, start: int, out: Words) -> None:
        """Write words (see Contribution)."""
        began = self._clock()
        self._given.fill(group, start, out)
        self._spent.append(self._clock() - began)


class Measured:
    """The member that is measured: the real node, its vector work, its chunks."""

    def __init__(
        self, case: Case, federation: Federation, round_id: RoundId, vector: Vector, executor: Executor | None
    ) -> None:
        self.name, self._round = case.names[0], round_id
        self._seat = party(federation, self.name, policy=policy(case))
        self._clock = case.clock
        self._case, self._federation, self._executor = case, federation, executor
        self._vector = vector
        self._phase: Phase | None = None
        self.spent = Spent()

    def answer(self, kind: str, data: bytes) -> tuple[tuple[str, bytes], ...]:
        """Take one message of the aggregator and return what the member sends."""
        began = self._clock()
        if kind == "Propose":
            done = node.start(decode(Propose, data, LIMIT_BULK), self._seat.ctx)
        else:
            if self._phase is None:
                raise RuntimeError("a member is asked before it was proposed to")
            done = node.advance(self._phase, decode(Signed, data, LIMIT_LIST), self._seat.ctx)
        if isinstance(done.phase, Masking):
            for _ in range(1 + self._case.handicap):
                protected = self._protect(done.phase)
            done = node.advance(done.phase, protected, self._seat.ctx)
        self._phase = done.phase
        self._seat.notebook.records.extend(done.records)
        self.spent.seconds += self._clock() - began
        for sent, body in done.send:
            self.spent.control_bytes += len(body) + len(encode(RoundHeader(self._round, sent)))
        return done.send

    def _protect(self, phase: Masking) -> Protected:
        """Do what the node does between training and its last chunk (node.work, node.uploading)."""
        began = self._clock()
        quantised = Quantised(phase.manifest, {"update": self._vector.update}, 100, {}, self._federation.rng)
        given = Timed(quantised, self._clock)
        upload = masking.contribute(given, phase, self.name, self._executor, self._vector.warm)
        self._vector.warm = upload.data
        entry = rehearsed(phase.manifest, phase.scope, self.name)
        protected = Protected(upload.root, len(upload.data), upload.chunks, entry)
        self.spent.protect += self._clock() - began
        self.spent.quantise += given.seconds / self._case.threads
        self.spent.upload_bytes = len(upload.data)
        self.spent.chunk_bytes = self._sign_chunks(phase, upload)
        return protected

    def _sign_chunks(self, phase: Masking, upload: masking.Upload) -> int:
        """Sign the chunks; return the bytes of their headers."""
        size, headers, key = phase.manifest.chunk_bytes, 0, self._federation.members[self.name]
        for index, digest in enumerate(upload.chunks):
            header = ChunkHeader(phase.scope.round, self.name, index, size, len(upload.data), digest)
            headers += len(encode(sign(key, "ChunkHeader", phase.scope, self.name, "aggregator", encode(header))))
        return headers


def measure(case: Case, rng: Rng) -> ClientFigures:
    """Run the case's rounds and return what they cost the first member."""
    times = _FEW if case.nodes <= _MANY else 1
    with ThreadPoolExecutor(case.threads) if case.threads > 1 else nullcontext() as executor:
        few = [_round(case, 1, Vector(np.zeros(1, dtype=np.float32)), executor, rng) for _ in range(times)]
        manifest = establish(case, rng)[1]
        space = Footprint()
        vector = Vector(update_of(case.params, rng))
        limit, rounds = AesRate(), []
        for _ in range(case.repeat):
            limit.sample()
            rounds.append(_round(case, case.params, vector, executor, rng))
        peak = space.peak()
        limit.sample()
    middle = {name: statistics.median(getattr(one, name) for one in rounds) for name in Spent.__struct_fields__}
    return ClientFigures(
        seconds=statistics.median(one.seconds - one.quantise for one in rounds),
        best=min(one.seconds - one.quantise for one in rounds), quantise_seconds=middle["quantise"],
        setup_seconds=statistics.median(one.seconds - one.quantise for one in few),
        protect_seconds=middle["protect"],
        upload_bytes=rounds[0].upload_bytes,
        control_bytes=rounds[0].control_bytes + rounds[0].chunk_bytes,
        mask_bytes=_masks(manifest) * words_bytes(manifest), aes_rate=limit.rate,
        peak_bytes=peak, baseline_bytes=space.baseline,
    )  # fmt: skip


def _masks(manifest: Manifest) -> int:
    """Return how many masks a member adds: its own and one for each member that it deals to."""
    return 1 + (manifest.degree or len(manifest.members) - 1)


def _round(case: Case, params: int, vector: Vector, executor: Executor | None, rng: Rng) -> Spent:
    """Play one round as far as the measured member's last message."""
    federation, manifest = establish(case, rng, params)
    gc.freeze()
    measured = Measured(case, federation, manifest.round, vector, executor)
    stage = Stage(federation, manifest, case.dropped, case.clock)
    idle = Protected(bytes(32), upload_bytes(manifest), ())
    peers = Peers(
        manifest, stage.scope, dict(federation.members), rng, (measured.name,), lambda *_: idle, START_OF_TIME
    )

    def answer(to: str, kind: str, data: bytes) -> tuple[tuple[str, bytes], ...]:
        if to == measured.name:
            return measured.answer(kind, data)
        return () if kind == "Open" else (peers.answer(to, kind, data),)

    stage.close(stage.open(answer), answer)
    return measured.spent
