"""Row 20, with row 14: a trustee whose state is rolled back forgot what it decided, and would decide again.

A restored backup or a second copy has the same share and the same keys. The key server numbers every start and knows
how long the ledger was; what does not continue the newest start is fenced, and answers nothing.
"""

from pathlib import Path

from secagg.ids import RoundId
from secagg.rehearsal.entrusted import propose
from support.chambers import Chamber
from support.entrusted import make

FIRST = RoundId("fed", "job", 1)


def answered(room: Chamber, kind: str) -> int:
    """Return how many messages of this kind ana sent."""
    return len(room.answers.get(("ana", kind), []))


def test_a_restored_backup_decides_nothing_a_second_time(tmp_path: Path) -> None:
    entrusted = make(4)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        ana = room.trustees["ana"]
        yesterday = ana.journal.reopened()
        await room.begin()
        assert answered(room, "Decrypt") == 1
        await ana.kill()
        ana.journal = yesterday.reopened()
        await room.revive("ana")
        await room.wait(3)
        room.present.clear()
        room.table.manifest, room.table.parties = propose(entrusted, attempt=2), {}
        await room.begin()
        await room.wait(3)
        assert answered(room, "Attend") == 1
        assert answered(room, "Refuse") == 0
        assert "ana" not in room.present
        assert ana.status()["waiting"][0]["for"] == "nobody"

    chamber.play(script)
    assert chamber.starts.fenced == ["ana"]
    (said,) = chamber.trustees["ana"].named("fenced")
    assert said["code"] == "E-FENCED"


def test_a_start_judges_nothing_until_the_key_server_has_confirmed_it(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        ana = room.trustees["ana"]
        await ana.kill()
        granting, room.starts.grant = room.starts.grant, _silence  # type: ignore[method-assign]
        await room.revive("ana")
        await room.begin()
        assert answered(room, "Attend") == 0
        assert ana.status()["waiting"][0]["what"] == "word that this is the newest start of this trustee"
        room.starts.grant = granting  # type: ignore[method-assign]
        await room.wait(4)
        await room.say("ana", "Propose", next(data for to, kind, data in room.sent if (to, kind) == ("ana", "Propose")))
        await room.settle()
        assert answered(room, "Attend") == 1

    chamber.play(script)
    assert chamber.starts.fenced == []


async def _silence() -> None:
    """Answer nobody."""


def test_every_ordinary_restart_goes_on(tmp_path: Path) -> None:
    chamber = Chamber(make(4), tmp_path)

    async def script(room: Chamber) -> None:
        for _ in range(3):
            await room.trustees["ana"].kill()
            await room.revive("ana")
        await room.begin()
        await room.trustees["ana"].kill()
        await room.revive("ana")
        await room.wait(2)
        assert room.trustees["ana"].status()["rounds"] == {FIRST.label(): "Answered"}

    chamber.play(script)
    assert answered(chamber, "Decrypt") == 1
    assert chamber.starts.fenced == []
