"""A trustee that dies at any moment of a round: one decision, one answer, the same sum."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from secagg.protocol.round.phases import Closed
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.entrusted import propose
from secagg.transport.link import Received
from secagg.wire.codec import decode
from support.chambers import Chamber
from support.entrusted import make
from support.federation import reference

MOMENTS = 14
"""Messages that reach ana in a round are fewer: the last moments are after its end."""


class Killer:
    """Lets ana die when the n-th message of the round or upload's piece reaches it, which is lost."""

    def __init__(self, room: Chamber, moment: int) -> None:
        self.left, self.room, self.struck = moment, room, False

    def fate(self, to: str, message: Received) -> Sequence[Received]:
        """Count what reaches ana."""
        if to != "ana" or message.kind not in ("round", "piece", "ack"):
            return (message,)
        self.left -= 1
        if self.left < 0:
            self.struck = True
            return ()
        return (message,)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_trustee_killed_at_any_moment_decides_once_and_answers_once(tmp_path: Path, moment: int) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        # Without ben and cyd answering alone: the round needs ana.
        await room.trustees["cyd"].kill()
        killer = Killer(room, moment)
        room.network._fate = killer.fate
        await room.begin()
        await room.trustees["ana"].kill()
        room.network._fate = lambda to, message: (message,)
        await room.revive("ana")
        await room.again()
        for _ in range(4):
            await room.wait(2)
            await room.again()
        assert killer.struck or moment >= MOMENTS // 2

    chamber.play(script)
    assert isinstance(chamber.table.phase, Closed), type(chamber.table.phase).__name__
    sums = {group.name: group.words for group in chamber.sums().published.groups}
    assert sums == reference(chamber.table.inputs, chamber.table.parties)
    assert len(set(chamber.answers["ana", "Decrypt"])) == 1
    assert len(set(chamber.answers["ana", "Attend"])) == 1


@pytest.mark.parametrize("full", ["Propose", "Freeze", "Open", "piece"])
def test_a_full_disk_puts_off_what_it_cannot_keep(tmp_path: Path, full: str) -> None:
    """Nothing leaves that was not kept; once there is room again the round goes on."""
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        await room.trustees["cyd"].kill()
        ana = room.trustees["ana"]

        def fate(to: str, message: Received) -> Sequence[Received]:
            kind = decode(RoundHeader, message.header).kind if message.kind == "round" else message.kind
            if (to, kind) == ("ana", full):
                ana.journal.writable = False
            return (message,)

        room.network._fate = fate
        await room.begin()
        assert not isinstance(room.table.phase, Closed)
        said = {kind for name, kind in room.answers if name == "ana"}
        assert said == {"Propose": set(), "Freeze": {"Attend"}}.get(full, {"Attend", "Witness"})
        room.network._fate = lambda to, message: (message,)
        ana.journal.writable = True
        for _ in range(4):
            await room.wait(3)
            await room.again()

    chamber.play(script)
    sums = {group.name: group.words for group in chamber.sums().published.groups}
    assert sums == reference(chamber.table.inputs, chamber.table.parties)
    assert len(chamber.answers["ana", "Decrypt"]) == 1


def test_an_answer_of_an_ended_attempt_is_not_made(tmp_path: Path) -> None:
    """The aggregator goes on with attempt 2 while the trustee is dead; attempt 1 is over for it."""
    entrusted = make(4)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        await room.trustees["cyd"].kill()
        killer = Killer(room, 1)
        room.network._fate = killer.fate
        await room.begin()
        room.network._fate = lambda to, message: (message,)
        first = next(data for to, kind, data in room.sent if (to, kind) == ("ana", "Freeze"))
        await room.wait(2)
        room.table.manifest, room.table.parties = propose(entrusted, attempt=2), {}
        await room.begin()
        assert set(room.trustees["ana"].status()["rounds"]) == {"job.1.2.0"}
        await room.say("ana", "Freeze", first, propose(entrusted).round)
        await room.settle()

    chamber.play(script)
    assert ("ana", "Witness") not in chamber.answers
