"""What a member's spot check of a round costs it: requests, parts opened, leaves recomputed (protocol §7).

Rules: what the node does is timed and counted (node.spot), what the aggregator hands out is made beforehand. Every part
travels sealed to the key of the check. Leaves to others: judging (the engine's `SpotSide`).
"""

import statistics
import time
from collections.abc import Callable
from itertools import chain

from msgspec import Struct

from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey, seal
from secagg.log.growing import Tree
from secagg.protocol import engines
from secagg.protocol.engine import SpotSide
from secagg.protocol.manifest import Published
from secagg.protocol.round import spots
from secagg.protocol.round.lists import senders
from secagg.protocol.round.phases import Common
from secagg.protocol.round.spots import Leaf
from secagg.protocol.session import PIECE, SpotPart, SpotRequest
from secagg.rehearsal.federation import AGGREGATOR, Federation
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import sign


class Check(Struct):
    """Seconds of one check, bytes received and sent."""

    seconds: float
    received: int
    sent: int


class _Checked:
    """A round as the aggregator keeps it for checks."""

    def __init__(
        self, federation: Federation, phase: Common, frozen: bytes, read: Callable[[str], bytes]
    ) -> None:
        self.federation, self.phase, self._read = federation, phase, read
        self.checks, self.transcript = _transcript(phase, frozen)
        self.members = senders(self.checks.listed(self.transcript))
        self.checker = self.members[0]
        self._trees: dict[str, Tree] = {}

    @property
    def pieces(self) -> int:
        """Return how many parts the transcript travels in."""
        return -(-len(self.transcript) // PIECE)

    def hand_out(self, key: bytes, indexes: tuple[int, ...]) -> list[bytes]:
        """Return all parts, sealed."""
        manifest, plain = self.phase.manifest, []
        for piece in range(self.pieces):
            plain.append(self.transcript[piece * PIECE : (piece + 1) * PIECE])
        each = max(1, PIECE // spots.handed_bytes(manifest, indexes))
        for first in range(0, len(self.members), each):
            handed = (self._leaves(member, indexes) for member in self.members[first : first + each])
            plain.append(encode(tuple(handed)))
        infos = (self._info(part) for part in range(len(plain)))
        return [seal(key, data, info) for data, info in zip(plain, infos, strict=True)]

    def _leaves(self, member: str, indexes: tuple[int, ...]) -> tuple[Leaf, ...]:
        manifest, data = self.phase.manifest, self._read(member)
        if member not in self._trees:
            self._trees[member] = spots.tree_of(manifest, data)
        return spots.leaves(manifest, data, self._trees[member], indexes)

    def _info(self, part: int) -> bytes:
        return spots.info(self.phase.scope, AGGREGATOR, self.checker, part)

    def headers(self, parts: int) -> int:
        """Return the bytes of the parts' headers."""
        round_id = self.phase.scope.round
        return sum(len(encode(SpotPart(round_id, part, parts, self.pieces))) for part in range(parts))

    def ask(self, key: bytes, indexes: tuple[int, ...], parts: int) -> int:
        """Sign a request for every part; return their bytes."""
        scope, signer = self.phase.scope, self.federation.members[self.checker]
        bodies = (encode(SpotRequest(scope.round, key, indexes, part)) for part in range(parts))
        return sum(len(encode(sign(signer, "SpotRequest", scope, self.checker, AGGREGATOR, body))) for body in bodies)

    def judge(self, key: SealingKey, indexes: tuple[int, ...], sealed: list[bytes], published: Published) -> None:
        """Open the parts and check them. Raises: VerificationFailed."""
        parts = [key.open(data, self._info(part)) for part, data in enumerate(sealed)]
        transcript = b"".join(parts[: self.pieces])
        handed = [decode(tuple[tuple[Leaf, ...], ...], data, LIMIT_LIST) for data in parts[self.pieces :]]
        found = dict(zip(senders(self.checks.listed(transcript)), chain.from_iterable(handed), strict=True))
        signer = self.federation.aggregator.public
        self.checks.check(self.phase.manifest, self.phase.scope, signer, transcript, published, indexes, found)


def _transcript(phase: Common, frozen: bytes) -> tuple[SpotSide, bytes]:
    """Return what checks leaves of a round, and the transcript it opens with."""
    checks = engines.load(phase.manifest.engine).spots
    made = checks.transcript(phase, lambda: frozen) if checks else None
    if checks is None or made is None:
        raise RuntimeError("no leaves of this sum are checked")
    return checks, made


def spot_check(
    federation: Federation, phase: Common, frozen: bytes, published: Published, read: Callable[[str], bytes],
    rng: Rng, repeat: int,
) -> Check:  # fmt: skip
    """Check a round `repeat` times, other leaves each time, and return the median; `frozen` is the log entry of U3.

    Raises: VerificationFailed when the sum does not hold, which no measured case may.
    """
    checked, found = _Checked(federation, phase, frozen, read), []
    for _ in range(repeat):
        began = time.thread_time()
        key, indexes = SealingKey.from_private_bytes(rng(96)), spots.draw(phase.manifest, rng)
        drawn = time.thread_time() - began
        sealed = checked.hand_out(key.public, indexes)
        began = time.thread_time()
        sent = checked.ask(key.public, indexes, len(sealed))
        checked.judge(key, indexes, sealed, published)
        received = sum(map(len, sealed)) + checked.headers(len(sealed))
        found.append(Check(time.thread_time() - began + drawn, received, sent))
    return Check(statistics.median(one.seconds for one in found), found[0].received, found[0].sent)
