"""An enrolled member that says again and again that it is here, and acknowledges nothing: it fills no disk."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from secagg.protocol.session import Present
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import Received
from secagg.wire.codec import encode
from support.aggregating import Hall
from support.federation import make

FLOODER = "node-03"
TICKS = 30
Scene = Callable[[Hall], Awaitable[list[Present]]]


async def after_a_round(stage: Hall) -> list[Present]:
    """The result is published; the flooder says that it lacks it."""
    await stage.wait(2)
    assert stage.named("job_done")
    return [Present(0, "job", 1)]


async def before_a_round(stage: Hall) -> list[Present]:
    """A second job waits for the flooder, which says that it knows of none."""
    await stage.wait(2)
    stage.members[FLOODER].away = True
    stage.submit(name="second")
    await stage.settle()
    return [Present(0), Present(0, "job", 2)]


async def in_a_round(stage: Hall) -> list[Present]:
    """The first step waits for the flooder, which cannot say which checkpoint it holds."""
    assert stage.result_step() == "AdvertiseKeys"
    return [Present(0, "job", 1), Present(1, "job", 1)]


SCENES: dict[Scene, str] = {after_a_round: "result", before_a_round: "announce", in_a_round: "round"}
"""What is asked for in each, as a kind of message."""


@pytest.mark.parametrize("scene", SCENES)
def test_what_a_member_asks_for_again_and_again_is_not_kept(tmp_path: Path, scene: Scene) -> None:
    stage = Hall(make(4, chunk_bytes=4096), tmp_path / "state")
    flooder = stage.members[FLOODER]
    heard: list[str] = []

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        if scene is in_a_round:
            for member in stage.members.values():
                member.silent = "AdvertiseKeys"
        await stage.settle()
        await stage.gather()
        said = await scene(stage)
        flooder.away = True
        before = waiting(stage)
        for tick in range(TICKS):
            for _ in range(5):
                await flooder.link.send(AGGREGATOR, "present", b"", encode(said[tick % len(said)]))
            await stage.gather()
            # Time for ticks of presence, none for the deadline of a step.
            stage.service._presence.tick()
        assert waiting(stage) <= before + 1

    real = flooder.hear

    async def hear(message: Received) -> None:
        heard.append(message.kind)
        await real(message)

    flooder.hear = hear  # type: ignore[method-assign]
    stage.play(script)
    times = heard.count(SCENES[scene])
    assert TICKS // 2 <= times <= TICKS + 9, "it is told again in every tick in which it says so, and once"


def waiting(stage: Hall) -> int:
    """Return how many messages for the flooder are kept until it acknowledges them."""
    return sum(message.to == FLOODER for message in stage.journal.pending())
