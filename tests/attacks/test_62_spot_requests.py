"""Row 62: what one member may ask of a round's check is bounded; others, and the member itself later, are answered."""

from pathlib import Path

from aggregator.spot import AT_ONCE, REFILL, TIMES, Opened
from node.spot import WINDOW
from secagg.crypto.seal import SealingKey
from secagg.ids import RoundId
from secagg.protocol.round import spots
from secagg.protocol.session import SpotRequest
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.memory import MemoryLink
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope, sign
from support.aggregating import Hall
from support.arriving import drain
from support.federation import counted_rng, make


async def ask(stage: Hall, link: MemoryLink, scope: Scope, part: int, indexes: tuple[int, ...]) -> int:
    """Ask for a part; return how many came."""
    key = SealingKey.from_private_bytes(counted_rng(b"key")(96)).public
    body = encode(SpotRequest(scope.round, key, indexes, part))
    signed = sign(stage.federation.members[link.name], "SpotRequest", scope, link.name, AGGREGATOR, body)
    await link.send(AGGREGATOR, "spot", b"", encode(signed))
    await stage.settle()
    return sum(message.kind == "spot-part" for message in await drain(link))


def test_requests_without_end_are_answered_a_few_times(tmp_path: Path) -> None:
    stage = Hall(make(4, chunk_bytes=4096), tmp_path)

    async def main(_: object) -> None:
        await stage.push()
        stage.submit()
        await stage.settle()
        await stage.gather()
        assert stage.named("job_done")
        kept = stage.journal.reopened()
        with kept.transaction() as turn:
            data = turn.get(spots.slot(RoundId("fed", "job", 1, 1)))
        assert data is not None
        opened = decode(Opened, data, 2**20)
        scope, indexes = opened.scope, spots.draw(opened.manifest, counted_rng(b"draw"))
        greedy, modest = (stage.members.pop(name).link for name in ("node-00", "node-01"))
        answered = [await ask(stage, greedy, scope, number % 2, indexes) for number in range(60)]
        # Two parts: the transcript and the leaves.
        assert sum(answered) == 2 * TIMES
        assert answered[2 * TIMES :] == [0] * (60 - 2 * TIMES)
        assert stage.log.getvalue().count("has asked for every part of job.1.1.0") == 1
        assert [await ask(stage, modest, scope, part, indexes) for part in (0, 1)] == [1, 1]
        # One more for every half minute that passed; a clock that goes back gives nothing.
        for seconds, more in ((REFILL, 1), (0, 0), (-100, 0), (100 + 2 * REFILL, 2)):
            stage.now += seconds
            assert sum([await ask(stage, greedy, scope, 0, indexes) for _ in range(4)]) == more
        # What does not exist is refused, and costs nothing.
        assert [await ask(stage, modest, scope, part, drawn) for part, drawn in ((2, indexes), (0, (9,)))] == [0, 0]

    stage.play(main)


def test_the_bounds_are_those_of_a_node() -> None:
    assert AT_ONCE >= WINDOW
