"""What a round costs the aggregator, in a process of its own, and what one member's spot check of it costs.

Rules: every upload is masked by its member with its real masks and lies in a file, as uploads do; nothing of that is
counted. `seconds` runs from the last upload (verified and added) to the published, logged sum. Adding and verifying all
uploads, which happens while they arrive, are figures of their own. The sum must be the integer sum of the clear words.
Leaves to others: chunks and durable storage (aggregator.uploads), ratios (masks.py).
"""

import statistics
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from secagg.bench.case import Case, Clock, ServerFigures, establish, words_bytes
from secagg.bench.checking import spot_check
from secagg.bench.footprint import Footprint
from secagg.bench.inputs import AesRate, additions, clear_words
from secagg.bench.peers import Peers
from secagg.bench.stage import Stage, result
from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.protocol.lanes import Groups, Ready, accumulate, check_canaries, packing
from secagg.protocol.manifest import Manifest, Published
from secagg.protocol.masks import intake, masking, shell
from secagg.protocol.masks.phases import Masking, Protected
from secagg.protocol.masks.recovery import unmask
from secagg.protocol.masks.rounds import Phase, Unmask, Unmasking, Uploading
from secagg.protocol.round import lists
from secagg.protocol.round.events import FromNode
from secagg.protocol.round.spots import frozen_entry
from secagg.rehearsal.federation import START_OF_TIME
from secagg.vector.ring import add_into
from secagg.wire.codec import decode
from secagg.wire.signed import Signed


class Spent(Struct):
    """What one round took."""

    seconds: float = 0.0
    adding: float = 0.0
    checking: float = 0.0
    unmask: float = 0.0


class Uploads:
    """Members' masked uploads in files, and the clear sum that they must give."""

    def __init__(self, manifest: Manifest, folder: Path, rng: Rng, executor: Executor | None) -> None:
        self._manifest, self._folder, self._rng, self._executor = manifest, folder, rng, executor
        self.reference: Groups = {}

    def make(self, name: str, phase: Masking) -> Protected:
        """Make, mask and store a member's upload."""
        words = clear_words(self._manifest, self._rng)
        for group, values in words.items():
            if group in self.reference:
                add_into(self.reference[group], values)
            else:
                self.reference[group] = values.copy()
        upload = masking.contribute(Ready(words), phase, name, self._executor)
        (self._folder / name).write_bytes(upload.data)
        return Protected(upload.root, len(upload.data), upload.chunks)

    def read(self, name: str) -> bytes:
        """Return a member's upload."""
        return (self._folder / name).read_bytes()

    def exact(self, published: Published) -> bool:
        """Say whether a published sum is the integer sum of what the members put in."""
        for group in self._manifest.groups:
            packing(group).reduce(self.reference[group.name])
        return {group.name: group.words for group in published.groups} == {
            name: words.tobytes() for name, words in self.reference.items()
        }


class Server:
    """The aggregator's side of a round from the first upload on; a round can be played again from there."""

    def __init__(self, stage: Stage, peers: Peers, uploads: Uploads, headers: Sequence[FromNode], clock: Clock) -> None:
        self._clock = clock
        self._stage, self._peers, self._uploads = stage, peers, uploads
        self._headers, self._begun = list(headers), _uploading(stage.phase)
        self.opened: Unmasking | None = None

    def play(self, executor: Executor | None) -> tuple[Published, Spent]:
        """Take every upload and close the round."""
        stage, spent, sums = self._stage, Spent(), Groups()
        lists.senders.cache_clear()  # a round that is played again has not been read before
        stage.phase = self._begun
        for header in self._headers[:-1]:
            self._add(header, sums, spent)
        stage.take(self._headers[:-1])
        stage.spent.clear()
        adding, checking = spent.adding, spent.checking
        self._add(self._headers[-1], sums, spent)

        def clear(phase: Unmasking, asked: Unmask) -> Groups:
            began = self._clock()
            self.opened = phase
            unmask(sums, asked.evidence, asked.recovered, executor)
            check_canaries(phase.manifest, sums, len(asked.evidence.u3))
            spent.unmask = self._clock() - began
            return sums

        end = result(stage.close(self._headers[-1:], self._answer, clear))
        spent.seconds = sum(stage.spent.values()) + spent.adding - adding + spent.checking - checking
        return end.published, spent

    def _answer(self, to: str, kind: str, data: bytes) -> tuple[tuple[str, bytes], ...]:
        return (self._peers.answer(to, kind, data),)

    def _add(self, header: FromNode, sums: Groups, spent: Spent) -> None:
        """Verify an upload against its header and add it, as the aggregator does (aggregator.uploads)."""
        data, signed = self._uploads.read(header.sender), decode(Signed, header.data)
        began = self._clock()
        shell.verify(self._begun, header.sender, signed, data)
        checked = self._clock()
        spent.checking += checked - began
        accumulate(self._stage.manifest, sums, data)
        spent.adding += self._clock() - checked


class Played(Struct):
    """What the rounds took; of their results the last one, and of all of them a digest."""

    spent: list[Spent]
    digests: list[bytes]
    last: Published
    aes_rate: float


def _play(server: Server, repeat: int, executor: Executor | None) -> Played:
    """Play a round `repeat` times; no result outlives the next round, which it would cost memory."""
    limit = AesRate()
    limit.sample()
    last, took = server.play(executor)
    spent, digests = [took], [_digest(last)]
    for _ in range(repeat - 1):
        del last
        limit.sample()
        last, took = server.play(executor)
        spent.append(took)
        digests.append(_digest(last))
    limit.sample()
    return Played(spent, digests, last, limit.rate)


def _digest(published: Published) -> bytes:
    return sha256(b"".join(sha256(group.words) for group in published.groups))


def _uploading(phase: Phase) -> Uploading:
    if not isinstance(phase, Uploading):
        raise RuntimeError(f"the measured round is in {type(phase).__name__} before its uploads")
    return phase


def measure(case: Case, rng: Rng) -> ServerFigures:
    """Run the case's rounds and return what they cost the aggregator.

    Raises: BadInput when the case leaves fewer members than a round needs.
    """
    with (
        TemporaryDirectory() as folder,
        ThreadPoolExecutor(2) as makers,
        ThreadPoolExecutor(case.threads) if case.threads > 1 else nullcontext() as executor,
    ):
        federation, manifest = establish(case, rng)
        stage = Stage(federation, manifest, case.dropped, case.clock)
        uploads = Uploads(manifest, Path(folder), rng, makers)
        peers = Peers(manifest, stage.scope, dict(federation.members), rng, (), uploads.make, START_OF_TIME)
        headers = stage.open(lambda to, kind, data: (peers.answer(to, kind, data),))
        server = Server(stage, peers, uploads, headers, case.clock)
        space = Footprint()
        played = _play(server, case.repeat, executor)
        peak, published = space.peak(), played.last
        middle = {name: statistics.median(getattr(s, name) for s in played.spent) for name in Spent.__struct_fields__}
        opened = _opened(server)
        frozen = frozen_entry(stage.log.size, stage.log.leaf, opened.scope)
        verify = spot_check(federation, opened, frozen, published, uploads.read, rng, case.repeat)
        exact = uploads.exact(published) and set(played.digests) == {_digest(published)}
        largest = max(uploads.reference.values(), key=len)
        return ServerFigures(
            seconds=middle["seconds"], best=min(spent.seconds for spent in played.spent),
            adding_seconds=middle["adding"], checking_seconds=middle["checking"], unmask_seconds=middle["unmask"],
            additions_seconds=statistics.median(additions(largest, len(headers)) for _ in range(case.repeat)),
            self_bytes=len(headers) * words_bytes(manifest), pair_bytes=_pairs(opened) * words_bytes(manifest),
            aes_rate=played.aes_rate, peak_bytes=peak, baseline_bytes=space.baseline, verify_seconds=verify.seconds,
            verify_bytes=verify.received, verify_sent_bytes=verify.sent, exact=exact,
        )  # fmt: skip


def _opened(server: Server) -> Unmasking:
    if server.opened is None:
        raise RuntimeError("no round was opened")
    return server.opened


def _pairs(phase: Unmasking) -> int:
    """Return how many pair masks of members that dropped out are in the sum."""
    proof = intake.evidence(phase)
    frozen = set(proof.u3)
    gone = (near for name, near in proof.near.items() if name not in frozen)
    return sum(receiver in frozen for near in gone for receiver in near)
